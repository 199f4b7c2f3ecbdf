"""Environment variables that set up Paddle's CPU libraries, ONNX Runtime and Ray.

- `KMP_BLOCKTIME=1`: each of Paddle's threads has an OpenMP team whose members spin for 200 ms after an
  operator, on cores that others could use. With 1 they sleep after 1 ms. (With 0, evaluation on two threads
  takes twice as long, since each operator has to wake them.)
- `MKL_DEBUG_CPU_TYPE=5`: Paddle ships MKL 2019, which uses kernels without AVX on AMD processors. This makes
  it use its AVX2 kernels. Set only on AMD processors that have AVX2 and no AVX512.

- `ORT_DISABLE_TELEMETRY=1`: ONNX Runtime from 1.31 on sends telemetry with an id of the machine. OpenVINO
  calls Google when it is imported, unless its telemetry module cannot be imported.
  `RAY_USAGE_STATS_ENABLED=0`: Ray sends usage statistics.

A value that the user has set is kept.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import cast

from ppose.processor import is_amd_with_avx2_alone

_NAMES = ("KMP_BLOCKTIME", "MKL_DEBUG_CPU_TYPE")


def prepare_environment() -> None:
    """Set what is not set yet, for this process and its children; it does not reach a loaded Paddle."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    sys.modules.setdefault("openvino_telemetry", cast(ModuleType, None))  # its import fails then
    if "paddle" in sys.modules:
        return
    os.environ.setdefault("KMP_BLOCKTIME", "1")
    if is_amd_with_avx2_alone():
        os.environ.setdefault("MKL_DEBUG_CPU_TYPE", "5")


@contextmanager
def environment(**wanted: str) -> Iterator[None]:
    """Context in which these environment variables are set."""
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def silence_tracing() -> None:
    """Silence Paddle's log of tracing a network; call it before Paddle's import."""
    os.environ.setdefault("GLOG_minloglevel", "2")


def settings_in_force() -> dict[str, str]:
    """The settings that are set, by name."""
    return {name: os.environ[name] for name in _NAMES if name in os.environ}


def describe_settings(settings: dict[str, str]) -> str:
    """Describe settings as in `KMP_BLOCKTIME=1, MKL_DEBUG_CPU_TYPE=5`, or say that there are none."""
    return ", ".join(f"{name}={value}" for name, value in settings.items()) or "none"
