"""The functions of gradus.h, on tensors of PyTorch."""

import ctypes
from pathlib import Path

import torch

DTYPES = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 2, torch.int32: 3, torch.int64: 4}


class Array(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("sizes", ctypes.POINTER(ctypes.c_int64)),
                ("rank", ctypes.c_int32), ("dtype", ctypes.c_int32)]


def array(tensor: torch.Tensor) -> Array:
    assert tensor.is_contiguous()
    sizes = (ctypes.c_int64 * tensor.dim())(*tensor.shape)
    return Array(tensor.data_ptr(), sizes, tensor.dim(), DTYPES[tensor.dtype])


class Library:
    def __init__(self, path: Path, device: str):
        self.c = ctypes.CDLL(str(path))
        p, i, n = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
        for name, result, arguments in (
                ("open", i, [ctypes.c_char_p]), ("stream", p, []), ("error", ctypes.c_char_p, []),
                ("arrays", ctypes.c_double, [ctypes.c_char_p, i]),
                ("prepare", p, [ctypes.c_char_p, ctypes.POINTER(Array), i, i, i]),
                ("run", i, [p, n]), ("poison", i, [p]), ("result_size", n, [p, i]),
                ("result", i, [p, i, p]), ("destroy", None, [p]), ("synchronize", i, [])):
            function = getattr(self.c, f"gradus_{name}")
            function.restype, function.argtypes = result, arguments
        self.check(self.c.gradus_open(device.encode()))

    def check(self, status):
        if status is None or status == -1:
            raise RuntimeError(self.c.gradus_error().decode())
        return status

    def stream(self) -> int | None:
        return self.c.gradus_stream()

    def arrays(self, operation: str, backward: bool) -> float:
        return self.check(self.c.gradus_arrays(operation.encode(), backward))

    def synchronize(self) -> None:
        self.check(self.c.gradus_synchronize())


class Job:
    """A piece of work; `with` frees what it holds."""

    def __init__(self, library: Library, name: str, inputs: list[torch.Tensor], sets: int,
                 graph: bool = False):
        self.library, self.c = library, library.c
        self.device = inputs[0].device
        arrays = (Array * len(inputs))(*map(array, inputs))
        self.handle = library.check(
            self.c.gradus_prepare(name.encode(), arrays, len(inputs), sets, graph))

    def __enter__(self) -> "Job":
        return self

    def __exit__(self, *_) -> None:
        self.c.gradus_destroy(self.handle)

    def run(self, calls: int) -> None:
        self.library.check(self.c.gradus_run(self.handle, calls))

    def poison(self) -> None:
        self.library.check(self.c.gradus_poison(self.handle))

    def results(self, count: int) -> list[torch.Tensor]:
        """The first results of the last call on the first set, flat."""
        found = []
        for i in range(count):
            size = self.library.check(self.c.gradus_result_size(self.handle, i))
            found.append(torch.empty(size, device=self.device))
            self.library.check(self.c.gradus_result(self.handle, i, found[i].data_ptr()))
        return found
