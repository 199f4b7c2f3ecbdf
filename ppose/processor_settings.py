"""Settings of Paddle's CPU libraries, ONNX Runtime and Ray, which these read from the environment.

- `KMP_BLOCKTIME=1`: each of Paddle's threads has an OpenMP team whose members spin for 200 ms after an
  operator, on cores that others could use. Now they sleep after one. (After none, evaluation on two threads
  takes twice as long: they have to be woken for each operator.)
- `MKL_DEBUG_CPU_TYPE=5`: Paddle brings the MKL of 2019, which on AMD's processors takes kernels without AVX.
  This makes it take those for AVX2. Set on such processors that have AVX2 and no AVX512.

- `ORT_DISABLE_TELEMETRY=1`: ONNX Runtime from 1.31 on gives the machine a number and calls its maker.
  OpenVINO calls Google as it is imported, unless its module for that cannot be. `RAY_USAGE_STATS_ENABLED=0`:
  Ray sends what it is used for.

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
    """Set what is not set yet, for this process and its children; nothing of a loaded Paddle's."""
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
    """Within it, these variables of the environment are so."""
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
    """Keep Paddle, which is to be imported after it, from noting what it does as it traces a network."""
    os.environ.setdefault("GLOG_minloglevel", "2")


def settings_in_force() -> dict[str, str]:
    """The settings by name, without those that are left to the libraries."""
    return {name: os.environ[name] for name in _NAMES if name in os.environ}


def describe_settings(settings: dict[str, str]) -> str:
    """`KMP_BLOCKTIME=1, MKL_DEBUG_CPU_TYPE=5`, or that there are none."""
    return ", ".join(f"{name}={value}" for name, value in settings.items()) or "none"
