"""Runs workers as Ray Data actors, on this machine or on a cluster.

Ray restarts an actor that died, if resources allow, but does not retry its last chunk: an actor that waits
for a node that never returns would keep that chunk for ever. `run_job`, which checks the existing parts,
retries such chunks.
"""

import logging
import os
import socket
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ppose.batch.chunks import Chunk
from ppose.batch.worker import Outcome, Task, Worker
from ppose.errors import DeviceError
from ppose.interrupts import keeping_handlers
from ppose.paths import hide_secrets, show_name, show_text
from ppose.processor_settings import environment
from ppose.version import VERSION

_CONNECT_SECONDS = 5


@contextmanager
def connected(address: str | None, cores: int) -> Iterator[None]:
    """Within it, Ray uses the cluster at ``address``, or starts its own on this machine with ``cores`` cores.

    Raises DeviceError if it cannot connect to the cluster.
    """
    import ray

    if address is not None and ":" in address:
        _check_port(address)
    folder = os.getcwd()
    options: dict[str, Any] = (
        {"address": address}
        if address
        else {"address": "local", "num_cpus": cores, "include_dashboard": False}
    )
    try:
        try:
            os.chdir(os.sep)  # Ray's workers import from the folder that it is started in
            with keeping_handlers(), _environment(), _silent_stderr():
                ray.init(**options, logging_level=logging.ERROR, log_to_driver=False, namespace="ppose")
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            raise _no_cluster(address, error) from None
        except SystemExit:  # Ray's own answer to SIGTERM
            raise KeyboardInterrupt from None
        finally:
            os.chdir(folder)
        yield
    finally:
        with keeping_handlers():
            ray.shutdown()


def _check_port(address: str) -> None:
    """Raise DeviceError if nothing listens there; Ray itself would try for over a minute."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        raise _no_cluster(address, error) from None


def _no_cluster(address: str | None, error: Exception) -> DeviceError:
    reason = " ".join(str(error).split())[:200]
    return DeviceError(f"no Ray cluster at {show_name(hide_secrets(str(address)))}: {reason}")


@contextmanager
def _environment() -> Iterator[None]:
    """Within it, new processes import this ppose, and Ray's core logs only fatal errors."""
    root = str(Path(__file__).resolve().parents[2])
    known = os.environ.get("PYTHONPATH")
    with environment(
        PYTHONPATH=root if known is None else os.pathsep.join([root, known]),
        RAY_BACKEND_LOG_LEVEL=os.environ.get("RAY_BACKEND_LOG_LEVEL", "fatal"),
    ):
        yield


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Within it, stderr is discarded: Ray's core prints its settings there, and raises its errors."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def count_workers(num_cpus: float, num_gpus: float) -> int:
    """The number of workers that the cluster's cores, or GPUs, now allow; at least one."""
    import ray

    there = ray.cluster_resources()
    return max(1, int(there.get("GPU", 0) / num_gpus if num_gpus else there.get("CPU", 0) / num_cpus))


def run_on_ray(
    task: Task, chunks: Sequence[Chunk], *, concurrency: int, num_cpus: float, num_gpus: float
) -> Iterator[Outcome]:
    """Make the parts in ``concurrency`` actors; each has its own models, ``num_cpus`` and ``num_gpus``."""
    import ray
    import ray.data
    from ray.data import ActorPoolStrategy, DataContext

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", message="`ray_remote_args` is deprecated")
    rows = ray.data.from_items(
        [{"chunk": chunk.to_json()} for chunk in chunks], override_num_blocks=len(chunks)
    )
    outcomes = rows.map_batches(
        _Actor,
        fn_constructor_args=(task, VERSION),
        batch_size=1,
        compute=ActorPoolStrategy(size=min(concurrency, len(chunks)), max_tasks_in_flight_per_actor=1),
        num_cpus=num_cpus,
        num_gpus=num_gpus,
        max_restarts=-1,
        max_task_retries=0,
    )
    try:
        for row in outcomes.iter_rows():
            yield Outcome.from_json(row["outcome"])
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[-1]  # a traceback's last line
        yield Outcome(chunks[0].number, failure=show_text(f"Ray: {reason.strip()}", 200))


class _Actor:
    """A worker in a Ray process; returns errors as values, since an exception would end the whole job."""

    def __init__(self, task: Task, version: str) -> None:
        self._work = Worker(task)
        self._version = version

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        return {"outcome": [self._make(Chunk.from_json(str(text))).to_json() for text in batch["chunk"]]}

    def _make(self, chunk: Chunk) -> Outcome:
        if self._version != VERSION:
            problem = f"ppose is {VERSION} on a node, but {self._version} on the machine that started the job"
            return Outcome(chunk.number, failure=problem, is_final=True)
        return self._work(chunk)
