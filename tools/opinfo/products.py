"""Linear algebra, products, transforms. A case's code sees latent.linalg as `linalg` and latent.fft as `fft`."""
import torch
from torch.testing._internal.opinfo.core import SampleInput

from case import Case, Inexpressible, arguments, axes, axis, boolean, first_of_tuple, handles, listed, number, same


def part(i, layout=same):
    """One of the results of an operator that has several."""
    return lambda out: layout(out[i])


# ---- products ----

for name, ours_name in (("mv", "mv"), ("dot", "dot"), ("vdot", "dot"), ("outer", "outer")):
    handles(name)(lambda sample, ours=ours_name: Case("lt.%s(a, b)" % ours, [sample.input, sample.args[0]]))


@handles("inner")
def inner(sample):
    a, b = sample.input, sample.args[0]
    if a.dim() != 1 or b.dim() != 1:
        return Case("lt.mul(a, b)" if 0 in (a.dim(), b.dim()) else "lt.matmul(a, lt.transpose(b, -1, -2))", [a, b])
    return Case("lt.dot(a, b)", [a, b])


@handles("einsum")
def einsum(sample):
    tensors = list(sample.input)
    case = Case("", tensors)
    case.code = 'lt.einsum("%s", %s)' % (sample.args[0], ", ".join(case.names()))
    return case


@handles("cdist")
def cdist(sample):
    values = arguments(sample, "x2", "p", "compute_mode")
    return Case("lt.cdist(a, b, %s)" % number(float(values.get("p", 2))), [sample.input, values["x2"]])


# ---- linear algebra ----

def plain(ours):
    def handler(sample):
        arguments(sample)
        return Case("linalg.%s(a)" % ours, [sample.input])
    return handler


for name in ("det", "inv", "svdvals"):
    handles("linalg." + name)(plain(name))


@handles("linalg.slogdet")
def slogdet(sample):
    return Case("select(2, linalg.slogdet(a))", [sample.input], part(1), "the logarithm alone")


@handles("linalg.inv_ex")
def inv_ex(sample):
    arguments(sample, "check_errors")
    return Case("linalg.inv(a)", [sample.input], part(0), "without info, which is an error")


@handles("linalg.cholesky", "linalg.cholesky_ex")
def cholesky(sample):
    upper = arguments(sample, "upper", "check_errors").get("upper")
    return Case("linalg.cholesky(%s, {upper = %s})" % ("lt.transpose(a, -1, -2)" if upper else "a", boolean(upper)),
                [sample.input], first_of_tuple(same), "the upper triangle: transposed" if upper else None)


@handles("linalg.eigvalsh", "linalg.eigh")
def eigvalsh(sample):
    values = arguments(sample, "UPLO")
    upper = values.get("UPLO", "L") == "U"
    # the gradient of a matrix that is not symmetric is another one here
    return Case("linalg.eigvalsh(%s)" % ("lt.transpose(a, -1, -2)" if upper else "a"), [sample.input],
                first_of_tuple(same),
                "the values alone, of the upper triangle: transposed" if upper else "the values alone",
                forward_only=True)


@handles("linalg.qr")
def qr(sample):
    mode = arguments(sample, "mode").get("mode", "reduced")
    if mode == "r":
        raise Inexpressible("qr: mode r")
    return Case('(select(2, linalg.qr(a, {mode = "%s"})))' % mode, [sample.input], part(1), "R alone",
                forward_only=mode == "complete")


@handles("linalg.svd")
def svd(sample):
    arguments(sample, "full_matrices", "driver")
    return Case("(select(2, linalg.svd(a)))", [sample.input], part(1), "the values alone: vectors have a free sign")


@handles("linalg.solve", "linalg.solve_ex")
def solve(sample):
    values = arguments(sample, "B", "left", "check_errors")
    if values.get("left") is False:
        raise Inexpressible("solve: from the right")
    return Case("linalg.solve(a, b)", [sample.input, values["B"]], first_of_tuple(same))


@handles("linalg.solve_triangular")
def solve_triangular(sample):
    values = arguments(sample, "B", "upper", "left", "unitriangular")
    return Case("linalg.solve_triangular(a, b, {upper = %s, left = %s, unitriangular = %s})" % (
        boolean(values["upper"]), boolean(values.get("left", True)), boolean(values.get("unitriangular"))),
        [sample.input, values["B"]])


def tolerances(sample, values):
    """The bounds below which a singular value counts as 0: words of the call, and the inputs."""
    words, inputs = ["hermitian = %s" % boolean(values.get("hermitian"))], [sample.input]
    for name, theirs in (("atol", ("atol", "tol")), ("rtol", ("rtol", "rcond"))):
        for value in (values.get(key) for key in theirs):
            if torch.is_tensor(value):
                words.append("%s = %s" % (name, "abc"[len(inputs)]))
                inputs.append(value)
            elif value is not None:
                words.append("%s = %s" % (name, number(float(value))))
    return "{%s}" % ", ".join(words), inputs


@handles("linalg.pinv")
def pinv(sample):
    if sample.args:  # the variant "singular": of a product
        return Case("linalg.pinv(lt.matmul(a, lt.transpose(b, -1, -2)))", [sample.input, sample.args[0]])
    words, inputs = tolerances(sample, arguments(sample, "rtol", "atol", "rcond", "hermitian"))
    return Case("linalg.pinv(a, %s)" % words, inputs)


@handles("linalg.lstsq")
def lstsq(sample):
    arguments(sample, "B", "driver", "rcond")
    return Case("(linalg.lstsq(a, b))", [sample.input, sample.args[0]], part(0), "the solution alone")


