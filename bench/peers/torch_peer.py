"""PyTorch at the work of gradus_peers; options in sampling.py. --impl torch-fused does what has an
optimiser with the fused Adam, and nothing else."""

import torch
import torch.nn.functional as F

from sampling import Numbers, arguments, probe, serve, split_name
from torch_operations import OPERATIONS, vae_loss

options = arguments()
options.impl = options.impl or "torch"
fused = options.impl == "torch-fused"
torch.set_num_threads(options.threads)
numbers = Numbers(options.data)

def tensor(array) -> torch.Tensor:
    return torch.from_numpy(array)


def probes(*tensors: torch.Tensor) -> list[float]:
    return probe(*(t.detach().numpy() for t in tensors))


def leaves(name: str) -> dict[str, torch.Tensor]:
    return {k: tensor(v).requires_grad_() for k, v in numbers.model(name).items()}


def adam(parameters) -> torch.optim.Adam:
    return torch.optim.Adam(parameters, lr=1e-3, fused=True if fused else None)


def operation(name: str):
    _, op, shape, backward = split_name(name)
    f = OPERATIONS[op]
    inputs = [tensor(numbers.normal(shape, 1))]
    if op in ("add", "mul"):
        inputs.append(tensor(numbers.normal(shape, 2)))
    elif op == "cross_entropy":
        inputs.append(tensor(numbers.indices(shape[:1], shape[1])))
    elif op == "embedding":
        inputs.append(tensor(numbers.indices((32, 128), shape[0])))
    if not backward:
        return lambda: f(*inputs), probes(f(*inputs))
    wanted = [x.requires_grad_() for x in inputs if x.is_floating_point()]
    g = tensor(numbers.normal(tuple(f(*inputs).shape), 2))
    call = lambda: torch.autograd.grad(f(*inputs), wanted, g)
    return call, probes(*call())


def product(name: str):
    _, how, (m, n, k, *batch), _ = split_name(name)

    def operand(rows: int, columns: int, transposed: bool, seed: int) -> torch.Tensor:
        stored = (columns, rows) if transposed else (rows, columns)
        x = tensor(numbers.normal((*batch, *stored), seed))
        return x.transpose(-2, -1) if transposed else x

    a, b = operand(m, k, how[0] == "t", 1), operand(k, n, how[1] == "t", 2)
    return lambda: torch.matmul(a, b), probes(torch.matmul(a, b))


def random(name: str):
    _, op, shape, _ = split_name(name)
    return {"randn": lambda: torch.randn(shape), "rand": lambda: torch.rand(shape)}[op], []


def adam_step(name: str):
    _, _, shape, _ = split_name(name)
    p = tensor(numbers.normal(shape, 1)).requires_grad_()
    p.grad = tensor(numbers.normal(shape, 2))
    optimizer = adam([p])
    optimizer.step()
    return optimizer.step, probes(p)


def perceptron():
    p = leaves("mlp")
    x, target = tensor(numbers.normal((4, 16), 1)), tensor(numbers.normal((4, 1), 2))
    order = [p[f"layers.{i}.{kind}"] for i in (0, 1) for kind in ("weight", "bias")]

    def call():
        hidden = torch.relu(F.linear(x, order[0], order[1]))
        return torch.autograd.grad(F.mse_loss(F.linear(hidden, order[2], order[3]), target), order)

    return call, probes(*call())


def overhead(name: str):
    _, op, _, backward = split_name(name)
    if op == "mlp_16_8_1":
        return perceptron()
    x, y = tensor(numbers.normal((16,), 1)), tensor(numbers.normal((16,), 2))
    x.requires_grad_(op != "add_16")
    if op != "chain_1000":
        return lambda: x + y, probes(x + y)

    def call():
        z = x
        for _ in range(1000):
            z = z + y
        return torch.autograd.grad(z, x, y)[0] if backward else z

    return call, probes(call())


def vae():
    p = leaves("vae")
    optimizer = adam(list(p.values()))
    x = tensor(numbers.part("pictures", (128, 784)))
    noise = tensor(numbers.load("vae.noise"))

    def step(noise: torch.Tensor) -> float:
        optimizer.zero_grad()
        loss = vae_loss(p, x, noise)
        loss.backward()
        optimizer.step()
        return loss.item()

    return lambda: step(torch.randn(128, 20)), [step(e) for e in noise]


def logistic_regression():
    p = leaves("logreg")
    optimizer = torch.optim.SGD(p.values(), lr=0.1)
    x = tensor(numbers.load("pictures"))
    target = tensor(numbers.indices((468 * 128,), 10))

    def step(i: int) -> float:
        batch = slice(128 * i, 128 * i + 128)
        optimizer.zero_grad()
        loss = F.cross_entropy(F.linear(x[batch], p["weight"], p["bias"]), target[batch])
        loss.backward()
        optimizer.step()
        return loss.item()

    def run() -> None:
        for i in range(468):
            step(i)

    return run, [step(i) for i in range(5)]


serve(options, f"torch {torch.__version__}", perceptron, operation,
      {"product": product, "random": random, "optim": adam_step, "overhead": overhead},
      {"vae": vae, "logreg": logistic_regression}, lambda op: fused and op not in ("vae", "adam"))
