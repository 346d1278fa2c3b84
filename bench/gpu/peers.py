"""PyTorch at the work of cases.py: what is timed, with its first results."""

from collections.abc import Callable

import torch

from cases import VAE_NAMES, Work
from torch_operations import vae_loss


class Peer:
    """`sets` copies of the inputs, which calls take in turn; results stay until the next turn."""

    def __init__(self, work: Work, sets: int, compiled: bool = False):
        self.work = work
        self.sets = [[t.clone() for t in work.inputs] for _ in range(sets)]
        self.held: list[list[torch.Tensor]] = [[] for _ in range(sets)]
        self.next = 0
        self.forward = torch.compile(work.forward) if compiled else work.forward

    def one(self) -> None:
        self.held[self.next] = self.work.call(self.sets[self.next], self.forward)
        self.next = (self.next + 1) % len(self.sets)

    def run(self, calls: int) -> None:
        for _ in range(calls):
            self.one()

    def results(self) -> list[torch.Tensor]:
        self.next = 0
        self.one()
        return self.held[0]


class Adam(Peer):
    def __init__(self, work: Work, sets: int, fused: bool):
        super().__init__(work, sets)
        self.optimizers = []
        for x, g in self.sets:
            x.requires_grad_().grad = g
            self.optimizers.append(torch.optim.Adam([x], lr=1e-3, fused=fused or None))

    def one(self) -> None:
        self.optimizers[self.next].step()
        self.next = (self.next + 1) % len(self.sets)

    def results(self) -> list[torch.Tensor]:
        self.one()
        return [self.sets[0][0].detach()]


class Training(Peer):
    """Of the variational autoencoder, on copies of the parameters; in double the reference."""

    def __init__(self, work: Work, mode: str | None = None, capturable: bool = False):
        *parameters, self.x, self.noise = (t.detach().clone() for t in work.inputs)
        self.p = {n: t.requires_grad_() for n, t in zip(VAE_NAMES, parameters)}
        fused = self.x.is_cuda and self.x.dtype == torch.float32
        self.adam = torch.optim.Adam(self.p.values(), lr=1e-3, fused=fused or None,
                                     capturable=capturable)
        self.loss = vae_loss
        if mode:
            for t in (*self.p.values(), self.x):
                torch._dynamo.mark_static_address(t)
            self.loss = torch.compile(vae_loss, mode=mode)

    def step(self, noise: torch.Tensor) -> torch.Tensor:
        torch.compiler.cudagraph_mark_step_begin()
        self.adam.zero_grad()
        loss = self.loss(self.p, self.x, noise)
        loss.backward()
        self.adam.step()
        return loss.detach().clone()

    def one(self) -> None:
        self.step(torch.randn_like(self.noise[0]))

    def results(self) -> list[torch.Tensor]:
        return [torch.stack([self.step(e) for e in self.noise])]


class Captured:
    """The calls of another one on all its sets, as one graph captured by hand."""

    def __init__(self, peer: Peer, sets: int):
        self.peer, self.sets = peer, sets
        self.first = [t.clone() for t in peer.results()]
        peer.run(2 * sets)  # allocates and selects before it is captured
        self.graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        with torch.cuda.graph(self.graph):
            peer.run(sets)

    def run(self, calls: int) -> None:
        for _ in range(0, calls, self.sets):
            self.graph.replay()

    def results(self) -> list[torch.Tensor]:
        return self.first


def make(work: Work, sets: int, graph: bool, compiled: bool) -> dict[str, Callable[[], object]]:
    """By their names, what makes each."""
    training = work.operation == "vae"
    if graph:
        made = {"torch": lambda: Captured(
            Training(work, capturable=True) if training else Peer(work, sets), sets)}
        if training and compiled:
            made["torch-compile"] = lambda: Training(work, "reduce-overhead")
        return made
    if work.operation == "adam":
        return {"torch": lambda: Adam(work, sets, fused=False),
                "torch-fused": lambda: Adam(work, sets, fused=True)}
    made = {"torch": lambda: Training(work) if training else Peer(work, sets)}
    if compiled:
        made["torch-compile"] = (lambda: Training(work, "default")) if training else (
            lambda: Peer(work, sets, compiled=True))
    return made


def reference(work: Work) -> list[torch.Tensor] | None:
    """In double, from the numbers as they were rounded; none for random ones."""
    if work.operation in ("rand", "randn"):
        return None
    double = Work(**{**vars(work), "inputs": [
        t.double() if t.is_floating_point() else t for t in work.inputs]})
    if work.operation == "vae":
        return Training(double).results()
    if work.operation == "adam":
        return Adam(double, 1, fused=False).results()
    return double.call(double.inputs)
