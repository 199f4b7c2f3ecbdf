"""Time to read weights and configs (.yml) in this checkout, against another one.

    git worktree add ../before COMMIT
    python benchmarks/reading.py --before ../before model.pdparams configs/hrnet_w32_256x192.yml

The two take turns, each in a process of its own that reads a file several times. The table has the medians of
all reads, and the ratio's quartiles over the rounds.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent.parent
READ = """
import sys, time
sys.path.insert(0, sys.argv[1])
path = sys.argv[2]
if path.endswith(".yml"):
    from ppose.workspace import load_config as read
else:
    from ppose.weights.reader import read_weights as read
for _ in range(12):
    begin = time.perf_counter()
    read(path)
    print(time.perf_counter() - begin)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--before", required=True, metavar="DIR", help="the other checkout")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    for file in args.files:
        times = [(read(Path(args.before).resolve(), file), read(HERE, file)) for _ in range(args.rounds)]
        ratios = np.quantile([np.median(now) / np.median(before) for before, now in times], (0.25, 0.5, 0.75))
        before, now = np.median(np.array(times), axis=(0, 2)) * 1000
        low, middle, high = ratios
        print(f"{file}: {before:.2f} ms -> {now:.2f} ms, ratio {middle:.3f} ({low:.3f} to {high:.3f})")


def read(checkout: Path, file: str) -> list[float]:
    """Seconds of each read of a file by a checkout's ppose, without the first two."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", READ, checkout, Path(file).resolve()],
        stdout=subprocess.PIPE, text=True, check=True, cwd=checkout,
    )  # fmt: skip
    return [float(line) for line in done.stdout.split()][2:]


if __name__ == "__main__":
    main()
