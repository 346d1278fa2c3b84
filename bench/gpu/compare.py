"""Measures Gradus beside PyTorch on one GPU, in one process, on one stream, by one pair of events.

Of each case, in turn for some rounds: ours, each peer, ours again; the two of ours say what a
difference must exceed to be one. Errors against double stand beside the times. A line of JSON is
written after every case; summary.py makes the table and the picture of them."""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "peers"))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="compare.py", description=__doc__)
    parser.add_argument("--library", type=Path, help="libgradus_gpu_bench.so")
    parser.add_argument("--out", type=Path, help="the file that lines are added to")
    parser.add_argument("--seconds", type=float, default=300, help="no case begins after them")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--sample", type=float, default=4e-3, help="seconds of a sample, at least")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="cases whose name holds one")
    parser.add_argument("--device", choices=("cuda", "emulated", "cpu"), default="cuda",
                        help="the others with --small: to see that it works")
    parser.add_argument("--small", action="store_true", help="sizes of 64, to see that it works")
    parser.add_argument("--list", action="store_true", help="the cases, and who runs them")
    options = parser.parse_args()
    if not options.list and not (options.library and options.out):
        parser.error("needs --library and --out")
    if options.rounds < 1:
        parser.error("--rounds: at least 1")
    return options


options = arguments()

# The library keeps a few KiB of static thread-local memory, for which a program that loads it late
# must have left room when it started.
ROOM = "glibc.rtld.optional_static_tls=16384"
if options.library and ROOM not in os.environ.get("GLIBC_TUNABLES", ""):
    os.environ["GLIBC_TUNABLES"] = ROOM
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])

import torch  # noqa: E402 (--help needs none)

import cases  # noqa: E402
import peers  # noqa: E402
from device import Sampler, Timer  # noqa: E402
from library import Job, Library  # noqa: E402

WARM_SECONDS = 3.0  # until the clocks have settled
COMPILING_SECONDS = 60.0  # left, or nothing more is compiled
CACHE_BYTES = 60e6  # where the device does not tell


def wanted(name: str) -> bool:
    return not options.only or any(word in name for word in options.only)


def selection() -> list[tuple[str, bool]]:
    """Names, and whether their calls are one graph."""
    found = []
    for name in filter(wanted, cases.NAMES):
        found += [(name, False)] + [(name, True)] * (name in cases.GRAPHS)
    return found


def show() -> None:
    for name, graph in selection():
        family, op = name.split("/")[:2]
        who = ["torch"] + ["torch-fused"] * (op == "adam")
        who += ["torch-compile"] * (name in cases.COMPILED and (not graph or family == "train"))
        print(f"{name}{'/graph' * graph}: gradus, {', '.join(who)}")


