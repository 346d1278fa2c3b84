"""Measures Gradus and its peers in turn, fresh processes each, and writes what came out.

Every workload is sampled in several rounds. A sample during which other processes were busy, or
the machine slow for a neighbour that it does not see, is void and repeated; the best median of the
quiet ones counts. A peer whose first losses or results are not ours does other work: its row is
refused, and the exit code is 1."""

import argparse
import datetime
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import machine
import report

HERE = Path(__file__).resolve().parent

# Results agree within 1e-4 of each number and 1e-5 of the largest element looked at.
RELATIVE, ABSOLUTE = 1e-4, 1e-5

# glibc keeps large blocks, instead of taking fresh pages from the kernel for each.
KEEP_BLOCKS = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 34),
               "MALLOC_TOP_PAD_": str(1 << 26)}


@dataclass
class Peer:
    impl: str
    command: list[str]
    families: tuple[str, ...] = ()  # that it has; all when empty
    environment: dict[str, str] = field(default_factory=dict)
    starts: bool = False  # whether its start is measured

    def has(self, name: str) -> bool:
        return not self.families or name.startswith(self.families)


class Failures:
    def __init__(self) -> None:
        self.texts: list[str] = []

    def add(self, text: str) -> None:
        self.texts.append(text)
        print(f"compare: {text}", file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run bench", description=__doc__)
    parser.add_argument("--program", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help="scratch folder (build/peers)")
    parser.add_argument("--out", type=Path,
                        help="folder of the results (bench/results; the scratch folder for a part)")
    parser.add_argument("--quick", action="store_true", help="few samples, to see that it works")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="workloads whose name holds one")
    parser.add_argument("--threads", type=int, nargs="+", help="1 and all processors by default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=5, help="rounds for what was void, at most")
    parser.add_argument("--max-load", type=float, default=0.15,
                        help="processors that others may use in a sample")
    parser.add_argument("--max-pace", type=float, default=1.3,
                        help="times its least that fixed arithmetic may take beside a sample")
    parser.add_argument("--samples", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=0.4, help="of sampling, at least")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.repeats, options.samples, options.seconds = 1, 0, 3, 0.05
    options.work = options.work or options.program.parent.parent / "peers"
    if not options.out:
        part = options.quick or options.only
        options.out = options.work if part else HERE.parent / "results"
    processors = len(os.sched_getaffinity(0))
    options.threads = options.threads or sorted({1, processors})
    if not all(1 <= n <= processors for n in options.threads):
        parser.error(f"--threads: from 1 to {processors}, the processors of this machine")
    for name, least in [("rounds", 1), ("repeats", 0), ("max_load", 0), ("max_pace", 1),
                        ("samples", 1), ("seconds", 0)]:
        if not getattr(options, name) >= least:  # nor NaN
            parser.error(f"--{name.replace('_', '-')}: at least {least}")
    return options


def output(command: list[str]) -> str | None:
    """What the command prints, None where it fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


def build_libtorch(python: str, work: Path) -> Path | None:
    """The C++ peer, compiled against the libraries of the Python package."""
    where = "import os, torch; print(os.path.dirname(torch.__file__), torch.__version__, " \
            "int(torch._C._GLIBCXX_USE_CXX11_ABI))"
    found = output([python, "-c", where])
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if not found or not compiler:
        return None
    folder, version, abi = found.rsplit(" ", 2)
    program = work / f"libtorch_peer-{version}"
    sources = [HERE / "libtorch.cpp", HERE / "sampling.h"]
    if program.exists() and all(program.stat().st_mtime > s.stat().st_mtime for s in sources):
        return program
    print("compare: compiling the peer in libtorch", file=sys.stderr)
    done = subprocess.run(
        [compiler, "-std=c++20", "-O2", "-w", f"-D_GLIBCXX_USE_CXX11_ABI={abi}",
         f"-I{folder}/include", f"-I{folder}/include/torch/csrc/api/include", str(sources[0]),
         "-o", str(program), f"-L{folder}/lib", "-ltorch_cpu", "-lc10",
         f"-Wl,-rpath,{folder}/lib"], capture_output=True, text=True)
    if done.returncode:
        print(done.stderr[-2000:], file=sys.stderr)
        print("compare: libtorch cannot be compiled here; going on without it", file=sys.stderr)
        return None
    return program


def find_peers(options: argparse.Namespace) -> tuple[list[Peer], list[str]]:
    """Who is measured, Gradus first, and the versions of those found."""
    program = str(options.program)
    peers = [Peer("gradus", [program], starts=True)]
    versions = []
    openblas = options.program.with_name("openblas_peer")
    if openblas.exists():
        peers.append(Peer("openblas", [str(openblas)], ("product/",)))
    python = os.environ.get("GRADUS_PEERS_PYTHON")
    data = ["--data", str(options.work / "data")]
    for package in ("torch", "jax") if python else ():
        script = [python, str(HERE / f"{package}_peer.py")]
        version = output([*script, "--version"])
        if version is None:
            print(f"compare: {python} has no {package}; going on without it", file=sys.stderr)
            continue
        versions.append(version)
        named = lambda impl: [*script, *data, "--impl", impl]
        peers.append(Peer(package, named(package), starts=True))
        if package != "torch":
            continue
        peers += [Peer("torch-fused", named("torch-fused"), ("train/vae", "optim/adam")),
                  Peer("torch-tuned", named("torch-tuned"), environment=KEEP_BLOCKS)]
        libtorch = build_libtorch(python, options.work)
        if libtorch:
            peers.append(Peer("libtorch", [str(libtorch), *data], ("overhead/",)))
    if not python:
        print("compare: GRADUS_PEERS_PYTHON names no Python with torch or jax; going on without",
              file=sys.stderr)
    return peers, versions


def run(peer: Peer, extra: list[str], failures: Failures) -> list[dict]:
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "",
                   **peer.environment}
    done = subprocess.run([*peer.command, *extra], capture_output=True, text=True,
                          env=environment)
    lines = []
    for line in done.stdout.splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            failures.add(f"{peer.impl} printed {line[:200]!r}")
    if done.returncode:
        failures.add(f"{peer.impl} ended with {done.returncode}: {done.stderr[-1000:]}")
    return lines


def start(peer: Peer, threads: int, failures: Failures) -> list[dict]:
    """A first gradient in a fresh process, from its start to its end."""
    pace = machine.pace()
    begin, busy = time.perf_counter(), machine.busy_seconds()
    own = machine.own_seconds(resource.RUSAGE_CHILDREN)
    lines = run(peer, ["--start", "--threads", str(threads)], failures)
    spent = time.perf_counter() - begin
    used = machine.own_seconds(resource.RUSAGE_CHILDREN) - own
    others = max(0.0, machine.busy_seconds() - busy - used) / spent
    for line in lines:
        line.update(median_ms=1e3 * spent, min_ms=1e3 * spent,
                    load=round(others, 3) if spent > 0.2 else 0.0,
                    pace_ms=1e3 * max(pace, machine.pace()))
    return lines


def group(name: str) -> str:
    """Workloads of one process: training has one each, for its memory, operations one a family."""
    family, rest = name.split("/", 1)
    return name if family == "train" else family


class Quiet:
    """Which samples count. The least pace is that of all samples that time it by the same code:
    compilers make different ones of that of sampling.h, Python has one."""

    def __init__(self, options: argparse.Namespace):
        self.options = options
        self.least: dict[str, float] = {}

    def code(self, line: dict) -> str:
        python = line["name"] == "start" or line["impl"].startswith(("torch", "jax"))
        return "python" if python else line["impl"]

    def note(self, line: dict) -> None:
        code = self.code(line)
        self.least[code] = min(line["pace_ms"], self.least.get(code, line["pace_ms"]))

    def of(self, lines: list[dict]) -> list[dict]:
        return [line for line in lines if line["load"] <= self.options.max_load
                and line["pace_ms"] <= self.options.max_pace * self.least[self.code(line)]]


def measure(peers: list[Peer], names: list[str], threads: int, options: argparse.Namespace,
            quiet: Quiet, failures: Failures) -> dict[tuple[str, str], list[dict]]:
    """All lines of each workload and implementation."""
    lines: dict[tuple[str, str], list[dict]] = {}
    flags = ["--threads", str(threads), "--samples", str(options.samples), "--seconds",
             str(options.seconds)]

    def take(new: list[dict]) -> None:
        for line in new:
            quiet.note(line)
            lines.setdefault((line["name"], line["impl"]), []).append(line)

    with_start = not options.only or any(word in "start" for word in options.only)
    for turn in range(options.rounds + options.repeats):
        void = {key for key, runs in lines.items() if len(quiet.of(runs)) < options.rounds}
        if turn >= options.rounds and not void:
            break
        for key in dict.fromkeys(map(group, names)):
            for peer in peers:
                wanted = [name for name in names if group(name) == key and peer.has(name)
                          and (turn < options.rounds or (name, peer.impl) in void)]
                if not wanted:
                    continue
                begin = time.perf_counter()
                take(run(peer, [*flags, *wanted], failures))
                print(f"compare: round {turn + 1}, {threads} threads, {key}: {peer.impl} "
                      f"{time.perf_counter() - begin:.1f} s", file=sys.stderr, flush=True)
        for peer in (p for p in peers if p.starts and with_start):
            if turn < options.rounds or ("start", peer.impl) in void:
                take(start(peer, threads, failures))
    return lines


def agree(ours: list[float], theirs: list[float]) -> bool:
    slack = ABSOLUTE * max((abs(x) for x in ours[:5]), default=0.0)
    return len(ours) == len(theirs) and all(
        abs(a - b) <= RELATIVE * abs(a) + slack for a, b in zip(ours, theirs))


def summarise(lines: dict[tuple[str, str], list[dict]], threads: int, quiet: Quiet,
              failures: Failures) -> list[dict]:
    """One row a workload: its limit, and of each implementation the best quiet median."""
    rows: dict[str, dict] = {}
    for (name, impl), runs in lines.items():
        row = rows.setdefault(name, {"name": name, "threads": threads, "results": {}})
        ours = lines.get((name, "gradus"))
        if not ours:
            failures.add(f"{name}: ours is missing, so {impl} is compared with nothing")
            continue
        limits = [line["limit_ms"] for line in runs if "limit_ms" in line]
        if limits:
            row["limit_ms"] = min(limits)
        if not all(agree(ours[0]["check"], line["check"]) for line in runs):
            failures.add(f"REFUSED {impl} {name} ({threads} threads): it does other work than "
                         f"gradus: {runs[0]['check'][:5]} instead of {ours[0]['check'][:5]}")
            row["results"][impl] = {"state": "refused"}
            continue
        best = min(quiet.of(runs) or runs, key=lambda line: line["median_ms"])
        medians = [line["median_ms"] for line in quiet.of(runs)]
        row["results"][impl] = {
            "state": "quiet" if medians else "busy", "median_ms": best["median_ms"],
            "min_ms": best["min_ms"], "spread": best["spread"], "load": best["load"],
            "peak_mb": min(line["peak_mb"] for line in runs),
            "runs": [[line["median_ms"], line["load"], line["pace_ms"]] for line in runs],
            "worst_of_best": round(max(medians) / min(medians), 3) if medians else None}
    return list(rows.values())


def main() -> int:
    options = arguments()
    options.work.mkdir(parents=True, exist_ok=True)
    options.out.mkdir(parents=True, exist_ok=True)
    names = subprocess.run([options.program, "--list"], check=True, capture_output=True,
                           text=True).stdout.split()
    if options.only:
        names = [name for name in names if any(word in name for word in options.only)]
        if not names and not any(word in "start" for word in options.only):
            print("compare: --only: no workload has such a name", file=sys.stderr)
            return 2
    subprocess.run([options.program, "--export", options.work / "data"], check=True)
    peers, versions = find_peers(options)
    failures = Failures()
    processors = sorted(os.sched_getaffinity(0))
    result = {"date": datetime.date.today().isoformat(), "machine": machine.description(),
              "versions": versions, "rounds": options.rounds, "max_load": options.max_load,
              "max_pace": options.max_pace, "seconds": options.seconds, "rows": []}
    quiet, measured = Quiet(options), {}
    for threads in options.threads:
        os.sched_setaffinity(0, processors[:threads])  # the children inherit it
        measured[threads] = measure(peers, names, threads, options, quiet, failures)
    for threads, lines in measured.items():
        result["rows"] += summarise(lines, threads, quiet, failures)
    result["failures"] = failures.texts
    base = options.out / f"{result['date']}-peers"
    text = json.dumps(result).replace(', {"name"', ',\n{"name"')  # a line for each row
    base.with_suffix(".json").write_text(text + "\n")
    report.write(result, base)
    print(base.with_suffix(".md").read_text())
    for text in failures.texts:
        print(f"compare: {text}", file=sys.stderr)
    return 1 if failures.texts else 0


if __name__ == "__main__":
    sys.exit(main())