@handles("linalg.matrix_rank")
def matrix_rank(sample):
    words, inputs = tolerances(sample, arguments(sample, "tol", "rtol", "atol", "hermitian"))
    return Case("linalg.matrix_rank(a, %s)" % words, inputs, forward_only=True)


def order(value):
    return '"%s"' % value if isinstance(value, str) else number(float(value))


@handles("linalg.cond")
def cond(sample):
    p = arguments(sample, "p").get("p")
    return Case("linalg.cond(a, {p = %s})" % order(2 if p is None else p), [sample.input])


@handles("linalg.matrix_norm")
def matrix_norm(sample):
    values = arguments(sample, "ord", "dim", "keepdim")
    dim = [d % sample.input.dim() for d in values.get("dim", (-2, -1))]
    rest = [d for d in range(sample.input.dim()) if d not in dim]
    code = "linalg.matrix_norm(lt.permute(a, %s), {ord = %s})" % (axes(rest + dim), order(values.get("ord", "fro")))
    if values.get("keepdim"):
        for d in sorted(dim):
            code = "lt.unsqueeze(%s, %s)" % (code, axis(d))
    return Case(code, [sample.input], note="axes that are moved to the end, or kept")


@handles("linalg.norm")
def whole_norm(sample):
    """Of vectors, or of matrices where two axes are given or an order that only these have."""
    values = arguments(sample, "ord", "dim", "keepdim")
    x, p, dim = sample.input, values.get("ord"), values.get("dim")
    if p is None and dim is None:
        return Case("linalg.vector_norm(a, {keepdim = %s})" % boolean(values.get("keepdim")), [x])
    dims = list(range(x.dim())) if dim is None else [dim] if isinstance(dim, int) else list(dim)
    if len(dims) == 2 and p is not None:
        return matrix_norm(SampleInput(x, kwargs={"ord": p, "dim": tuple(dims), "keepdim": values.get("keepdim")}))
    return Case("linalg.vector_norm(a, {ord = %s, axis = %s, keepdim = %s})" % (
        number(2.0 if p is None else float(p)), axes(dims), boolean(values.get("keepdim"))), [x])


# ---- transforms ----

def real_parts(out):
    return torch.view_as_real(out.resolve_conj()) if out.is_complex() else out


def transform(name, real):
    def handler(sample):
        values = arguments(sample, "n", "dim", "norm")
        x = "a" if real else "fft.complex(a)"
        n = values.get("n")
        return Case("fft.%s(%s, {%s})" % (name, x, ", ".join(
            (["n = %d" % n] if n is not None else []) + ["axis = %s" % axis(values.get("dim", -1))]
            + (['norm = "%s"' % values["norm"]] if values.get("norm") else []))), [sample.input], real_parts)
    return handler


def transform2(name, real):
    def handler(sample):
        values = arguments(sample, "s", "dim", "norm")
        x = "a" if real else "fft.complex(a)"
        dim = values.get("dim", (-2, -1))
        words = ["axes = %s" % axes(dim if isinstance(dim, (tuple, list)) else [dim])]
        if values.get("s") is not None:
            words.append("s = %s" % listed(values["s"]))
        if values.get("norm"):
            words.append('norm = "%s"' % values["norm"])
        return Case("fft.%s(%s, {%s})" % (name, x, ", ".join(words)), [sample.input], real_parts)
    return handler


for name in ("fft", "ifft", "rfft", "irfft"):
    handles("fft." + name)(transform(name, name == "rfft"))
    handles("fft." + name + "2")(transform2(name + "2", name == "rfft"))


def shifted(name):
    def handler(sample):
        dim = arguments(sample, "dim").get("dim")
        dims = range(sample.input.dim()) if dim is None else [dim] if isinstance(dim, int) else dim
        code = "fft.complex(a)"
        for d in dims:
            code = "fft.%s(%s, %s)" % (name, code, axis(d))
        return Case("fft.real(%s)" % code, [sample.input], note="axes one after the other")
    return handler


for name in ("fftshift", "ifftshift"):
    handles("fft." + name)(shifted(name))


def pieces(sample, names):
    """Options of stft and istft, and the inputs."""
    values = arguments(sample, *names)
    words, inputs = ["n_fft = %d" % values["n_fft"]], [sample.input]
    for name in ("hop_length", "win_length", "length"):
        if values.get(name) is not None:
            words.append("%s = %d" % (name, values[name]))
    for name in ("center", "normalized", "onesided"):
        if values.get(name) is not None:
            words.append("%s = %s" % (name, boolean(values[name])))
    if values.get("window") is not None:
        words.append("window = b")
        inputs.append(values["window"])
    return ", ".join(words), inputs


@handles("stft")
def stft(sample):
    words, inputs = pieces(sample, ("n_fft", "hop_length", "win_length", "window", "center", "pad_mode", "normalized",
                                    "onesided", "return_complex"))
    return Case("fft.stft(a, {%s})" % words, inputs, real_parts)


@handles("istft")
def istft(sample):
    """Of a real type the database's samples are the parts of complex ones."""
    words, inputs = pieces(sample, ("n_fft", "hop_length", "win_length", "window", "center", "normalized", "onesided",
                                    "length", "return_complex"))
    if sample.kwargs.get("return_complex"):
        raise Inexpressible("istft: of complex signals")
    if sample.kwargs.get("onesided") is None and sample.input.shape[-3] == sample.kwargs["n_fft"]:
        words += ", onesided = false"  # PyTorch sees it by the size
    return Case("fft.istft(a, {%s})" % words, inputs, real_parts, instead=lambda operator: (
        lambda x, *args, **kwargs: operator(torch.view_as_complex(x), *args, **kwargs)))
