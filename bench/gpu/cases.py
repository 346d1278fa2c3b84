"""What compare.py measures, by importance. Names are those of bench/peers,
family/operation/shape[/backward]; bf16 products are a family of their own."""

import math
from dataclasses import dataclass
from typing import Callable

import torch

from sampling import split_name
from torch_operations import OPERATIONS

# Compiling takes seconds: only what people would compile. A graph is for what launching takes
# longer than running.
COMPILED = {"train/vae", "map/gelu/67108864", "map/gelu/67108864/backward",
            "rows/softmax/65536x1024", "rows/cross_entropy/8192x50304/backward",
            "reduce/sum_first/65536x4096"}
GRAPHS = {"train/vae", "map/gelu/65536", "rows/softmax/128x512", "product/nt/128x400x784",
          "product-bf16/nn/1024x1024x1024"}

NAMES = """
train/vae
map/gelu/67108864
map/gelu/67108864/backward
map/gelu_tanh/67108864
map/gelu_tanh/67108864/backward
map/gelu_sigmoid/67108864
map/gelu_sigmoid/67108864/backward
move/copy/268435456
map/add/67108864
product/nn/4096x4096x4096
product-bf16/nn/8192x8192x8192
rows/cross_entropy/8192x50304
rows/cross_entropy/8192x50304/backward
rows/softmax/65536x1024
rows/softmax/65536x1024/backward
reduce/sum_all/268435456
reduce/sum_last/65536x4096
reduce/sum_first/65536x4096
optim/adam/134217728
random/randn/268435456
move/transpose/16384x16384
move/embedding/50304x768
map/gelu/65536
rows/softmax/128x512
product/nt/128x400x784
product/nn/1024x1024x1024
product/nn/2048x2048x2048
product/nn/8192x8192x8192
product/nt/4096x4096x4096
product/tn/4096x4096x4096
product-bf16/nn/1024x1024x1024
product-bf16/nn/2048x2048x2048
product-bf16/nn/4096x4096x4096
product-bf16/nt/16384x768x768
product-bf16/tn/768x768x16384
product/nn/1x4096x4096
rows/log_softmax/65536x1024
rows/log_softmax/65536x1024/backward
rows/softmax/8192x8192
rows/softmax/262144x128
rows/softmax/1024x131072
reduce/max_last/65536x4096
reduce/mean_last/1048576x64
map/relu/67108864
map/relu/67108864/backward
map/exp/67108864
map/tanh/67108864
map/sigmoid/67108864
map/mul/67108864/backward
map/gelu/1048576
random/rand/268435456
""".split()

CHECKED_STEPS, BATCH, PIXELS, HIDDEN, LATENT = 3, 128, 784, 400, 20
TOKENS = 65536

# Of vae.h, in its order: outputs and inputs.
VAE_LAYERS = {"encode": (HIDDEN, PIXELS), "to_mean": (LATENT, HIDDEN),
              "to_log_variance": (LATENT, HIDDEN), "decode": (HIDDEN, LATENT),
              "to_pixels": (PIXELS, HIDDEN)}
VAE_NAMES = [f"{layer}.{kind}" for layer in VAE_LAYERS for kind in ("weight", "bias")]


@dataclass
class Work:
    """A case with its numbers. `call` takes the inputs and returns a list of results."""
    operation: str  # as the library names it
    inputs: list[torch.Tensor]
    forward: Callable[..., torch.Tensor] | None  # none: the peer keeps state, and has a class
    moved: float  # bytes of a call
    flops: float = 0.0
    backward: bool = False

    def call(self, inputs: list[torch.Tensor], forward: Callable | None = None):
        """The results, of the function or of a compiled one."""
        f = forward or self.forward
        return gradients(f, inputs) if self.backward else [f(*inputs)]


def normal(*shape: int, device, dtype=torch.float32) -> torch.Tensor:
    return torch.randn(shape, device=device, dtype=dtype)


def product(name: str, device) -> Work:
    family, how, (m, n, k), _ = split_name(name)
    dtype = torch.bfloat16 if family == "product-bf16" else torch.float32
    # Uniform in [-1, 1): what the ceiling is measured with.
    uniform = lambda *shape: (2 * torch.rand(shape, device=device) - 1).to(dtype)
    a = uniform(*((k, m) if how[0] == "t" else (m, k)))
    b = uniform(*((n, k) if how[1] == "t" else (k, n)))
    turned = lambda x, letter: x.t() if letter == "t" else x
    multiply = lambda a, b: turned(a, how[0]) @ turned(b, how[1])
    moved = a.element_size() * (m * k + k * n + m * n)
    return Work(how, [a, b], multiply, moved, 2.0 * m * n * k)


def gradients(f: Callable, x: list[torch.Tensor]) -> list[torch.Tensor]:
    *operands, g = x
    wanted = [t.detach().requires_grad_() if t.is_floating_point() else t for t in operands]
    return list(torch.autograd.grad(f(*wanted), [t for t in wanted if t.requires_grad], g))


def table_operation(name: str, device, arrays: Callable[[str, bool], float]) -> Work:
    _, op, shape, backward = split_name(name)
    inputs = [normal(*shape, device=device)]
    moved = 4.0 * math.prod(shape) * arrays(op, backward)
    if op in ("add", "mul"):
        inputs.append(normal(*shape, device=device))
    elif op == "cross_entropy":
        inputs.append(torch.randint(shape[1], shape[:1], device=device))
    elif op == "embedding":
        inputs.append(torch.randint(shape[0], (TOKENS,), device=device))
        moved = TOKENS * (2 * 4.0 * shape[1] + 8)
    f = OPERATIONS[op]
    if not backward:
        return Work(op, inputs, f, moved)
    inputs.append(torch.randn_like(f(*inputs)))
    return Work(f"{op}/backward", inputs, f, moved, backward=True)


def vae_parameters(device) -> list[torch.Tensor]:
    """Uniform in +-1 / sqrt(in), in the order of VAE_NAMES."""
    found = []
    for out, into in VAE_LAYERS.values():
        for shape in ((out, into), (out,)):
            found.append((2 * torch.rand(shape, device=device) - 1) / math.sqrt(into))
    return found


def work(name: str, device, arrays: Callable[[str, bool], float]) -> Work:
    family, op, shape, _ = split_name(name)
    if family in ("product", "product-bf16"):
        return product(name, device)
    if family == "random":
        x = torch.empty(shape, device=device)
        draw = torch.randn if op == "randn" else torch.rand
        return Work(op, [x], lambda x: draw(x.shape, device=x.device), 4.0 * x.numel())
    if family == "optim":
        x, g = normal(*shape, device=device), normal(*shape, device=device)
        return Work(op, [x, g], None, 28.0 * x.numel())
    if name == "train/vae":
        pictures = torch.rand(BATCH, PIXELS, device=device)
        noise = normal(CHECKED_STEPS, BATCH, LATENT, device=device)
        weights = 2 * PIXELS * HIDDEN + 3 * HIDDEN * LATENT
        flops = 2.0 * BATCH * (3 * weights - PIXELS * HIDDEN)
        return Work("vae", [*vae_parameters(device), pictures, noise], None,
                    28.0 * weights, flops)
    return table_operation(name, device, arrays)


def small(name: str) -> str:
    """The same case with sizes of at most 64, to see that it works."""
    parts = name.split("/")
    if len(parts) > 2:
        parts[2] = "x".join(str(min(int(n), 64)) for n in parts[2].split("x"))
    return "/".join(parts)
