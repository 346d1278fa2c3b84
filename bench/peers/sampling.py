"""How the peers in Python measure, what they compare, and the numbers that gradus_peers wrote down
for them. The rules are those of sampling.h."""

import argparse
import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import numpy as np

from machine import busy_seconds, own_seconds, pace, peak_megabytes


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, help="what gradus_peers --export wrote")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--samples", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=0.4)
    parser.add_argument("--impl", help="the name of this variant in the output")
    parser.add_argument("--start", action="store_true", help="only a first gradient")
    parser.add_argument("--version", action="store_true")
    parser.add_argument("names", nargs="*")
    return parser.parse_args()


class Numbers:
    """Arrays by the rules of workload.h: a smaller one is the beginning of the larger."""

    def __init__(self, folder: Path):
        self.folder = folder

    def load(self, name: str) -> np.ndarray:
        return np.load(self.folder / f"{name}.npy")

    def part(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        stored = np.load(self.folder / f"{name}.npy", mmap_mode="r").reshape(-1)
        return np.array(stored[: int(np.prod(shape))]).reshape(shape)

    def normal(self, shape: tuple[int, ...], seed: int) -> np.ndarray:
        return self.part(f"normal{seed}", shape)

    def indices(self, shape: tuple[int, ...], limit: int) -> np.ndarray:
        return self.part("indices", shape) % limit

    def model(self, name: str) -> dict[str, np.ndarray]:
        """The parameters, in the order of their names."""
        files = sorted(self.folder.glob(f"{name}.*.npy"))
        return {f.name[len(name) + 1 : -4]: np.load(f) for f in files if "noise" not in f.name}


def probe(*arrays: np.ndarray) -> list[float]:
    values = []
    for array in arrays:
        flat = np.asarray(array).reshape(-1)
        values += [float(flat[i * (flat.size - 1) // 4]) for i in range(5)]
        values.append(float(np.linalg.norm(flat.astype(np.float64))))
    return values


def split_name(name: str) -> tuple[str, str, tuple[int, ...], bool]:
    """family, operation, shape and whether backward, of "map/add/1000000/backward"."""
    parts = name.split("/")
    backward = parts[-1] == "backward"
    parts = parts[: len(parts) - backward]
    shape = tuple(map(int, parts[2].split("x"))) if len(parts) > 2 else ()
    return parts[0], parts[1], shape, backward


def timed(call: Callable[[], object], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return time.perf_counter() - start


@dataclass
class Measured:
    seconds: list[float]  # of one call, sorted
    load: float = 0.0  # processors that others kept busy meanwhile
    pace: float = 0.0  # the slower one of before and after


def measure(options: argparse.Namespace, call: Callable[[], object]) -> Measured:
    warm = 0.0
    while warm < options.seconds / 4:
        warm += timed(call, 1)
    calls = 1
    while timed(call, calls) < 5e-4:
        calls *= 2

    samples: list[float] = []
    before = pace()
    busy, own, start, spent = busy_seconds(), own_seconds(), time.perf_counter(), 0.0
    while True:
        seconds = timed(call, calls)
        samples.append(seconds / calls)
        spent += seconds
        if len(samples) >= options.samples and spent >= options.seconds:
            break
        if len(samples) >= 3 and spent >= 5 * options.seconds:
            break
    others = (busy_seconds() - busy) - (own_seconds() - own)
    load = max(0.0, others / (time.perf_counter() - start))
    return Measured(sorted(samples), load, max(before, pace()))


def print_line(options: argparse.Namespace, name: str, measured: Measured,
               check: list[float]) -> None:
    samples = measured.seconds
    median = statistics.median(samples)
    count = len(samples)
    line = {
        "name": name, "impl": options.impl, "threads": options.threads,
        "median_ms": 1e3 * median, "min_ms": 1e3 * samples[0],
        "spread": round((samples[3 * count // 4] - samples[count // 4]) / median, 3),
        "samples": count, "load": round(measured.load, 3), "pace_ms": 1e3 * measured.pace,
        "peak_mb": round(peak_megabytes(), 1), "check": check,
    }
    print(json.dumps(line), flush=True)


def report(options: argparse.Namespace, name: str, call: Callable[[], object],
           check: list[float]) -> None:
    print_line(options, name, measure(options, call), check)


Job = tuple[Callable[[], object], list[float]]  # the call, and the check of its results


def serve(options: argparse.Namespace, version: str, perceptron: Callable[[], Job],
          operation: Callable[[str], Job | None],
          families: dict[str, Callable[[str], Job | None]], training: dict[str, Callable[[], Job]],
          skips: Callable[[str], bool] = lambda op: False) -> None:
    """Does what the options ask of a peer: its version, the start of a process, or workloads. A
    family without a function of its own goes to `operation`; None is for what is not done here."""
    if options.version:
        print(version)
        return
    if options.start:
        begin = time.perf_counter()
        _, check = perceptron()
        print_line(options, "start", Measured([time.perf_counter() - begin]), check)
        return
    for name in options.names:
        family, op, _, _ = split_name(name)
        if skips(op):
            continue
        job = training[op]() if family == "train" else families.get(family, operation)(name)
        if job is not None:
            report(options, name, *job)
