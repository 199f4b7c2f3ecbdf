"""Selects the device of a run."""

import ctypes
import math
import os
import platform

import paddle

from ppose import processor
from ppose.commandline import ASKED_THREADS
from ppose.engine.distributed.ranks import rank_count
from ppose.errors import DeviceError
from ppose.inference.runtimes.paddle_runtime import why_no_gpu
from ppose.paddle_internals import set_cpu_threads

# Parameters of glibc's mallopt.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_NEVER = 2**31 - 1


def select_device(use_gpu: bool | None) -> str:
    """Make Paddle use a GPU or the CPU; None takes a GPU if there is one. Returns "gpu" or "cpu".

    Raises DeviceError if a GPU is requested and not available.
    """
    missing = why_no_gpu()
    if use_gpu and missing:
        raise DeviceError(f"use_gpu is true, but {missing}; -o use_gpu=false runs on the CPU")
    device = "cpu" if missing or use_gpu is False else "gpu"
    paddle.set_device(device)
    if device == "cpu":
        _set_threads()
        _keep_freed_memory()
    return device


def peak_memory() -> dict[str, float]:
    """Peak memory of this process in MB: memory_mb, and on a GPU Paddle's gpu_memory_mb."""
    own = processor.peak_memory()
    peak = {} if math.isnan(own) else {"memory_mb": round(own, 1)}
    if paddle.device.get_device() != "cpu":
        peak["gpu_memory_mb"] = round(paddle.device.cuda.max_memory_allocated() / 2**20, 1)
    return peak


def _set_threads() -> None:
    """Use all cores, shared with the other ranks of this machine, unless the user has set a number."""
    neighbours = int(os.environ.get("PADDLE_LOCAL_SIZE", rank_count()))
    # Paddle's default is one thread, and its launcher writes that into our environment.
    if ASKED_THREADS is None or (ASKED_THREADS == "1" and neighbours > 1):
        set_cpu_threads(max(processor.own_cores() // neighbours, 1))


def _keep_freed_memory() -> None:
    """Let glibc reuse freed memory instead of giving it back to the system.

    Paddle allocates the output of each operator, and glibc maps large ones from the system every time: a new
    map costs more than a ReLU over it (four times as much for 4 MB).
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _NEVER)
        libc.mallopt(_M_TRIM_THRESHOLD, _NEVER)
