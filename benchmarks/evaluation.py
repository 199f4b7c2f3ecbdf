"""Time of an evaluation by stage, in one process.

    python benchmarks/evaluation.py -c configs/tinypose_256x192.yml -o weights=... EvalDataset.dataset_dir=...

Prints a table of seconds and the share of each stage: reading and warping the images, normalising, the
network, decoding the heatmaps, the metric. `tools/eval.py` runs the first two in worker processes beside the
network; here all stages run one after another, so that each is measured alone.
"""

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ppose.commandline import run
from ppose.options import add_config_options


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_config_options(parser)
    args = parser.parse_args()

    import numpy as np

    from ppose.engine.evaluate import update_metric
    from ppose.engine.load import load_trained
    from ppose.engine.network_runtime import network_predictor
    from ppose.engine.task import Task
    from ppose.workspace import load_config

    seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        seconds[name] += time.perf_counter() - start

    task = Task(load_config(args.config, args.overrides))
    dataset = task.dataset("EvalDataset")
    predictor = network_predictor(task, load_trained(task), "EvalReader")
    spec, size = predictor.spec, predictor.batch_size
    metric = task.metric(dataset)
    predictor(np.zeros((64, 64, 3), np.uint8))
    for start in range(0, len(dataset), size):
        index = np.arange(start, min(start + size, len(dataset)))
        with stage("read and warp"):
            samples = [spec.prepare(dataset[i]) for i in index]
        with stage("normalise"):
            batch = spec.make_batch(samples)
        with stage("network"):
            heatmaps = predictor.find_heatmaps(batch)
        with stage("decode"):
            keypoints, scores = spec.decode(heatmaps, batch["warp"])
        with stage("metric"):
            update_metric(metric, dataset, index, keypoints, scores)
    with stage("metric"):
        ap = metric.compute()["AP"]

    total = sum(seconds.values())
    print(f"{args.config}: {len(dataset)} people, flip test {'on' if task.test.flip else 'off'}, AP {ap:.4f}")
    for name, value in seconds.items():
        print(f"  {name:14} {value:7.2f} s {value / total:6.1%}")
    around = total - seconds["network"]
    print(f"  all but the network: {around / seconds['network']:.2f} of the network's time")


if __name__ == "__main__":
    run(main)
