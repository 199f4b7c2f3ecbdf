"""Measures requests per second and latencies of `ppose serve`, with and without shared batches.

    python benchmarks/serving.py --model output_inference/tinypose_256x192 --image_dir DIR --boxes FILE

Each request is an image file with the box of one of its people. Concurrent clients each send the next request
once they have their answer; they are sockets of one thread on the same machine (`serving_clients.py`), whose
share of a core is printed. "batches" is the server with defaults, "one by one" that with --batch_size 1
--delay_ms 0. "Predictor" is a process without a server: it decodes the same files from memory, with as many
people per batch as there are clients, at most 16. All run in turns, every other round in reverse order.
Printed are medians over rounds, and the range of ratios within a round. "cpu ms" is the processor time of
that process per request, on which other load has the least effect.

The gain of the Predictor from batches, printed too, also for the network alone, bounds the server's gain.
--overload MINUTES uses more clients than the queue has places, and prints memory and answers by status.
docs/benchmarks.md has figures.
"""

import argparse
import json
import multiprocessing.pool
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from serving_clients import ask

from ppose.commandline import run
from ppose.options import whole_number
from ppose.processor import processor_name

SERVE = Path(__file__).resolve().parent.parent / "deploy" / "serve.py"
_SERVERS = {"batches": (), "one by one": ("--batch_size", "1", "--delay_ms", "0")}
_OVERLOAD_CLIENTS = 192  # the queue has 128 places
_BATCH = 16  # people in one, by the server's default
_WINDOWS = 6  # in a minute of overload

Scenes = Sequence[tuple[bytes, list[float]]]


class Figures(NamedTuple):
    """Requests or people per second; per request: processor ms, network ms; p50, p99; clients' core share."""

    rate: float
    cpu: float
    network: float = float("nan")
    p50: float = float("nan")
    p99: float = float("nan")
    clients_share: float = float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, metavar="DIR")
    parser.add_argument("--image_dir", type=Path, required=True, metavar="DIR")
    parser.add_argument("--boxes", required=True, metavar="FILE")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=whole_number(1), default=3)
    parser.add_argument("--overload", type=float, metavar="MINUTES")
    args = parser.parse_args()
    scenes = read_scenes(args.image_dir, args.boxes)
    print(f"{processor_name()}; {len(scenes)} images")
    if args.overload:
        overload(args.model, scenes, args.overload)
        return
    measure(args, scenes)


def read_scenes(image_dir: Path, boxes: str) -> list[tuple[bytes, list[float]]]:
    """Return content and first box (x, y, width, height) of each image with people."""
    from ppose.image_files import list_images, read_boxes_and_sizes

    files = list_images(image_dir)
    found = zip(files, read_boxes_and_sizes(boxes, files)[0], strict=True)
    return [
        (file.read_bytes(), [*people[0][:2], *(people[0][2:] - people[0][:2])])
        for file, people in found
        if len(people)
    ]


def measure(args: argparse.Namespace, scenes: Scenes) -> None:
    """Print a table, and the ratios of the module's docstring."""
    rows: dict[tuple[str, int], list[Figures]] = {}
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(serving(args.model, *options)) for name, options in _SERVERS.items()
        }
        sizes = sorted({min(count, _BATCH) for count in (1, _BATCH, *args.clients)})
        predictors = {size: stack.enter_context(predicting(args.model, size)) for size in sizes}
        turns = [("Predictor", size) for size in predictors]
        turns += [(name, clients) for clients in args.clients for name in _SERVERS]
        for number in range(args.rounds):
            for name, count in reversed(turns) if number % 2 else turns:
                if name == "Predictor":
                    row = predictors[count].apply(_run_predictor, (scenes, args.seconds))
                else:
                    row = run_server(*servers[name], scenes, count, args.seconds)
                rows.setdefault((name, count), []).append(row)
    print(f"{'':12}  at once  requests/s   cpu ms  net. ms   p50 ms   p99 ms  clients' share of a core")
    for name, count in turns:
        rate, *others = (statistics.median(column) for column in zip(*rows[name, count], strict=True))
        print(f"{name:12}{count:9}{rate:12.1f}" + "".join(f"{number:9.2f}" for number in others))
    predictor = rows["Predictor", _BATCH]
    print_ratio("Predictor, 16 / 1 at once", predictor, rows["Predictor", 1])
    print_ratio("network alone, 1 / 16 at once", rows["Predictor", 1], predictor, "network")
    for clients in args.clients:
        print_ratio(
            f"{clients} clients, batches / one by one", rows["batches", clients], rows["one by one", clients]
        )
        alone = rows["Predictor", min(clients, _BATCH)]
        print_ratio(f"{clients} clients, batches / Predictor", rows["batches", clients], alone)


