"""What the processor offers."""

import os
from pathlib import Path

from ppose.errors import DeviceError

_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # x86, x86, ARM


def own_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))


def check_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> None:
    """Raise DeviceError where the processor has no bfloat16 arithmetic, by the flags that Linux lists."""
    if not _BF16_FLAGS & set(cpuinfo.read_text().split()):
        raise DeviceError("precision is bf16, but this processor has no bfloat16 arithmetic; use fp32")
