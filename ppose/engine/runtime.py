"""The device that a run uses."""

import os

import paddle

from ppose.commandline import ASKED_THREADS
from ppose.errors import DeviceError


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
    if device == "cpu" and ASKED_THREADS is None:  # Paddle would take one thread
        paddle.base.core.set_num_threads(len(os.sched_getaffinity(0)))
    return device
