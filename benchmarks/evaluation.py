"""Where the time of an evaluation goes, stage by stage, in one process.

    python benchmarks/evaluation.py -c configs/tinypose_256x192.yml -o weights=... EvalDataset.dataset_dir=...

Prints a table of seconds and the share of each stage: reading and warping the images, normalising, the
network, decoding the heatmaps, the metric. `tools/eval.py` runs the first two in worker processes beside the
network; here they are one after the other, so that each is measured alone.
"""

import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ppose.commandline import make_parser, run


def main() -> None:
    args = make_parser(__doc__.splitlines()[0]).parse_args()

    import numpy as np
    import paddle

    from ppose.engine.evaluate import decode_in_image, make_predict, update_metric
    from ppose.engine.load import load_trained
    from ppose.engine.task import Task
    from ppose.metrics import CocoKeypointMetric
    from ppose.workspace import load_config

    seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        seconds[name] += time.perf_counter() - start

    task = Task(load_config(args.config, args.overrides))
    dataset = task.dataset("EvalDataset")
    reader = task.reader("EvalReader")
    predict = make_predict(task, load_trained(task), flip=task.test.flip)
    metric = CocoKeypointMetric(dataset.anno_file, task.keypoint_set)
    with paddle.no_grad():
        predict(paddle.zeros([1, 3, *task.settings.trainsize[::-1]]))
        for start in range(0, len(dataset), reader.batch_size):
            index = np.arange(start, min(start + reader.batch_size, len(dataset)))
            with stage("read and warp"):
                samples = []
                for i in index:
                    sample = dataset[i]
                    for transform in reader.sample_transforms:
                        sample = transform(sample)
                    samples.append(sample)
            with stage("normalise"):
                batch = {"image": np.stack([s["image"] for s in samples])}
                for transform in reader.batch_transforms:
                    batch = transform(batch)
            with stage("network"):
                heatmaps = predict(paddle.to_tensor(batch["image"])).numpy()
            with stage("decode"):
                warp = np.stack([s["warp"] for s in samples])
                keypoints, scores = decode_in_image(task.codec, heatmaps, warp)
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
