"""The device that a run uses."""

import ctypes
import os
import platform
import sys

import paddle

from ppose.commandline import ASKED_THREADS
from ppose.engine.distributed.ranks import rank_count
from ppose.errors import DeviceError
from ppose.paddle_internals import set_cpu_threads
from ppose.processor import own_cores

try:
    import resource
except ImportError:  # Windows has none
    resource = None  # type: ignore[assignment]

# Of glibc's mallopt.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_NEVER = 2**31 - 1


def select_device(use_gpu: bool | None) -> str:
    """Make Paddle use a GPU or the CPU; None takes a GPU where there is one. Returns "gpu" or "cpu".

    Raises DeviceError where a GPU is asked for and cannot be had.
    """
    available = paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0
    if use_gpu and not available:
        reason = (
            "no GPU is visible (see nvidia-smi and CUDA_VISIBLE_DEVICES)"
            if paddle.is_compiled_with_cuda()
            else "this is the CPU build of Paddle (install requirements-gpu.txt)"
        )
        raise DeviceError(f"use_gpu is true, but {reason}; -o use_gpu=false runs on the CPU")
    device = "gpu" if available and use_gpu is not False else "cpu"
    paddle.set_device(device)
    if device == "cpu":
        _set_threads()
        _keep_freed_memory()
    return device


def peak_memory() -> dict[str, float]:
    """The most memory (MB) that this process has had: memory_mb, and gpu_memory_mb of Paddle's on a GPU."""
    peak = {}
    if resource is not None:
        unit = 1 if sys.platform == "darwin" else 1024
        peak["memory_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20, 1)
    if paddle.device.get_device() != "cpu":
        peak["gpu_memory_mb"] = round(paddle.device.cuda.max_memory_allocated() / 2**20, 1)
    return peak


def _set_threads() -> None:
    """All cores, shared with the other ranks of this machine, unless the user has asked for a number."""
    neighbours = int(os.environ.get("PADDLE_LOCAL_SIZE", rank_count()))
    # Paddle would take one thread, and its launcher writes that into our environment.
    if ASKED_THREADS is None or (ASKED_THREADS == "1" and neighbours > 1):
        set_cpu_threads(max(own_cores() // neighbours, 1))


def _keep_freed_memory() -> None:
    """Let glibc reuse freed memory instead of giving it back to the system.

    Paddle allocates each operator's output anew, and glibc maps large ones from the system every time: a new
    map costs more than a ReLU over it (four times as much for 4 MB).
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _NEVER)
        libc.mallopt(_M_TRIM_THRESHOLD, _NEVER)
