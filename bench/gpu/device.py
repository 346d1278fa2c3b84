"""Clocks, power and time of a device, beside what runs on it."""

import statistics
import subprocess
import threading
import time

import torch

FIELDS = ("clocks.sm", "power.draw", "temperature.gpu")


class Sampler:
    """What nvidia-smi says ten times a second, in a thread."""

    def __init__(self) -> None:
        self.samples: list[tuple[float, ...]] = []
        try:
            self.process = subprocess.Popen(
                ["nvidia-smi", f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader,nounits",
                 "--id=0", "--loop-ms=100"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                text=True)
        except OSError:
            self.process = None
            return
        threading.Thread(target=self.read, daemon=True).start()

    def read(self) -> None:
        for line in self.process.stdout:
            try:
                self.samples.append((time.monotonic(), *map(float, line.split(","))))
            except ValueError:
                pass  # a field that this device does not tell

    def since(self, begin: float) -> dict[str, float]:
        found = [s for s in self.samples if s[0] >= begin]
        if not found:
            return {}
        _, clocks, watts, degrees = zip(*found)
        return {"mhz_min": min(clocks), "mhz": statistics.median(clocks),
                "watts": statistics.median(watts), "celsius": max(degrees)}

    def stop(self) -> None:
        if self.process:
            self.process.terminate()


class Timer:
    """Seconds between two events around calls; on a CPU, of the clock."""

    def __init__(self, device: torch.device):
        self.cuda = device.type == "cuda"
        if self.cuda:
            self.begin, self.end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def __call__(self, run, calls: int) -> float:
        if not self.cuda:
            start = time.perf_counter()
            run(calls)
            return time.perf_counter() - start
        self.begin.record()
        run(calls)
        self.end.record()
        self.end.synchronize()
        return 1e-3 * self.begin.elapsed_time(self.end)
