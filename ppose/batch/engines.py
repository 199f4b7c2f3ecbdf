"""Engines, which run workers: as threads of this process, or as Ray Data actors."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from queue import SimpleQueue

from ppose.batch.chunks import Chunk
from ppose.batch.worker import Outcome, Task, Worker

# Yields outcomes of chunks in any order; it skips the chunk of a worker that died, which `run_job` retries.
Engine = Callable[[Task, Sequence[Chunk]], Iterator[Outcome]]


def run_in_threads(task: Task, chunks: Sequence[Chunk], *, concurrency: int) -> Iterator[Outcome]:
    """Make the parts in ``concurrency`` threads of this process, each with its own models."""
    stop = threading.Event()
    idle: SimpleQueue[Worker] = SimpleQueue()
    for _ in range(concurrency):
        idle.put(Worker(task, stop.is_set))

    def make(chunk: Chunk) -> Outcome:
        worker = idle.get()
        try:
            return worker(chunk)
        finally:
            idle.put(worker)

    pool = ThreadPoolExecutor(concurrency, thread_name_prefix="ppose batch")
    running: set[Future[Outcome]] = set()
    left = iter(chunks)
    try:
        while True:
            for chunk in left:
                running.add(pool.submit(make, chunk))
                if len(running) == concurrency:
                    break
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
