"""Requests a second, and their times, of `ppose serve`, with and without shared batches.

    python benchmarks/serving.py --model output_inference/tinypose_256x192 --image_dir DIR --boxes FILE

Each request is an image file with one of its people's boxes. So many clients ask at once, each as soon as it
has its answer, from a process on the same machine, which takes its share of the cores. "batches" is the
server as it is, "one by one" with --batch_size 1 --delay_ms 0, "Predictor" no server: the same files in a
process, decoded from memory, 16 people at once. In turns; medians over rounds. "cpu ms" is the processor time
of that process for each of them, which other load on the machine changes least. --overload MINUTES asks with
more clients than the queue has places, and prints memory and answers by status, minute by minute.

Two cores of an AMD EPYC that other programs used as well (load 11), `tinypose_128x96` in OpenVINO 2026.4;
processor time is what to compare then; one round:

                clients  requests/s   cpu ms   p50 ms   p99 ms
    Predictor                  44.3     14.7
    batches          16        45.0     20.2    292.1   1240.5
    one by one       16        35.8     28.3    460.0    597.2

--overload 3: 394, 398, 401 MB and 7 files after each minute; 2,810 answers of 200, 39,917 of 503, no others.
"""

import argparse
import json
import multiprocessing
import re
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ppose.commandline import run
from ppose.options import whole_number

SERVE = Path(__file__).resolve().parent.parent / "deploy" / "serve.py"
_SERVERS = {"batches": (), "one by one": ("--batch_size", "1", "--delay_ms", "0")}
_OVERLOAD_CLIENTS = 192  # the queue has 128 places


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
    """Content and first box (x, y, width, height) of each image that has people."""
    from ppose.image_files import list_images, read_boxes

    files = list_images(image_dir)
    found = zip(files, read_boxes(boxes, files), strict=True)
    return [
        (file.read_bytes(), [*people[0][:2], *(people[0][2:] - people[0][:2])])
        for file, people in found
        if len(people)
    ]


def measure(args: argparse.Namespace, scenes: Sequence[tuple[bytes, list[float]]]) -> None:
    figures: dict[tuple[str, int], list[tuple[float, ...]]] = {}
    bare = []
    with serving(args.model) as batches, serving(args.model, *_SERVERS["one by one"]) as single:
        for _ in range(args.rounds):
            bare.append(run_predictor(args.model, scenes, args.seconds))
            for clients in args.clients:
                for name, (port, process) in zip(_SERVERS, (batches, single), strict=True):
                    before = cpu_seconds(process)
                    times, statuses = ask(port, scenes, clients, args.seconds)
                    cpu = 1000 * (cpu_seconds(process) - before) / len(times)
                    if set(statuses) != {200}:
                        raise SystemExit(f"{name}, {clients} clients: {statuses}")
                    p50, p99 = np.percentile(times, [50, 99]) * 1000
                    row = (len(times) / args.seconds, cpu, p50, p99)
                    figures.setdefault((name, clients), []).append(row)
    print(f"{'':12}clients  requests/s   cpu ms   p50 ms   p99 ms")
    rate, cpu = (statistics.median(column) for column in zip(*bare, strict=True))
    print(f"{'Predictor':12}{'':7}{rate:12.1f}{cpu:9.1f}")
    for (name, clients), rounds in figures.items():
        rate, *others = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"{name:12}{clients:7}{rate:12.1f}" + "".join(f"{number:9.1f}" for number in others))


def overload(model: Path, scenes: Sequence[tuple[bytes, list[float]]], minutes: float) -> None:
    with serving(model) as (port, process):
        watched, end = psutil.Process(process.pid), time.monotonic() + 60 * minutes
        while time.monotonic() < end:
            times, statuses = ask(port, scenes, _OVERLOAD_CLIENTS, min(60.0, 60 * minutes))
            memory, p99 = watched.memory_info().rss / 1e6, np.percentile(times, 99)
            print(
                f"{memory:.0f} MB, {watched.num_fds()} files; p99 {p99:.2f} s; {dict(statuses)}", flush=True
            )


@contextmanager
def serving(model: Path, *options: str) -> Iterator[tuple[int, subprocess.Popen]]:
    """Port and process of a server of its own."""
    command = [sys.executable, str(SERVE), "--model", str(model), "--port", "0"]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
    try:
        yield int(re.search(r":(\d+)/", process.stdout.readline())[1]), process
    finally:
        process.terminate()
        process.wait(60)


def cpu_seconds(process: subprocess.Popen) -> float:
    """The processor time that it has taken so far."""
    times = psutil.Process(process.pid).cpu_times()
    return times.user + times.system


def run_predictor(
    model: Path, scenes: Sequence[tuple[bytes, list[float]]], seconds: float
) -> tuple[float, float]:
    """People a second of the Predictor alone, and processor milliseconds a person; in its own process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_run_predictor, (model, scenes, seconds))


def _run_predictor(
    model: Path, scenes: Sequence[tuple[bytes, list[float]]], seconds: float
) -> tuple[float, float]:
    from ppose.geometry import bbox_xywh_to_xyxy
    from ppose.inference.command import warm_up
    from ppose.inference.predictor import Predictor
    from ppose.transforms import decode_image

    predictor = Predictor.from_dir(model)
    warm_up(predictor)
    done, start, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - start < seconds:
        batch = [scenes[(done + index) % len(scenes)] for index in range(predictor.batch_size)]
        images = [decode_image(data, "it") for data, _ in batch]
        predictor.predict_images(images, [bbox_xywh_to_xyxy(np.array([box])) for _, box in batch])
        done += len(batch)
    return done / (time.perf_counter() - start), 1000 * (time.process_time() - cpu) / done


def ask(
    port: int, scenes: Sequence[tuple[bytes, list[float]]], clients: int, seconds: float
) -> tuple[list[float], Counter]:
    """The time of each answer with status 200, and how often each status came; 503 is asked again."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_ask, (port, scenes, clients, seconds))


def _ask(
    port: int, scenes: Sequence[tuple[bytes, list[float]]], clients: int, seconds: float
) -> tuple[list[float], Counter]:
    requests = [_make_request(data, box) for data, box in scenes]
    times, statuses = [], Counter()
    end = time.perf_counter() + seconds

    def work(turn: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            answers = connection.makefile("rb")
            while (start := time.perf_counter()) < end:
                connection.sendall(requests[turn % len(requests)])
                status = _read_answer(answers)
                statuses[status] += 1
                if status == 200:
                    times.append(time.perf_counter() - start)
                else:
                    time.sleep(0.2)
                turn += clients

    threads = [threading.Thread(target=work, args=(index,)) for index in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times, statuses


def _make_request(data: bytes, box: Sequence[float]) -> bytes:
    boxes = json.dumps([box], separators=(",", ":"))
    head = f"POST /v1/poses?boxes={boxes} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


def _read_answer(answers: object) -> int:
    status, length = int(answers.readline().split()[1]), 0
    while (line := answers.readline().strip()) != b"":
        if line.lower().startswith(b"content-length:"):
            length = int(line.split()[1])
    answers.read(length)
    return status


def processor_name() -> str:
    """As Linux has it."""
    return re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())[1]


if __name__ == "__main__":
    run(main)
