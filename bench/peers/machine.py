"""What the kernel says of this machine and this process."""

import os
import platform
import resource
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
