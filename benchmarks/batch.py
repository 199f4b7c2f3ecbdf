"""Measures `ppose batch`, and simulates fleets of machines from the figures.

    python benchmarks/batch.py measure --model_dir output_inference/tinypose_128x96 --images 5000
    python benchmarks/batch.py fleet --images 1e8 --ms 16 --machines 40 --cores 32 --price 1.2

`measure` writes small pictures, 1 % of them broken, and runs jobs on them, in turns: in threads, and in Ray
actors. Two runs of one actor, on all pictures and on a fifth of them, give the start time and the time per
image. From these, `simulate` predicts the times of 1, 2 and 4 actors, printed beside the measured ones. With
--latency_ms the pictures come by HTTP from a server with that latency, like a distant store.
`fleet` simulates machines that are not available: workers process chunks one after the other, chunk times are
log-normal, some workers are slow, workers die at random and lose their chunk, and all share the bandwidth of
the object store. It prints hours, machine hours and cost. --price, per machine hour, is an assumption.

Two cores of an AMD EPYC (AVX512, VNNI) with other load, 7 to 11; `measure --images 2000 --latency_ms 100`
without the runs in threads, a network of 0.3 ms:

    an actor takes 13.0 s to start and 21.88 ms an image
    1 actors: measured 56.8 s, simulated 56.7 s
    2 actors: measured 38.6 s, simulated 35.1 s
    4 actors: measured 28.8 s, simulated 26.6 s

_START_CORE was chosen after these runs; with the whole start scaled by cores, the simulation gave 37.3 s for
4 actors. At a load of 13, one actor took 95 s, and the comparison was stopped. docs/scale.md has conclusions.
"""

import argparse
import heapq
import http.server
import multiprocessing
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow
from pyarrow import parquet

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ppose.commandline import run
from ppose.options import whole_number
from ppose.processor import own_cores, processor_name

BATCH = Path(__file__).resolve().parent.parent / "deploy" / "batch.py"
_DRAWN = 64  # different pictures; the others are copies
_BROKEN = 100  # one in so many is not an image
_CHUNK = 100
_ACTORS = (1, 2, 4)
_START_CORE = 2.3  # core-seconds until an actor has its models: imports, and compilation in OpenVINO


@dataclass(frozen=True)
class Fleet:
    """Workers and their chunks. Times are those of one worker with its own core.

    A worker starts after ``start`` seconds and ``start_core`` core-seconds; it takes ``image`` seconds per
    image, and ``chunk`` images at a time. Chunk times are log-normal with ``spread`` (sigma); a share
    ``slow`` of workers takes ``slowness`` times as long. A worker dies ``deaths`` times an hour, loses its
    chunk and restarts. All share ``cores``. Meanwhile images come from the store, at least ``wait`` seconds
    apart; it gives all workers together ``bandwidth`` bytes per second, an image has ``size`` bytes.
    """

    workers: int
    cores: int
    start: float
    image: float
    chunk: int
    start_core: float = 0.0
    spread: float = 0.05
    slow: float = 0.0
    slowness: float = 2.0
    deaths: float = 0.0
    wait: float = 0.0
    bandwidth: float = np.inf
    size: float = 0.0


