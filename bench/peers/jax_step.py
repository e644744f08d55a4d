"""The `paper` preset's step in JAX, for `lockstep bench engines --peer`.

Forward, all gradients of generator and discriminator, and Adam, in one function compiled by `jit`,
whose state stays on the device. Needs `pip install jax` (`jax[cuda13]` for NVIDIA's GPUs). Prints
one line of JSON: the median seconds of a step, the seconds of its compilation, and what computed it.

    python3 bench/peers/jax_step.py --batch 8 --threads 1 --steps 5
        [--device cpu|cuda] [--precision float32|tf32|bfloat16]
"""

import argparse
import json
import os
import statistics
import time


def arguments():
    parser = argparse.ArgumentParser()
    for name, value in (("batch", 8), ("threads", 1), ("steps", 5), ("crop", 96)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32", choices=("float32", "tf32", "bfloat16"))
    return parser.parse_args()


args = arguments()
# Read while JAX is loaded.
os.environ.setdefault("JAX_PLATFORMS", args.device)
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
os.environ["PJRT_NPROC"] = str(args.threads)

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
from jax import lax  # noqa: E402

blocks, channels = 16, 64
strides = [(c, s) for c in (64, 128, 256, 512) for s in (1, 2)]
exact = lax.Precision.DEFAULT if args.precision == "tf32" else lax.Precision.HIGHEST
operand = jnp.bfloat16 if args.precision == "bfloat16" else jnp.float32


def parameters(key):
    shapes = {"g.head.w": (9, 9, 3, 64), "g.head.b": (64,), "g.head.a": (64,)}
    for i in [*range(2 * blocks), "mid"]:
        shapes |= {f"g.{i}.w": (3, 3, 64, 64), f"g.{i}.b": (64,)}
        shapes |= {f"g.{i}.scale": (64,), f"g.{i}.shift": (64,), f"g.{i}.a": (64,)}
    for i in range(2):
        shapes |= {f"g.up{i}.w": (3, 3, 64, 256), f"g.up{i}.b": (256,), f"g.up{i}.a": (64,)}
    shapes |= {"g.tail.w": (9, 9, 64, 3), "g.tail.b": (3,)}
    before = 3
    for i, (c, _) in enumerate(strides):
        shapes |= {f"d.{i}.w": (3, 3, before, c), f"d.{i}.b": (c,)}
        shapes |= {f"d.{i}.scale": (c,), f"d.{i}.shift": (c,)} if i > 0 else {}
        before = c
    shapes |= {"d.dense.w": ((args.crop // 16) ** 2 * 512, 1024), "d.dense.b": (1024,)}
    shapes |= {"d.out.w": (1024, 1), "d.out.b": (1,)}
    keys = jax.random.split(key, len(shapes))
    return {name: 0.02 * jax.random.normal(k, s) for k, (name, s) in zip(keys, shapes.items())}


def conv(p, name, x, stride=1):
    y = lax.conv_general_dilated(
        x.astype(operand), p[f"{name}.w"].astype(operand), (stride, stride), "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"), precision=exact,
    )
    return y.astype(jnp.float32) + p[f"{name}.b"]


def dense(p, name, x):
    y = jnp.dot(x.astype(operand), p[f"{name}.w"].astype(operand), precision=exact)
    return y.astype(jnp.float32) + p[f"{name}.b"]


def norm(p, name, x):
    mean = x.mean((0, 1, 2))
    variance = ((x - mean) ** 2).mean((0, 1, 2))
    return (x - mean) * lax.rsqrt(variance + 1e-5) * p[f"{name}.scale"] + p[f"{name}.shift"]


def prelu(p, name, x):
    return jnp.where(x > 0, x, p[f"{name}.a"] * x)


def leaky(x):
    return jnp.where(x > 0, x, 0.2 * x)


def shuffle(x):
    n, h, w, c = x.shape
    x = x.reshape(n, h, w, 2, 2, c // 4).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(n, 2 * h, 2 * w, c // 4)


def generator(p, x):
    x = head = prelu(p, "g.head", conv(p, "g.head", x))
    for i in range(blocks):
        first, second = f"g.{2 * i}", f"g.{2 * i + 1}"
        y = prelu(p, first, norm(p, first, conv(p, first, x)))
        x = x + norm(p, second, conv(p, second, y))
    x = head + norm(p, "g.mid", conv(p, "g.mid", x))
    for i in range(2):
        x = prelu(p, f"g.up{i}", shuffle(conv(p, f"g.up{i}", x)))
    return jnp.tanh(conv(p, "g.tail", x))


def discriminator(p, x):
    for i, (_, stride) in enumerate(strides):
        x = conv(p, f"d.{i}", x, stride)
        x = leaky(norm(p, f"d.{i}", x) if i > 0 else x)
    return dense(p, "d.out", leaky(dense(p, "d.dense", x.reshape(x.shape[0], -1))))


def bce(logits, label):
    return jax.nn.softplus(-logits if label else logits).mean()


def adam(p, m, v, g, count):
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
    rate, scale = 1e-4 / (1 - 0.9**count), 1 / (1 - 0.999**count)
    p = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v * scale) + 1e-7), p, m, v)
    return p, m, v


def step(state, lr, hr):
    p, m, v, count = state
    of = lambda net: {name: value for name, value in p.items() if name.startswith(net)}

    def generator_loss(g):
        sr = generator(g, lr)
        return ((sr - hr) ** 2).mean() + 1e-3 * bce(discriminator(p, sr), True), sr

    def discriminator_loss(d):
        return bce(discriminator(d, hr), True) + bce(discriminator(d, sr), False)

    (loss, sr), gradients = jax.value_and_grad(generator_loss, has_aux=True)(of("g."))
    gradients |= jax.grad(discriminator_loss)(of("d."))
    # Parameters that the step does not use have none.
    gradients = {name: gradients.get(name, jnp.zeros_like(p[name])) for name in p}
    return (*adam(p, m, v, gradients, count), count + 1), loss


def main():
    p = parameters(jax.random.key(0))
    zeros = lambda: jax.tree.map(jnp.zeros_like, p)
    state = (p, zeros(), zeros(), jnp.float32(1))
    keys = jax.random.split(jax.random.key(1))
    lr = jax.random.uniform(keys[0], (args.batch, args.crop // 4, args.crop // 4, 3))
    hr = jax.random.uniform(keys[1], (args.batch, args.crop, args.crop, 3), minval=-1)
    start = time.perf_counter()
    compiled = jax.jit(step, donate_argnums=0).lower(state, lr, hr).compile()
    compile_s = time.perf_counter() - start
    times = []
    for i in range(args.steps + 2):
        start = time.perf_counter()
        state, loss = compiled(state, lr, hr)
        jax.block_until_ready((state, loss))
        if i >= 2:
            times.append(time.perf_counter() - start)
    result = {
        "step_s": round(statistics.median(times), 4),
        "compile_s": round(compile_s, 2),
        "engine": f"JAX {jax.__version__} {args.device} {args.precision} jit",
    }
    print(json.dumps(result))


main()
