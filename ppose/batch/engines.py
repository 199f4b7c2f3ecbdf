"""What runs workers: threads of this process, or Ray Data's actors, here or on a cluster."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from queue import SimpleQueue

from ppose.batch.chunks import Chunk
from ppose.batch.worker import Outcome, Task, Worker

# Of chunks, in any order; what a worker that died had is left out, and is asked for again.
Engine = Callable[[Task, Sequence[Chunk]], Iterator[Outcome]]


def run_in_threads(task: Task, chunks: Sequence[Chunk], *, concurrency: int) -> Iterator[Outcome]:
    """Make the parts in so many threads of this process, each with models of its own."""
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
