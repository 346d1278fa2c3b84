"""JAX at the work of gradus_peers, everything under jit; options in sampling.py. The number of
threads is that of the processors this process may use."""

import jax
import jax.numpy as jnp

from sampling import Numbers, arguments, probe, serve, split_name

options = arguments()
options.impl = options.impl or "jax"
numbers = Numbers(options.data)


def cross_entropy(x, target):
    return -jnp.take_along_axis(jax.nn.log_softmax(x), target[:, None], 1).mean()


OPERATIONS = {
    "add": lambda x, y: x + y,
    "mul": lambda x, y: x * y,
    "relu": jax.nn.relu,
    "exp": jnp.exp,
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "gelu_tanh": lambda x: jax.nn.gelu(x, approximate=True),
    "gelu_sigmoid": lambda x: x * jax.nn.sigmoid(1.702 * x),
    "softmax": jax.nn.softmax,
    "log_softmax": jax.nn.log_softmax,
    "cross_entropy": cross_entropy,
    "sum_all": lambda x: x.sum(),
    "sum_last": lambda x: x.sum(-1),
    "sum_first": lambda x: x.sum(0),
    "mean_last": lambda x: x.mean(-1),
    "max_last": lambda x: x.max(-1),
    "copy": jnp.copy,
    "transpose": jnp.transpose,
    "embedding": lambda x, y: x[y],
}


def waiting(f, *inputs):
    """f(*inputs) until the result is there."""
    return lambda: jax.block_until_ready(f(*inputs))


def operation(name: str):
    _, op, shape, backward = split_name(name)
    f = OPERATIONS[op]
    floats, rest = [jnp.asarray(numbers.normal(shape, 1))], []
    if op in ("add", "mul"):
        floats.append(jnp.asarray(numbers.normal(shape, 2)))
    elif op == "cross_entropy":
        rest.append(jnp.asarray(numbers.indices(shape[:1], shape[1])))
    elif op == "embedding":
        rest.append(jnp.asarray(numbers.indices((32, 128), shape[0])))
    forward = jax.jit(f)
    y = forward(*floats, *rest)
    if not backward:
        return waiting(forward, *floats, *rest), probe(y)

    @jax.jit
    def both(g, *floats):  # the others compute the output too
        y, pull = jax.vjp(lambda *floats: f(*floats, *rest), *floats)
        return y, pull(g)

    g = jnp.asarray(numbers.normal(y.shape, 2))
    return waiting(both, g, *floats), probe(*both(g, *floats)[1])


def product(name: str):
    _, how, (m, n, k, *batch), _ = split_name(name)

    def operand(rows: int, columns: int, transposed: bool, seed: int):
        stored = (columns, rows) if transposed else (rows, columns)
        return jnp.asarray(numbers.normal((*batch, *stored), seed))

    def multiply(a, b):
        a = jnp.swapaxes(a, -2, -1) if how[0] == "t" else a
        return jnp.matmul(a, jnp.swapaxes(b, -2, -1) if how[1] == "t" else b)

    a, b = operand(m, k, how[0] == "t", 1), operand(k, n, how[1] == "t", 2)
    f = jax.jit(multiply)
    return waiting(f, a, b), probe(f(a, b))


def random(name: str):
    _, op, shape, _ = split_name(name)
    draw = {"randn": jax.random.normal, "rand": jax.random.uniform}[op]
    return waiting(jax.jit(lambda key: draw(key, shape)), jax.random.key(1)), []


def adam(p, g, state, rate=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    """The parameters after a step, and (steps, m, v); p and g are trees of the same kind."""
    steps, m, v = state
    steps = steps + 1
    m = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, m, g)
    v = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * g * g, v, g)
    a, b = 1 / (1 - beta1**steps), 1 / (1 - beta2**steps)
    p = jax.tree.map(lambda p, m, v: p - rate * a * m / (jnp.sqrt(b * v) + eps), p, m, v)
    return p, (steps, m, v)


def adam_start(p):
    zeros = lambda: jax.tree.map(jnp.zeros_like, p)
    return jnp.float32(0), zeros(), zeros()


