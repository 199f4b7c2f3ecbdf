"""Features of the processor, limits of the system, and the peak memory of this process."""

import math
import os
import platform
import sys
import threading
from functools import cache
from pathlib import Path

from archspec.cpu import Microarchitecture, brand_string
from archspec.cpu.detect import detected_info

from ppose.errors import DeviceError

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

_STATUS = Path("/proc/self/status")  # Linux's
_X86 = ("x86_64", "AMD64")
# Also ARM's own name of bfloat16. macOS writes the flags of Intel's processors without the underscore.
_BF16 = {"avx512_bf16", "amx_bf16", "bf16"}
_VNNI = {"avx512_vnni", "avx512vnni", "avx_vnni", "amx_int8"}


def own_cores() -> int:
    """The number of cores that this process may use; all if the system does not say (macOS, Windows)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_threads(count: int, who: str) -> None:
    """Raise DeviceError if this process cannot start ``count`` more threads, which ``who`` needs.

    Some libraries do not report this themselves: Paddle hangs, OpenBLAS sends the process SIGINT.
    """
    leave = threading.Event()
    started: list[threading.Thread] = []
    try:
        for _ in range(count):
            thread = threading.Thread(target=leave.wait, daemon=True)
            thread.start()
            started.append(thread)
    except RuntimeError:
        raise DeviceError(
            f"{who} needs {count} more threads, but the system lets this process start only {len(started)} "
            "(raise the limit: `ulimit -u`, or --pids-limit of the container; or free memory)"
        ) from None
    finally:
        leave.set()
        for thread in started:
            thread.join()


def peak_memory() -> float:
    """Peak memory of this process in MiB, without children; NaN if the system does not say."""
    if _STATUS.exists():  # unlike getrusage, it starts anew in a child process
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20 if resource else math.nan


@cache
def processor_flags() -> frozenset[str]:
    """The processor's features by Linux's names, on Linux, macOS and Windows; empty if unknown."""
    return frozenset(_detect().features)


def processor_name() -> str:
    """The processor's model name, as far as the system knows it."""
    return (brand_string() or platform.processor() or platform.machine()).strip()


@cache
def _detect() -> Microarchitecture:
    return detected_info()


def is_amd_with_avx2_alone() -> bool:
    """Whether the processor is AMD's and has AVX2, but not AVX512."""
    flags = processor_flags()
    return _detect().vendor == "AuthenticAMD" and "avx2" in flags and "avx512f" not in flags


def check_bf16() -> None:
    """Raise DeviceError if the processor has no bfloat16 arithmetic."""
    if not _BF16 & processor_flags():
        raise DeviceError("precision is bf16, but this processor has no bfloat16 arithmetic; use fp32")


def saturates_int8() -> bool:
    """Whether runtimes add two int8 products in 16 bits, which saturates (`vpmaddubsw`).

    They do on x86 processors without VNNI: 255 * 127 * 2 is more than 32,767.
    """
    return platform.machine() in _X86 and not _VNNI & processor_flags()
