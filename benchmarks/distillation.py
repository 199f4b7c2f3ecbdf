"""Does a teacher help? AP of short trainings on drawn people, alone and with a teacher, over several seeds.

    python benchmarks/distillation.py --steps 100 --seeds 0 1 2

The teacher is the network of `make quickstart-lite` (configs/synthetic_lite_hrnet.yml: Lite-HRNet-8 at
128x64, trained on 17,600 images); it is trained first if output/synthetic_lite_hrnet lacks it. The student is
the same network with the same settings, trained on a part of these images, each seen once. The seed decides
its images, order and initial weights, which are the same in all variants. AP is on 200 other images. Finished
runs in output/distillation are not repeated.

- `alone`: the labels only, by an adaptive wing loss;
- `heatmaps`: the labels and DistMSELoss; `heatmaps, falling`: with a weight that falls to 0;
- `features`: the labels and DistFeatureLoss;
- `few labels, alone`: one keypoint in eight is labelled, always the same ones;
- `few labels, heatmaps`: these labels and DistMSELoss, also for unlabelled keypoints.

docs/benchmarks.md has the table. Tried once and rejected: heatmaps and features together, with weights of 30
and 1: AP 0.22, against 0.50 without a teacher.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ppose.commandline import run

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "configs" / "synthetic_lite_hrnet.yml"
TEACHER = ROOT / "output" / CONFIG.stem
VAL = ROOT / "dataset" / "synthetic" / "val"
BATCH = 8

# Losses with the teacher, share of labelled keypoints.
WAYS = {
    "alone": ("", 1.0),
    "heatmaps": ("!DistMSELoss {weight: 5.0}", 1.0),
    "heatmaps, falling": ("!DistMSELoss {weight: 5.0, schedulers: [!CosineDecay {max_epochs: 1}]}", 1.0),
    "features": ("!DistFeatureLoss {weight: 0.1}", 1.0),
    "few labels, alone": ("", 0.125),
    "few labels, heatmaps": ("!DistMSELoss {weight: 5.0, use_target_weight: false}", 0.125),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100, help=f"of {BATCH} images (default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    args = parser.parse_args()
    make_data_and_teacher()
    found: dict[str, list[float]] = {way: [] for way in args.ways}
    for seed in args.seeds:
        for way in args.ways:
            begin = time.perf_counter()
            found[way].append(train(way, seed, args.steps))
            print(
                f"seed {seed}, {way}: AP {found[way][-1]:.4f} ({time.perf_counter() - begin:.0f} s)",
                flush=True,
            )
    print(f"\n{args.steps} steps of {BATCH} images, {len(args.seeds)} seeds")
    print(f"{'way':21} {'mean AP':>8} {'spread':>7}  AP by seed")
    for way, values in found.items():
        spread = statistics.stdev(values) if len(values) > 1 else float("nan")
        each = " ".join(f"{value:.4f}" for value in values)
        print(f"{way:21} {statistics.mean(values):8.4f} {spread:7.4f}  {each}")


def make_data_and_teacher() -> None:
    """As `make quickstart-lite` does."""
    if not VAL.is_dir():
        make = "dataset/make_synthetic.py --images 0 --val_images 200 --most_people 2 --variety 0.25"
        subprocess.run([sys.executable, *make.split()], cwd=ROOT, check=True)
    if not (TEACHER / "model_final.pdparams").is_file():
        train = f"-m paddle.distributed.launch --nproc_per_node 2 tools/train.py -c {CONFIG} --eval"
        subprocess.run([sys.executable, *train.split()], cwd=ROOT, check=True)


class HideLabels:
    """Leaves each keypoint its label with a probability of ``share``; a sample keeps the same ones."""

    def __init__(self, share: float) -> None:
        self._share = share

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        """Reads index and visible (K,); sets visible."""
        kept = np.random.default_rng((17, sample["index"])).random(len(sample["visible"])) < self._share
        return {**sample, "visible": sample["visible"] * kept.astype(np.float32)}


def train(way: str, seed: int, steps: int) -> float:
    """The AP of one training at its end."""
    from ppose.engine.device import select_device
    from ppose.engine.distill import TeacherSetup
    from ppose.engine.train import make_trainer
    from ppose.transforms import Transform
    from ppose.workspace import load_config, register

    folder = ROOT / "output" / "distillation" / f"{way.replace(', ', '_').replace(' ', '_')}_{steps}_{seed}"
    metrics = folder / "result" / "metrics.json"
    if metrics.is_file():
        return json.loads(metrics.read_text())["AP"]
    select_device(use_gpu=False)
    register(Transform)(HideLabels)
    losses, share = WAYS[way]
    cfg = load_config(
        CONFIG,
        [
            f"TrainDataset.num_images={steps * BATCH}", f"TrainReader.batch_size={BATCH}", "use_vdl=false",
            "log_iter=20",
        ],
    )  # fmt: skip
    if share < 1:
        cfg["TrainReader"]["sample_transforms"].insert(0, {"HideLabels": {"share": share}})
    teacher = None
    if losses:
        teacher = TeacherSetup(load_config(CONFIG, [f"weights={TEACHER}", f"distill_loss=[{losses}]"]))
    trainer = make_trainer(cfg, folder, seed=seed, evaluates=True, teacher=teacher)
    trainer.fit()
    return trainer.progress.best


if __name__ == "__main__":
    run(main)