def adam_step(name: str):
    _, _, shape, _ = split_name(name)
    g = jnp.asarray(numbers.normal(shape, 2))
    f = jax.jit(adam, donate_argnums=(0, 2))
    p = jnp.asarray(numbers.normal(shape, 1))
    state = list(f(p, g, adam_start(p)))
    check = probe(state[0])

    def call():
        state[:] = jax.block_until_ready(f(state[0], g, state[1]))

    return call, check


def load(name: str):
    return {k: jnp.asarray(v) for k, v in numbers.model(name).items()}


def perceptron():
    p = load("mlp")
    x, target = jnp.asarray(numbers.normal((4, 16), 1)), jnp.asarray(numbers.normal((4, 1), 2))

    def loss(p):
        hidden = jax.nn.relu(x @ p["layers.0.weight"].T + p["layers.0.bias"])
        return jnp.square(hidden @ p["layers.1.weight"].T + p["layers.1.bias"] - target).mean()

    f = jax.jit(jax.grad(loss))
    g = f(p)
    order = [f"layers.{i}.{kind}" for i in (0, 1) for kind in ("weight", "bias")]
    return waiting(f, p), probe(*(g[name] for name in order))


def overhead(name: str):
    _, op, _, backward = split_name(name)
    if op == "mlp_16_8_1":
        return perceptron()
    if op != "add_16":
        return None  # nothing is recorded outside of a transformation
    x, y = jnp.asarray(numbers.normal((16,), 1)), jnp.asarray(numbers.normal((16,), 2))
    f = jax.jit(jnp.add)
    return waiting(f, x, y), probe(f(x, y))


def vae():
    x = jnp.asarray(numbers.part("pictures", (128, 784)))
    noise = jnp.asarray(numbers.load("vae.noise"))

    def loss(p, noise):
        linear = lambda layer, x: x @ p[f"{layer}.weight"].T + p[f"{layer}.bias"]
        h = jax.nn.relu(linear("encode", x))
        mean, log_variance = linear("to_mean", h), linear("to_log_variance", h)
        z = mean + noise * jnp.exp(0.5 * log_variance)
        logits = linear("to_pixels", jax.nn.relu(linear("decode", z)))
        kl = 0.5 * (jnp.square(mean) + jnp.exp(log_variance) - log_variance - 1).sum()
        bce = jnp.maximum(logits, 0) - logits * x + jnp.log1p(jnp.exp(-jnp.abs(logits)))
        return (bce.sum() + kl) / 128

    def step(p, state, noise):
        value, g = jax.value_and_grad(loss)(p, noise)
        return value, *adam(p, g, state)

    def drawing_step(p, state, key):
        key, drawn = jax.random.split(key)
        return *step(p, state, jax.random.normal(drawn, (128, 20))), key

    p = load("vae")
    state = adam_start(p)
    given, drawing = (jax.jit(f, donate_argnums=(0, 1)) for f in (step, drawing_step))
    check = []
    for e in noise:
        value, p, state = given(p, state, e)
        check.append(float(value))
    now = [p, state, jax.random.key(1)]

    def call() -> float:
        value, *now[:] = drawing(*now)
        return float(value)

    return call, check


def logistic_regression():
    x = jnp.asarray(numbers.load("pictures"))
    target = jnp.asarray(numbers.indices((468 * 128,), 10))

    @jax.jit
    def step(p, i, x, target):
        def loss(p):
            batch = lambda a: jax.lax.dynamic_slice_in_dim(a, i * 128, 128)
            return cross_entropy(batch(x) @ p["weight"].T + p["bias"], batch(target))

        value, g = jax.value_and_grad(loss)(p)
        return value, jax.tree.map(lambda p, g: p - 0.1 * g, p, g)

    now = [load("logreg")]

    def one(i: int) -> float:
        value, now[0] = step(now[0], i, x, target)
        return float(value)

    def run() -> None:
        for i in range(468):
            one(i)

    return run, [one(i) for i in range(5)]


serve(options, f"jax {jax.__version__}", perceptron, operation,
      {"product": product, "random": random, "optim": adam_step, "overhead": overhead},
      {"vae": vae, "logreg": logistic_regression})
