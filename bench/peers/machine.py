"""What the kernel says of this machine and this process."""

import os
import platform
import resource
import time
from pathlib import Path


def busy_seconds() -> float:
    """Seconds that the processors this process may use were busy, whoever used them."""
    allowed = {f"cpu{i}" for i in os.sched_getaffinity(0)}
    ticks = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name in allowed:
            ticks += sum(map(int, fields[:3])) + sum(map(int, fields[5:8]))
    return ticks / os.sysconf("SC_CLK_TCK")


def own_seconds(whose: int = resource.RUSAGE_SELF) -> float:
    usage = resource.getrusage(whose)
    return usage.ru_utime + usage.ru_stime


def pace() -> float:
    """Seconds of a fixed piece of arithmetic on the slowest of the processors that this process may
    use: a neighbour outside of this machine is seen in nothing else."""
    allowed = os.sched_getaffinity(0)

    def timed() -> float:
        begin = time.perf_counter()
        sum(i * i for i in range(3_000))
        return time.perf_counter() - begin

    time.sleep(0.01)  # threads of our own that still wait for work go to sleep
    slowest = 0.0
    for processor in allowed:
        os.sched_setaffinity(0, {processor})
        slowest = max(slowest, min(timed() for _ in range(10)))
    os.sched_setaffinity(0, allowed)
    return slowest


def peak_megabytes() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def description() -> dict[str, object]:
    cpu = [line.split(":", 1)[1].strip()
           for line in Path("/proc/cpuinfo").read_text().splitlines()
           if line.startswith("model name")]
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {"processor": cpu[0] if cpu else platform.machine(),
            "processors": len(os.sched_getaffinity(0)), "memory_gb": round(pages / 1e9, 1),
            "system": f"{platform.system()} {platform.release()}"}