class Bench:
    def __init__(self) -> None:
        self.begin = time.monotonic()
        # The emulator's memory is the host's.
        self.device = torch.device("cuda" if options.device == "cuda" else "cpu")
        self.library = Library(options.library, options.device)
        self.timer, self.sampler = Timer(self.device), Sampler()
        self.ceilings: dict[str, float] = {}
        cache = CACHE_BYTES
        if self.device.type == "cuda":
            cache = getattr(torch.cuda.get_device_properties(0), "L2_cache_size", cache)
        self.rotate = 3 * cache

    def left(self) -> float:
        return options.seconds - (time.monotonic() - self.begin)

    def write(self, record: dict) -> None:
        with options.out.open("a") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())
        print(f"{self.left():5.0f} s left: {text_of(record)}", flush=True)

    def wait(self) -> None:
        self.library.synchronize()
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    # ---- what the machine can do

    def best(self, call, rounds: int = 10) -> float:
        run = lambda calls: [call() for _ in range(calls)]
        calls = self.calls_of(run, 1)
        return min(self.timer(run, calls) for _ in range(rounds)) / calls

    def measure_ceilings(self) -> None:
        n = 1 << (14 if options.small else 29)  # floats: 2 GiB
        a, b = (torch.rand(n, device=self.device) for _ in range(2))
        size = 256 if options.small else 8192
        square = lambda t: (2 * torch.rand(size, size, device=self.device) - 1).to(t)
        x, y = square(torch.bfloat16), square(torch.bfloat16)
        until = time.monotonic() + (0 if options.small else WARM_SECONDS)
        while time.monotonic() < until:
            x @ y
            self.wait()
        flops = 2.0 * size**3
        self.ceilings = {"copy": 8.0 * n / self.best(lambda: a.copy_(b)),
                         "read": 4.0 * n / self.best(lambda: torch.sum(a)),
                         "bf16": flops / self.best(lambda: x @ y)}
        x, y = x.float(), y.float()
        self.ceilings["f32"] = flops / self.best(lambda: x @ y)
        self.write({"case": "ceilings", **self.ceilings})

    def limit(self, name: str, work: cases.Work) -> float:
        """Seconds that no implementation should go below."""
        family = name.split("/")[0]
        rate = self.ceilings["read" if family == "reduce" else "copy"]
        peak = self.ceilings["bf16" if family == "product-bf16" else "f32"]
        return max(work.moved / rate, work.flops / peak)

    # ---- a case

    def calls_of(self, run, sets: int) -> int:
        """A multiple of `sets` that takes a sample's time."""
        calls = sets
        run(calls)
        while (spent := self.timer(run, calls)) < options.sample / 4:
            calls *= 2
        return max(calls, sets * math.ceil(calls * options.sample / spent / sets))

    def error(self, results: list[torch.Tensor], expected: list[torch.Tensor] | None,
              operation: str) -> float:
        if expected is None:
            mean, deviation = (0.0, 1.0) if operation == "randn" else (0.5, 12**-0.5)
            x = results[0].double()
            return max(abs(x.mean().item() - mean), abs(x.std().item() - deviation))
        squares = [0.0, 0.0]
        for r, e in zip(results, expected, strict=True):
            e = e.reshape(-1)
            squares[0] += (r.reshape(-1).double() - e).square().sum().item()
            squares[1] += e.square().sum().item()
        return math.sqrt(squares[0] / squares[1]) if squares[1] else math.sqrt(squares[0])

    def ours(self, job: Job, work: cases.Work, sets: int, graph: bool,
             expected: list[torch.Tensor] | None) -> float:
        """The error, of the graph's results, or of results written over NaN."""
        count = len(expected) if expected else 1
        job.run(sets)
        if work.forward and graph:
            job.run(2 * sets)  # recorded, and replayed
        elif work.forward:
            job.poison()
            job.run(sets)
        return self.error(job.results(count), expected, work.operation)

    def run_case(self, full_name: str, graph: bool) -> dict:
        name = cases.small(full_name) if options.small else full_name
        torch.manual_seed(1)
        work = cases.work(name, self.device, self.library.arrays)
        stateful = work.operation == "vae"
        sets = 1 if stateful else max(1, min(512, math.ceil(self.rotate / work.moved)))
        if options.small:
            sets = min(sets, 3)
        record = {"case": name + "/graph" * graph, "moved": work.moved, "flops": work.flops,
                  "sets": sets, "limit": self.limit(name, work), "error": {}, "failures": {}}
        expected = peers.reference(work)
        compiled = full_name in cases.COMPILED and self.left() > COMPILING_SECONDS
        runs, spent = {}, {}
        with Job(self.library, work.operation, work.inputs, sets, graph) as job:
            record["error"]["gradus"] = self.ours(job, work, sets, graph, expected)
            runs["gradus"] = job.run
            for peer, make in peers.make(work, sets, graph, compiled).items():
                try:
                    made = make()
                    record["error"][peer] = self.error(made.results(), expected, work.operation)
                    runs[peer] = made.run
                except Exception as problem:  # of the peer: the others are measured nevertheless
                    record["failures"][peer] = f"{type(problem).__name__}: {problem}"[:500]
            del expected
            calls = {who: self.calls_of(run, sets) for who, run in runs.items()}
            spent = {who: [] for who in runs}
            begin = time.monotonic()
            again = []
            for _ in range(options.rounds):
                for who, run in runs.items():
                    spent[who].append(self.timer(run, calls[who]) / calls[who])
                again.append(self.timer(job.run, calls["gradus"]) / calls["gradus"])
            record.update(self.sampler.since(begin))
            self.wait()
        first = spent["gradus"]
        record["noise"] = statistics.median(abs(a / b - 1) for a, b in zip(again, first))
        record["seconds"] = {who: statistics.median(times) for who, times in spent.items()}
        record["samples"] = spent
        record["ratio"] = {who: statistics.median(t / o for t, o in zip(times, first))
                           for who, times in spent.items() if who != "gradus"}
        return record

    def run(self) -> int:
        self.write({"case": "machine", **machine_facts(self.device)})
        self.measure_ceilings()
        bad = 0
        for name, graph in selection():
            if self.left() < 10:
                self.write({"case": name + "/graph" * graph, "skipped": "no time was left"})
                continue
            try:
                record = self.run_case(name, graph)
            except Exception as problem:  # ours: said, counted, and on to the next case
                record = {"case": name + "/graph" * graph,
                          "failures": {"gradus": f"{type(problem).__name__}: {problem}"[:500]}}
                bad += 1
            self.write(record)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        self.sampler.stop()
        return 1 if bad else 0


def machine_facts(device: torch.device) -> dict:
    def output(*command: str) -> str:
        done = subprocess.run(command, capture_output=True, text=True, cwd=HERE)
        return done.stdout.strip()

    facts = {"date": time.strftime("%Y-%m-%d"), "torch": torch.__version__,
             "commit": os.environ.get("GRADUS_COMMIT") or output("git", "rev-parse", "HEAD"),
             "f32": "ieee", "seed": 1, "rounds": options.rounds}
    if device.type == "cuda":
        p = torch.cuda.get_device_properties(0)
        facts |= {"name": p.name, "processors": p.multi_processor_count,
                  "memory": p.total_memory, "cuda": torch.version.cuda}
    return facts


def text_of(record: dict) -> str:
    if "seconds" not in record:
        return json.dumps(record)
    times = ", ".join(f"{who} {1e6 * s:.1f} us (error {record['error'][who]:.1e})"
                      for who, s in record["seconds"].items())
    return f"{record['case']}: {times}; {record['limit'] / record['seconds']['gradus']:.0%}"


def main() -> int:
    if options.list:
        show()
        return 0
    options.out.parent.mkdir(parents=True, exist_ok=True)
    if options.device == "cuda" and not torch.cuda.is_available():
        print("compare: PyTorch sees no GPU", file=sys.stderr)
        return 3
    # f32 means f32 on both sides.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    bench = Bench()
    stream = bench.library.stream()
    if stream is None:
        return bench.run()
    with torch.cuda.stream(torch.cuda.ExternalStream(stream)):
        return bench.run()


if __name__ == "__main__":
    sys.exit(main())