def print_ratio(words: str, ours: Sequence[Figures], others: Sequence[Figures], what: str = "rate") -> None:
    """Print the median of the rounds' ratios, and their range."""
    ratios = [getattr(one, what) / getattr(other, what) for one, other in zip(ours, others, strict=True)]
    print(f"{words}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


def run_server(port: int, process: subprocess.Popen, scenes: Scenes, clients: int, seconds: float) -> Figures:
    """Measure a server with so many clients; SystemExit if a status is not 200."""
    before = cpu_seconds(process)
    answers = ask(port, make_requests(scenes), clients, seconds)
    cpu = 1000 * (cpu_seconds(process) - before) / max(len(answers.times), 1)
    if set(answers.statuses) != {200} or answers.lost:
        raise SystemExit(f"{clients} clients: {dict(answers.statuses)}, {answers.lost} without an answer")
    p50, p99 = np.percentile(answers.times, [50, 99]) * 1000
    share = answers.cpu_seconds / answers.seconds
    return Figures(len(answers.times) / answers.seconds, cpu, p50=p50, p99=p99, clients_share=share)


def overload(model: Path, scenes: Scenes, minutes: float) -> None:
    """Print memory and answers per time window."""
    with serving(model) as (port, process):
        watched, seconds = psutil.Process(process.pid), min(60.0, 60 * minutes / _WINDOWS)
        print(f"{watched.memory_info().rss / 1e6:.0f} MB before")
        total, end = Counter(), time.monotonic() + 60 * minutes
        while time.monotonic() < end:
            answers = ask(port, make_requests(scenes), _OVERLOAD_CLIENTS, seconds)
            total += answers.statuses + Counter(lost=answers.lost)
            memory, p99 = watched.memory_info().rss / 1e6, np.percentile(answers.times, 99)
            print(
                f"{memory:.0f} MB, {watched.num_fds()} files; {len(answers.times) / answers.seconds:.1f} "
                f"answers/s, p99 {p99:.2f} s; {dict(answers.statuses)}, {answers.lost} without an answer",
                flush=True,
            )
        print(f"in all: {dict(total)}")


@contextmanager
def serving(model: Path, *options: str) -> Iterator[tuple[int, subprocess.Popen]]:
    """Yield port and process of a new server."""
    command = [sys.executable, str(SERVE), "--model", str(model), "--port", "0"]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
    try:
        yield int(re.search(r":(\d+)/", process.stdout.readline())[1]), process
    finally:
        process.terminate()
        process.wait(60)


def cpu_seconds(process: subprocess.Popen) -> float:
    """The processor time of a process so far."""
    times = psutil.Process(process.pid).cpu_times()
    return times.user + times.system


_predictor: list = []


@contextmanager
def predicting(model: Path, batch_size: int) -> Iterator[multiprocessing.pool.Pool]:
    """Yield a pool of one process with a Predictor."""
    with multiprocessing.get_context("spawn").Pool(1, _open_predictor, (model, batch_size)) as pool:
        pool.apply(_is_open)
        yield pool


def _open_predictor(model: Path, batch_size: int) -> None:
    from ppose.inference.command import warm_up
    from ppose.inference.predictor import Predictor

    _predictor.append(Predictor.from_dir(model, batch_size=batch_size, batches=[batch_size]))
    warm_up(_predictor[0], [batch_size])


def _is_open() -> bool:
    return bool(_predictor)


def _run_predictor(scenes: Scenes, seconds: float) -> Figures:
    from ppose.geometry import bbox_xywh_to_xyxy
    from ppose.transforms import decode_annotated

    (predictor,) = _predictor
    predictor.reset_times()
    done, start, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - start < seconds:
        batch = [scenes[(done + index) % len(scenes)] for index in range(predictor.batch_size)]
        images = [decode_annotated(data, "it") for data, _ in batch]
        predictor.predict_images(images, [bbox_xywh_to_xyxy(np.array([box])) for _, box in batch])
        done += len(batch)
    elapsed, cpu = time.perf_counter() - start, time.process_time() - cpu
    return Figures(done / elapsed, 1000 * cpu / done, 1000 * predictor.seconds["network"] / done)


def make_requests(scenes: Scenes) -> list[bytes]:
    """Return HTTP requests with an image and a box each."""
    made = []
    for data, box in scenes:
        boxes = json.dumps([box], separators=(",", ":"))
        head = f"POST /v1/poses?boxes={boxes} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(data)}\r\n\r\n"
        made.append(head.encode() + data)
    return made


if __name__ == "__main__":
    run(main)
