"""The sheet's four steps in JAX: images in NHWC, the whole step under jit, Adam written out as optax has it. Asked
and answered as peer.py is."""
import argparse
import os
import time

options = argparse.ArgumentParser()
options.add_argument("--threads", type=int, default=1)
options = options.parse_args()
if options.threads == 1:
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import jax  # noqa: E402  (its flags are read when it is imported)
import jax.numpy as jnp  # noqa: E402

from peer_pipe import serve  # noqa: E402

keys = iter(jax.random.split(jax.random.PRNGKey(1), 100))


def uniform(*shape):
    return jax.random.uniform(next(keys), shape)


def conv_weights(inputs, outputs):
    return jax.random.normal(next(keys), (3, 3, inputs, outputs)) * 0.1, jnp.zeros(outputs)


def linear_weights(inputs, outputs):
    return jax.random.normal(next(keys), (inputs, outputs)) * 0.1, jnp.zeros(outputs)


def conv(x, p):
    return jax.lax.conv_general_dilated(x, p[0], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")) + p[1]


def linear(x, p):
    return x @ p[0] + p[1]


def pool(x, height=2, width=2):
    window = (1, height, width, 1)
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")


def upsample(x, height=2, width=2):
    return jnp.repeat(jnp.repeat(x, height, 1), width, 2)


def flat(x):
    return x.reshape(x.shape[0], -1)


def blocks():
    return [conv_weights(1, 16)] + [conv_weights(16, 16) for _ in range(3)]


def run_blocks(p, x):
    for layer in p:
        x = pool(jax.nn.relu(conv(x, layer)))
    return x


def ups():
    return [conv_weights(16, 16) for _ in range(3)] + [conv_weights(16, 1)]


def run_ups(p, x):
    for i, layer in enumerate(p):
        x = conv(upsample(x), layer)
        x = jax.nn.relu(x) if i < 3 else x
    return x


def decode(p, z):
    return run_ups(p["ups"], jax.nn.relu(linear(z, p["from_z"])).reshape(-1, 2, 2, 16))


def ae(spec):
    p = {"blocks": blocks(), "to_z": conv_weights(16, 1), "from_z": conv_weights(1, 16), "ups": ups()}

    def loss(p, x):
        z = pool(jax.nn.relu(conv(run_blocks(p["blocks"], x), p["to_z"])), 1, 2)
        r = run_ups(p["ups"], jax.nn.relu(conv(upsample(z, 1, 2), p["from_z"])))
        return jnp.mean((r - x) ** 2)
    return loss, p, (uniform(spec["batch"], 32, 32, 1) * 2 - 1,), 1e-3


def classifier(spec):
    p = {"blocks": blocks(), "out": linear_weights(64, 10)}
    y = jax.random.randint(next(keys), (spec["batch"],), 0, 10)

    def loss(p, x, y):
        logits = linear(flat(run_blocks(p["blocks"], x)), p["out"])
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1))
    return loss, p, (uniform(spec["batch"], 32, 32, 1) * 2 - 1, y), 1e-3


def vae_weights(latent):
    return {"blocks": blocks(), "mu": [linear_weights(64, 32), linear_weights(32, latent)],
            "log_var": [linear_weights(64, 32), linear_weights(32, latent)], "from_z": linear_weights(latent, 64),
            "ups": ups()}


def vae(spec):
    noise_key = next(keys)

    def loss(p, x):
        h = flat(run_blocks(p["blocks"], x))
        mu, log_var = (linear(jax.nn.relu(linear(h, a)), b) for a, b in (p["mu"], p["log_var"]))
        r = decode(p, mu + jnp.exp(log_var / 2) * jax.random.normal(noise_key, mu.shape))
        kl = 0.5 * jnp.mean(jnp.sum(mu ** 2 + jnp.exp(log_var) - 1 - log_var, 1))
        return jnp.mean((r - x) ** 2) + 0.01 * kl
    return loss, vae_weights(spec["latent"]), (uniform(spec["batch"], 32, 32, 1) * 2 - 1,), 1e-3


def map_(spec):
    weights = vae_weights(spec["latent"])

    def loss(z, noisy):
        return jnp.mean((decode(weights, z) - noisy) ** 2) + 0.01 * jnp.mean(z ** 2)
    codes = spec["codes"]
    noisy = jax.random.normal(next(keys), (codes, 32, 32, 1))
    return loss, jax.random.normal(next(keys), (codes, spec["latent"])), (noisy,), 0.01


def adam_step(loss, lr):
    def step(p, m, v, t, *data):
        g = jax.grad(loss)(p, *data)
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        a, b = 1 - 0.9 ** t, 1 - 0.999 ** t
        p = jax.tree.map(lambda p, m, v: p - lr * (m / a) / (jnp.sqrt(v / b) + 1e-8), p, m, v)
        return p, m, v, t
    return jax.jit(step, donate_argnums=(0, 1, 2))


class Bench:
    version = "JAX " + jax.__version__
    kinds = {"ae": ae, "classifier": classifier, "vae": vae, "map": map_}

    def prepare(self, spec):
        if spec["kind"] not in self.kinds:
            raise RuntimeError("not written in JAX")
        loss, p, data, lr = self.kinds[spec["kind"]](spec)
        step = adam_step(loss, lr)
        zeros = jax.tree.map(jnp.zeros_like, p)
        state = (p, zeros, jax.tree.map(jnp.array, zeros), jnp.float32(0))

        def run(n):
            nonlocal state
            start = time.perf_counter()
            for _ in range(n):
                state = step(*state, *data)
            jax.block_until_ready(state)
            return time.perf_counter() - start
        run.timed = True
        return {"jit": run}


serve(Bench())