def simulate(fleet: Fleet, images: int, seed: int = 0) -> tuple[float, int]:
    """Return the seconds until all images are done, and the number of lost chunks."""
    rng = np.random.default_rng(seed)
    share = max(1.0, fleet.workers / fleet.cores)  # workers that share cores are slower
    slowed = np.where(rng.random(fleet.workers) < fleet.slow, fleet.slowness, 1.0)
    each = max(fleet.image * share, fleet.wait, fleet.size * fleet.workers / fleet.bandwidth)
    chunks = -(-images // fleet.chunk)
    left, lost, end = chunks, 0, 0.0
    start = fleet.start + fleet.start_core * share
    free = [(start, worker) for worker in range(fleet.workers)]
    heapq.heapify(free)
    while left:
        now, worker = heapq.heappop(free)
        count = min(fleet.chunk, images - (chunks - left) * fleet.chunk)
        takes = each * count * slowed[worker] * np.exp(rng.normal(-(fleet.spread**2) / 2, fleet.spread))
        dies = rng.exponential(3600 / fleet.deaths) if fleet.deaths else np.inf
        if dies < takes:
            lost += 1
            heapq.heappush(free, (now + dies + start, worker))
            continue
        left -= 1
        end = max(end, now + takes)
        heapq.heappush(free, (now + takes, worker))
    return end, lost


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kinds = parser.add_subparsers(dest="kind", required=True)
    measured = kinds.add_parser("measure")
    measured.add_argument("--model_dir", required=True, metavar="DIR")
    measured.add_argument("--images", type=whole_number(100), default=5000)
    measured.add_argument(
        "--latency_ms", type=float, default=0, help="the pictures come from a web server that waits so long"
    )
    measured.add_argument("--rounds", type=whole_number(1), default=1)
    fleet = kinds.add_parser("fleet")
    fleet.add_argument("--images", type=lambda text: int(float(text)), required=True)
    fleet.add_argument("--ms", type=float, required=True, help="an image, of a worker with one core")
    fleet.add_argument("--machines", type=whole_number(1), required=True)
    fleet.add_argument("--cores", type=whole_number(1), default=32, help="of a machine")
    fleet.add_argument("--price", type=float, default=1.0, help="of a machine, an hour")
    fleet.add_argument("--chunk", type=whole_number(1), default=1000)
    fleet.add_argument("--start", type=float, default=10, help="seconds until a worker works")
    fleet.add_argument("--slow", type=float, default=0.02, help="share of workers that take twice as long")
    fleet.add_argument("--deaths", type=float, default=0.02, help="of a worker, an hour")
    fleet.add_argument("--gbit", type=float, default=100, help="of the object store, for all")
    fleet.add_argument("--kb", type=float, default=100, help="an image")
    args = parser.parse_args()
    measure(args) if args.kind == "measure" else plan(args)


def plan(args: argparse.Namespace) -> None:
    """Print hours and cost of a fleet."""
    workers = args.machines * args.cores
    fleet = Fleet(
        workers=workers, cores=workers, start=args.start, image=args.ms / 1000, chunk=args.chunk,
        slow=args.slow, deaths=args.deaths, bandwidth=args.gbit * 1e9 / 8, size=args.kb * 1e3,
    )  # fmt: skip
    seconds, lost = simulate(fleet, args.images)
    hours = seconds / 3600
    best = args.images * fleet.image / workers / 3600
    needs = workers / fleet.image * fleet.size * 8 / 1e9
    print(
        f"{args.images:.0e} images on {args.machines} machines of {args.cores} cores: {hours:.2f} h "
        f"({best:.2f} without starts, slow workers, deaths and waiting for the store), {lost} chunks lost; "
        f"{hours * args.machines:,.1f} machine hours, {hours * args.machines * args.price:,.1f} of money; "
        f"the workers ask the store for {needs:.1f} of {args.gbit:g} Gbit/s"
    )


def measure(args: argparse.Namespace) -> None:
    """Measure seconds in threads and in actors, and compare actors with the simulation."""
    ways = {"threads, 1": ("--concurrency", "1"), "threads, 2": ("--concurrency", "2")}
    ways |= {f"Ray, {count}": ("--engine", "ray", "--concurrency", str(count)) for count in _ACTORS}
    found: dict[str, list[float]] = {name: [] for name in ("Ray, 1, a fifth", *ways)}
    print(f"{processor_name()}; {args.images} images")
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), args.latency_ms) as place:
        few, all_of_them = Path(folder) / "few", Path(folder) / "all"
        write_pictures(few, args.images // 5)
        write_pictures(all_of_them, args.images)
        for turn in range(args.rounds):
            for name in found:
                pictures, options = all_of_them if name in ways else few, ways.get(name, ways["Ray, 1"])
                output = Path(folder) / f"{name}-{turn}"
                seconds, stages = run_job(args.model_dir, place(pictures), output, options)
                found[name].append(seconds)
                print(f"{name:16}{seconds:7.1f} s  {stages}", flush=True)
    print_fit(
        {name: float(np.median(runs)) for name, runs in found.items()}, args.images, args.latency_ms > 0
    )


def print_fit(seconds: dict[str, float], images: int, is_waiting: bool) -> None:
    """Print the start time and the time per image of one actor, and the resulting simulation."""
    image = (seconds["Ray, 1"] - seconds["Ray, 1, a fifth"]) / (images - images // 5)
    start = max(0.0, seconds["Ray, 1"] - images * image)
    print(f"an actor takes {start:.1f} s to start and {1000 * image:.2f} ms an image")
    takes = {"wait": image, "image": 0.0} if is_waiting else {"image": image}
    takes |= {"start": start - _START_CORE, "start_core": _START_CORE}
    for count in _ACTORS:
        fleet = Fleet(workers=count, cores=own_cores(), chunk=_CHUNK, **takes)
        simulated = float(np.median([simulate(fleet, images, seed)[0] for seed in range(5)]))
        print(f"{count} actors: measured {seconds[f'Ray, {count}']:.1f} s, simulated {simulated:.1f} s")


@contextmanager
def serving(folder: Path, latency_ms: float) -> Iterator[Callable[[Path], Path]]:
    """Yield a function from a folder to a job's input: the folder, or a table of URLs with that latency."""
    if not latency_ms:
        yield lambda pictures: pictures
        return
    context = multiprocessing.get_context("spawn")
    ports = context.SimpleQueue()
    server = context.Process(target=_serve, args=(folder, latency_ms / 1000, ports), daemon=True)
    server.start()
    port = ports.get()

    def make_table(pictures: Path) -> Path:
        table = folder / f"{pictures.name}.parquet"
        urls = [f"http://127.0.0.1:{port}/{pictures.name}/{f.name}" for f in sorted(pictures.iterdir())]
        parquet.write_table(pyarrow.table({"image": urls}), table)
        return table

    yield make_table
    server.kill()


def _serve(folder: Path, latency: float, ports: object) -> None:
    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(latency)
            super().do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    ports.put(server.server_port)
    server.serve_forever()


def write_pictures(folder: Path, count: int) -> None:
    """Write photos of 160x120 pixels: noise, which JPEG compresses badly, and two discs."""
    import cv2

    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(_DRAWN):
        image = cv2.resize(rng.integers(0, 255, (15, 20, 3), dtype=np.uint8), (160, 120))
        for colour in ((30, 30, 220), (220, 30, 30)):
            cv2.circle(image, tuple(map(int, rng.integers(20, 100, 2))), 8, colour, -1)
        drawn.append(cv2.imencode(".jpg", image)[1].tobytes())
    folder.mkdir()
    for number in range(count):
        data = b"no image" if number % _BROKEN == _BROKEN - 1 else drawn[number % _DRAWN]
        (folder / f"{number:08d}.jpg").write_bytes(data)


def run_job(model: str, pictures: Path, output: Path, options: tuple[str, ...]) -> tuple[float, str]:
    """Run a job; return its seconds, without the start of the process and of Ray, and its line on stages."""
    command = [sys.executable, BATCH, "--model_dir", model, "--input", pictures, "--output_dir", output]
    command += ["--images_per_part", str(_CHUNK), *options]
    done = subprocess.run([str(each) for each in command], capture_output=True, text=True, check=True)
    seconds = float(re.search(r"images in ([\d.]+) s", done.stdout)[1])
    return seconds, re.search(r"in a worker: (.*)", done.stdout)[1]


if __name__ == "__main__":
    run(main)
