"""Values of PyTorch's distributions for spec/distributions_spec.lua.

    python3 spec/support/distributions.py spec/fixtures     writes distributions.safetensors anew

A case NAME has NAME/x, NAME/log_prob, NAME/entropy, NAME/mean, NAME/variance, and the gradients of sum(log_prob) with
respect to its parameters, NAME/d_PARAMETER; a pair has NAME/kl.
"""
import sys

import torch
import torch.distributions as d

import layers

put = layers.put


def case(name, make, x, **parameters):
    parameters = {key: value.clone().requires_grad_() for key, value in parameters.items()}
    p = make(**parameters)
    log_prob = p.log_prob(x)
    put(f"{name}/x", x)
    put(f"{name}/log_prob", log_prob)
    log_prob.sum().backward()
    for key, value in parameters.items():
        put(f"{name}/{key}", value)
        put(f"{name}/d_{key}", value.grad)
    for what in ("entropy", "mean", "variance"):
        try:
            value = getattr(p, what)
            put(f"{name}/{what}", value() if what == "entropy" else value)
        except NotImplementedError:
            pass


def main():
    torch.manual_seed(2)
    loc, scale, x = torch.randn(3), torch.rand(3) + 0.5, torch.randn(5, 3)
    logits, wide = torch.randn(3), torch.randn(2, 4)
    case("normal", d.Normal, x, loc=loc, scale=scale)
    case("laplace", d.Laplace, x, loc=loc, scale=scale)
    case("uniform", d.Uniform, loc + 1.9 * torch.rand(5, 3) - 0.95, low=loc - 1, high=loc + 1)
    case("bernoulli_logits", lambda logits: d.Bernoulli(logits=logits), (x > 0).float(), logits=logits)
    case("bernoulli_probs", lambda probs: d.Bernoulli(probs=probs), (x > 0).float(), probs=torch.sigmoid(logits))
    case("categorical_logits", lambda logits: d.Categorical(logits=logits), torch.tensor([[0, 3], [2, 1], [1, 1]]),
         logits=wide)
    case("categorical_probs", lambda probs: d.Categorical(probs=probs), torch.tensor([[0, 3], [2, 1], [1, 1]]),
         probs=torch.rand(2, 4))
    case("relaxed", lambda logits: d.RelaxedOneHotCategorical(torch.tensor(0.7), logits=logits),
         torch.softmax(torch.randn(3, 2, 4), -1), logits=wide)
    case("independent", lambda loc, scale: d.Independent(d.Normal(loc, scale), 1), torch.randn(4, 2, 3),
         loc=torch.randn(2, 3), scale=torch.rand(2, 3) + 0.5)
    case("mixture", lambda logits, loc, scale: d.MixtureSameFamily(d.Categorical(logits=logits), d.Normal(loc, scale)),
         torch.randn(5), logits=logits, loc=loc, scale=scale)
    case("mixture_vectors", lambda logits, loc, scale: d.MixtureSameFamily(
        d.Categorical(logits=logits), d.Independent(d.Laplace(loc, scale), 1)),
         torch.randn(5, 2), logits=logits, loc=torch.randn(3, 2), scale=torch.rand(3, 2) + 0.5)
    case("multivariate_tril", lambda loc, tril: d.MultivariateNormal(loc, scale_tril=tril.tril()), torch.randn(4, 2, 3),
         loc=torch.randn(2, 3), tril=torch.randn(2, 3, 3).tril(-1) + torch.diag_embed(torch.rand(2, 3) + 0.5))
    a = torch.randn(3, 3)
    case("multivariate_covariance", lambda loc, covariance: d.MultivariateNormal(loc, (covariance + covariance.T) / 2),
         torch.randn(4, 3), loc=loc, covariance=a @ a.T + 0.5 * torch.eye(3))
    n, m = d.Normal(loc, scale), d.Normal(torch.tensor(0.5), torch.tensor(2.0))
    lap, lap2 = d.Laplace(loc, scale), d.Laplace(torch.tensor(0.5), torch.tensor(2.0))
    uni, uni2 = d.Uniform(loc - 1, loc + 1), d.Uniform(torch.tensor(-2.0), torch.tensor(2.5))
    pairs = {"normal": (n, m), "laplace": (lap, lap2), "laplace_normal": (lap, m), "uniform": (uni, uni2),
             "uniform_normal": (uni, m),
             "bernoulli": (d.Bernoulli(logits=logits), d.Bernoulli(probs=torch.tensor(0.3))),
             "categorical": (d.Categorical(logits=wide), d.Categorical(logits=torch.zeros(4))),
             "independent": (d.Independent(n, 1), d.Independent(d.Normal(torch.zeros(3), torch.ones(3)), 1)),
             "multivariate": (d.MultivariateNormal(loc, scale_tril=torch.diag(scale) + 0.1 * torch.ones(3, 3).tril(-1)),
                              d.MultivariateNormal(torch.zeros(3), a @ a.T + 0.5 * torch.eye(3)))}
    for name, (p, q) in pairs.items():
        put(f"kl_{name}/kl", d.kl_divergence(p, q))
    put("kl/loc", loc)
    put("kl/scale", scale)
    put("kl/logits", logits)
    put("kl/wide", wide)
    put("kl/covariance", a @ a.T + 0.5 * torch.eye(3))


if __name__ == "__main__":
    layers.arrays.clear()
    main()
    layers.write(sys.argv[1] + "/distributions.safetensors")
