"""Configs as they come, on drawn people: the loss falls by training, and the ONNX export agrees.

Of a config only the data, the batch and the schedule are replaced, and augmentation is taken out; the input's
size and the network are its own. 16 pictures are enough for a loss that falls; what is learnt, AP is for.

    python benchmarks/real_configs.py hrnet_small_256x256_envisat16 hsrnet_59_256x192_coco --steps 24
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import paddle

from ppose.data.synthetic import write_dataset
from ppose.engine.load import load_trained
from ppose.engine.task import Task
from ppose.engine.train import make_trainer
from ppose.errors import PposeError
from ppose.export.export import Options, export_model
from ppose.workspace import load_config

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
PICTURES = 16


def write_data(folder: Path, name: str, keypoints: int) -> list[str]:
    """16 people with as many of COCO's keypoints as the config has, whatever it calls them; overrides."""
    write_dataset(folder, PICTURES, 0, people=(1, 1), variety=0.25)
    file = folder / "annotations.json"
    content = json.loads(file.read_text())
    content["categories"] = [{"id": 1, "name": "person"}]
    for person in content["annotations"]:
        person["keypoints"] = person["keypoints"][: 3 * keypoints]
    file.write_text(json.dumps(content))
    if name.endswith("_mpii"):
        names = {image["id"]: image["file_name"] for image in content["images"]}
        file.write_text(json.dumps([to_mpii(person, names) for person in content["annotations"]]))
    places = {"dataset_dir": folder, "image_dir": "images", "anno_path": "annotations.json"}
    return [
        f"{data}.{key}={value}" for data in ("TrainDataset", "EvalDataset") for key, value in places.items()
    ]


def to_mpii(person: dict, names: dict) -> dict:
    """A person as the official HRNet's JSON has it."""
    x, y, width, height = person["bbox"]
    points = np.reshape(person["keypoints"], (-1, 3))
    return {
        "image": names[person["image_id"]],
        "center": [x + width / 2, y + height / 2],
        "scale": max(width, height) / 200,
        "joints": points[:, :2].tolist(),
        "joints_vis": (points[:, 2] > 0).astype(int).tolist(),
    }


def try_config(name: str, steps: int, batch: int, rate: float | None, folder: Path) -> dict:
    """Train and export one config: the loss as a share of what empty heatmaps cost, and the difference."""
    config = CONFIGS / f"{name}.yml"
    plain = load_config(config)
    augmentation = "TrainReader.sample_transforms.RandomFlipHalfBodyTransform"
    overrides = [
        *write_data(folder / "data", name, plain["num_joints"]),
        *(f"{augmentation}.{key}=0" for key in ("rot", "prob_flip", "prob_half_body")),
        *(f"{augmentation}.scale=0.0", f"batch_size={batch}", f"epoch={steps * batch // PICTURES}"),
        *("pretrain_weights=null", "worker_num=0", "use_vdl=false", "log_iter=1", "snapshot_epoch=1000"),
        "LearningRate.schedulers=[]",
        f"LearningRate.base_lr={rate or plain['LearningRate']['base_lr']}",
    ]
    cfg = load_config(config, overrides)
    paddle.seed(0)
    start = time.perf_counter()
    trainer = make_trainer(cfg, folder / "run", seed=0, evaluates=False)
    trainer.fit()
    seconds = (time.perf_counter() - start) / trainer.step
    lines = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    task = Task(load_config(config, [*overrides, f"weights={folder / 'run' / 'model_final.pdparams'}"]))
    report = export_model(task, name, folder / "export", Options(format="onnx"), load_trained(task))
    per_epoch = PICTURES // batch
    return {
        "config": name,
        "steps": len(losses),
        "first": losses[0],
        "empty": cost_of_nothing(task),
        "last": float(np.mean(losses[-per_epoch:])),
        "seconds a step": seconds,
        "onnx difference": report.difference,
    }


def cost_of_nothing(task: Task) -> float:
    """The loss of heatmaps that are 0 everywhere."""
    batch = task.reader("TrainReader").batches(task.dataset("TrainDataset"), workers=0).examples(PICTURES)
    target = batch["heatmaps"]
    return float(task.loss()(paddle.zeros_like(target), target, batch["target_weight"]))


def main() -> None:
    """Try the configs, one after the other; a row of a table each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("configs", nargs="+")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rate", type=float, help="default: the config's")
    args = parser.parse_args()
    print("| config | steps | loss, of empty heatmaps' | first | s a step | ONNX difference |")
    print("|---|---|---|---|---|---|")
    for name in args.configs:
        with tempfile.TemporaryDirectory() as folder:
            try:
                row = try_config(name, args.steps, args.batch, args.rate, Path(folder))
            except PposeError as error:
                print(f"| {name} | error: {error} |", flush=True)
                continue
        shares = [row[key] / row["empty"] for key in ("last", "first")]
        print(
            f"| {name} | {row['steps']} | {shares[0]:.3f} | {shares[1]:.3f} | {row['seconds a step']:.2f} | "
            f"{row['onnx difference']:.1e} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
