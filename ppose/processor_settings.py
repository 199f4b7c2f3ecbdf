"""Settings of Paddle's CPU libraries, which read them from the environment as they are loaded.

- `KMP_BLOCKTIME=0`: each of Paddle's threads has an OpenMP team whose members spin for 200 ms after an
  operator, on cores that others could use. Now they sleep at once.
- `MKL_DEBUG_CPU_TYPE=5`: Paddle brings the MKL of 2019, which on AMD's processors takes kernels without AVX.
  This makes it take those for AVX2. Set on such processors that have AVX2 and no AVX512.

A value that the user has set is kept.
"""

import os
import sys
from pathlib import Path

_NAMES = ("KMP_BLOCKTIME", "MKL_DEBUG_CPU_TYPE")


def prepare_environment() -> None:
    """Set what is not set yet, for this process and its children; nothing where Paddle is loaded already."""
    if "paddle" in sys.modules:
        return
    os.environ.setdefault("KMP_BLOCKTIME", "0")
    if is_amd_with_avx2_alone(_read_cpuinfo()):
        os.environ.setdefault("MKL_DEBUG_CPU_TYPE", "5")


def settings_in_force() -> dict[str, str]:
    """The settings by name, without those that are left to the libraries."""
    return {name: os.environ[name] for name in _NAMES if name in os.environ}


def describe_settings(settings: dict[str, str]) -> str:
    """`KMP_BLOCKTIME=0, MKL_DEBUG_CPU_TYPE=5`, or that there are none."""
    return ", ".join(f"{name}={value}" for name, value in settings.items()) or "none"


def is_amd_with_avx2_alone(cpuinfo: str) -> bool:
    """Whether the first processor of Linux's /proc/cpuinfo is AMD's and has AVX2, but not AVX512."""
    first = cpuinfo.split("\n\n")[0]
    fields = dict(line.partition(":")[::2] for line in first.replace("\t", "").splitlines())
    flags = fields.get("flags", "").split()
    return (
        fields.get("vendor_id", "").strip() == "AuthenticAMD" and "avx2" in flags and "avx512f" not in flags
    )


def _read_cpuinfo() -> str:
    """The text of /proc/cpuinfo; empty where the system has none."""
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
