"""How a network is computed: width of numbers, order in memory, threads.

What a machine can do decides, never a device's name. Asked first are facts that do not
change from run to run: whether processor or GPU compute in bfloat16, and how many cores
this process may use. A timed trial can only take that back, where another way is faster
by a wide margin: a first way that was chosen by the clock would now and then be
another, and with it the bits of the result. What was chosen is kept with the training.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from lfkit.errors import InputError
from lfkit.nn.distributed import distributed

# Wider than what a busy machine makes of equal ways. Where bfloat16 is not computed but
# imitated it is 25 times slower.
_MARGIN = 2.0
_ROUNDS = 5  # steps of each way, in turn
_LONG = 60.0  # seconds: shorter trainings are not tried out
_MANY_THREADS = 4
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Compute:
    """One way to compute.

    Attributes
    ----------
    half : convolutions and products in bfloat16; weights and losses stay float32.
    channels_last : order of images and maps in memory.
    threads : of torch on the CPU; 0: as many as it has.
    """

    half: bool = False
    channels_last: bool = True
    threads: int = 0

    def __str__(self) -> str:
        """Say it in a few words."""
        words = ["bfloat16" if self.half else "float32"]
        if not self.channels_last:
            words.append("channels first")
        if self.threads:
            words.append(f"{self.threads} thread{'s' * (self.threads > 1)}")
        return ", ".join(words)

    @property
    def memory_format(self) -> torch.memory_format:
        """As torch calls it."""
        if self.channels_last:
            return torch.channels_last
        return torch.contiguous_format

    def autocast(self, device: str) -> torch.autocast:
        """Compute in half precision, if that was chosen."""
        kind = torch.device(device).type
        return torch.autocast(kind, torch.bfloat16, enabled=self.half)

    @contextmanager
    def on_its_threads(self) -> Iterator[None]:
        """Hold torch to the threads chosen; afterwards it has its own again."""
        before = torch.get_num_threads()
        if self.threads:
            torch.set_num_threads(self.threads)
        try:
            yield
        finally:
            if self.threads:
                torch.set_num_threads(before)


def best_device() -> str:
    """Name this process's GPU, or one if torch sees any, else the CPU."""
    if distributed().count > 1:
        return distributed().device
    return "cuda" if torch.cuda.is_available() else "cpu"


def usual(device: str, *, half: bool) -> Compute:
    """Give the way to compute by what the machine can do; the same at every call.

    Parameters
    ----------
    half : bfloat16 is wanted, if it is computed and not imitated.
    """
    on_cpu = torch.device(device).type == "cpu"
    return Compute(
        half=half and has_bfloat16(device), threads=fewer_threads() if on_cpu else 0
    )


def has_bfloat16(device: str) -> bool:
    """Tell whether a device multiplies in bfloat16, not by imitation."""
    if torch.device(device).type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if torch.device(device).type != "cpu":
        return False
    # Private names, but torch has no others for it before 2.10; if they go, float32 is
    # right everywhere.
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in probes)


def fewer_threads(cgroup: Path = _CGROUP) -> int:
    """Give the threads for this process's share of the machine; 0: torch's are right.

    torch knows the cores of a machine, but not the share of them that a container has:
    with 64 threads on two cores' time each waits for the others.
    """
    if "OMP_NUM_THREADS" in os.environ or "MKL_NUM_THREADS" in os.environ:
        return 0  # the user has said how many
    share = _cpu_share(cgroup)
    return share if 0 < share < torch.get_num_threads() else 0


def _cpu_share(cgroup: Path) -> int:
    """Give the cores' time that a container may use, rounded up; 0: no limit."""
    for files in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            text = " ".join((cgroup / file).read_text() for file in files)
            quota, period = text.split()[:2]
            if quota not in ("max", "-1"):
                return max(1, math.ceil(int(quota) / int(period)))
        except (OSError, ValueError, ZeroDivisionError):
            continue
    return 0


def tried_out(
    first: Compute,
    step_of: Callable[[Compute], Callable[[], None]],
    n_steps: int,
    device: str,
    *,
    progress: Callable[[int, int], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Compute:
    """Take steps in other ways too, before a long training; give the way to go on.

    That is the first one, unless another is twice as fast even where its slowest step
    is held against the fastest of the first: so that noise decides nothing.

    Parameters
    ----------
    step_of : gives a function that takes one step of the very training, in a way.
    n_steps : of the training.
    """

    def timed(step: Callable[[], None]) -> float:
        started = clock()
        step()
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize()
        return clock() - started

    with first.on_its_threads():
        step = step_of(first)
        timed(step)  # what is prepared once is prepared
        if timed(step) * n_steps < _LONG:
            return first
    chosen = first
    others = _others(first, device)
    total = len(others) * (2 * _ROUNDS + 1)
    for number, change in enumerate(others):
        other = replace(chosen, **change)
        with other.on_its_threads():
            step_of_other = step_of(other)
            timed(step_of_other)
        now: list[float] = []
        then: list[float] = []
        for turn in range(_ROUNDS):
            for way, taken, seconds in (
                (chosen, step, now),
                (other, step_of_other, then),
            ):
                with way.on_its_threads():
                    seconds.append(timed(taken))
            if progress is not None:
                done = number * (2 * _ROUNDS + 1) + 2 * turn + 3
                progress(done, total)
        if min(now) > _MARGIN * max(then):
            chosen, step = other, step_of_other
    return chosen


def _others(first: Compute, device: str) -> Sequence[dict[str, Any]]:
    """Give what may be changed, one by one, most telling first."""
    found: list[dict[str, Any]] = []
    if first.half:
        found.append({"half": False})
    if first.channels_last:
        found.append({"channels_last": False})
    threads = first.threads or torch.get_num_threads()
    is_told = "OMP_NUM_THREADS" in os.environ or "MKL_NUM_THREADS" in os.environ
    if torch.device(device).type == "cpu" and threads > _MANY_THREADS and not is_told:
        found.append({"threads": _MANY_THREADS})
    return found


def check_compiler(device: str) -> None:
    """Refuse to compile networks where torch cannot, by a try of the smallest kind.

    Raises
    ------
    InputError : it has no compiler for the device, or that failed.
    """
    try:
        torch.compile(torch.neg)(torch.zeros(1, device=device))
    except Exception as error:  # torch has a dozen kinds, most of them private
        why = str(error).strip().split("\n")[0]
        raise InputError(
            f"compile is true, and torch can compile nothing for {device} here "
            f"({why}); set compile to false."
        ) from error


@contextmanager
def repeatable() -> Iterator[None]:
    """Let cuDNN choose kernels that add up in the same order each time.

    Nothing else is touched: `torch.backends.cudnn.flags` sets what it is not told to
    its own defaults, and one of them switches cuDNN off.
    """
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic
    cudnn.benchmark, cudnn.deterministic = False, True
    try:
        yield
    finally:
        cudnn.benchmark, cudnn.deterministic = before
