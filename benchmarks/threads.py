"""Tests one predictor in several threads for a given time, on images of noise in random order.

    python benchmarks/threads.py --model_dir DIR --runtime openvino --seconds 120

Compares every answer with that of a single thread for the same image. Prints the answers, the wrong ones, and
the process's threads and megabytes after a tenth of the time and at the end.
"""

import argparse
import sys
import threading
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ppose.commandline import run
from ppose.inference.predictor import Predictor

_IMAGES = 16
_NEAR = 0.01  # tolerance of pixels and scores: batches of other sizes may differ in the last digits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model_dir", required=True)
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=120)
    args = parser.parse_args()
    predictor = Predictor.from_dir(args.model_dir, runtime=args.runtime)
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (12, 9, 3), np.uint8).repeat(20, 0).repeat(20, 1) for _ in range(_IMAGES)]
    expected = [_find(predictor, image) for image in images]
    end = time.monotonic() + args.seconds
    counts = np.zeros((args.threads, 2), int)  # answers, wrong ones
    errors: list[BaseException] = []

    def work(number: int) -> None:
        order = np.random.default_rng(number)
        try:
            while time.monotonic() < end:
                index = order.integers(_IMAGES)
                off = np.abs(_find(predictor, images[index]) - expected[index]).max()
                counts[number] += 1, not off < _NEAR
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(args.threads)]
    for thread in threads:
        thread.start()
    time.sleep(args.seconds / 10)
    before = _usage()
    for thread in threads:
        thread.join()
    answers, wrong = counts.sum(0)
    print(f"{predictor.runtime_name}: {answers:,} answers to {args.threads} threads in {args.seconds:g} s")
    print(f"wrong: {wrong}, errors: {len(errors)}; {before}, and {_usage()} at the end")
    if wrong or errors:
        raise SystemExit(1)


def _find(predictor: Predictor, image: np.ndarray) -> np.ndarray:
    (poses,) = predictor.predict_images([image])
    return np.array([pose.to_array() for pose in poses])


def _usage() -> str:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return f"{int(status['Threads'])} threads, {int(status['VmRSS'].split()[0]) / 1024:.0f} MB"


if __name__ == "__main__":
    run(main)
