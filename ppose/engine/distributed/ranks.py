"""The processes (ranks) of a run that `paddle.distributed.launch` starts, and their collective operations.

In a run of one process every operation returns its input. All ranks must call the same operations in the same
order; if one is missing, the others raise RankError.
"""

import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import paddle
import paddle.distributed as dist
from paddle import nn

from ppose.errors import PposeError
from ppose.paddle_internals import rendezvous_store

_barriers_passed = 0


class RankError(PposeError, RuntimeError):
    """Another process of the run has ended."""


def rank_count() -> int:
    """How many processes the run has."""
    return dist.get_world_size()


def this_rank() -> int:
    """The number of this process, counted from 0."""
    return dist.get_rank()


def is_main() -> bool:
    """Whether this is rank 0, which writes the logs and files of the run."""
    return this_rank() == 0


def join_ranks(device: str) -> None:
    """Connect this process, on "gpu" or "cpu", to the others; afterwards only the main rank warns."""
    if rank_count() == 1:
        return
    if device == "cpu":
        os.environ["PADDLE_DISTRI_BACKEND"] = "gloo"  # Paddle built for GPUs would use NCCL
    with _peer_errors():
        dist.init_parallel_env()
    if not is_main():
        logging.getLogger("ppose").setLevel(logging.ERROR)


def barrier() -> None:
    """Wait for all ranks without a time limit: gloo's operations give up after 30 s.

    It takes about 0.1 s, so call it where one rank may keep the others waiting, not in every step.
    """
    global _barriers_passed
    if rank_count() == 1:
        return
    _barriers_passed += 1
    store, key = rendezvous_store(), "ppose/barriers"
    with _peer_errors():
        store.add(key, 1)
        while store.add(key, 0) < _barriers_passed * rank_count():
            time.sleep(0.001)


def all_reduce(array: np.ndarray) -> np.ndarray:
    """The sum of the ranks' arrays, which have one shape and type."""
    if rank_count() == 1:
        return array
    tensor = paddle.to_tensor(array)
    with _peer_errors():
        dist.all_reduce(tensor)
        return tensor.numpy()


def all_gather(value: float | Sequence[float]) -> np.ndarray:
    """The ranks' values: (ranks,), or (ranks, values) for several each; float64."""
    values = np.zeros((rank_count(), *np.shape(value)))
    values[this_rank()] = value
    return all_reduce(values)


def broadcast(value: Any) -> Any:
    """The main rank's value (of JSON's types) on every rank; the others wait without a time limit."""
    if rank_count() == 1:
        return value
    barrier()
    text = json.dumps(value).encode() if is_main() else b""
    length = int(all_reduce(np.array([len(text)]))[0])
    letters = np.zeros(length, np.int32)
    letters[: len(text)] = np.frombuffer(text, np.uint8)
    return json.loads(all_reduce(letters).astype(np.uint8).tobytes())


@paddle.no_grad()
def broadcast_state(model: nn.Layer) -> None:
    """Copy the weights and statistics of the main rank's network to the network."""
    _apply_to_all(list(model.state_dict().values()), lambda tensor: dist.broadcast(tensor, 0))


@paddle.no_grad()
def all_reduce_gradients(parameters: Iterable[paddle.Tensor]) -> None:
    """Replace the gradients of the parameters by the sum of the ranks' gradients."""
    gradients = [parameter.grad for parameter in parameters if not parameter.stop_gradient]
    _apply_to_all([gradient for gradient in gradients if gradient is not None], dist.all_reduce)


def _apply_to_all(tensors: Sequence[paddle.Tensor], operation: Callable[[paddle.Tensor], Any]) -> None:
    """Run an in-place operation once for all tensors of a type; one call per tensor is slow."""
    if rank_count() == 1:
        return
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
        same = [tensor for tensor in tensors if tensor.dtype == dtype]
        flat = paddle.concat([tensor.flatten() for tensor in same])
        with _peer_errors():
            operation(flat)
        parts = paddle.split(flat, [tensor.size for tensor in same])
        for tensor, part in zip(same, parts, strict=True):
            paddle.assign(part.reshape(tensor.shape), output=tensor)


@contextmanager
def _peer_errors() -> Iterator[None]:
    """Turn Paddle's many errors for a rank that does not answer into RankError."""
    try:
        yield
    except (RuntimeError, ValueError, SystemError, OSError) as error:
        reason = " ".join(str(error).split())
        raise RankError(
            f"rank {this_rank()} lost another process of this run, which ended or was 30 s behind; "
            f"see workerlog.* in {os.environ.get('PADDLE_LOG_DIR', 'the log folder of the launcher')}, then "
            f"--resume ({reason[:200]})"
        ) from error
