"""Tests unchanged configs on 16 drawn people: overfitting, export in every format, quantization to int8.

The network is the config's, with full depth and width. `overfit` trains it on pictures with sides of a
quarter (`--shrink`), without augmentation, and writes its weights to a folder. `export` exports those weights
at the config's input size, `int8` quantizes them at that of the training. Each prints a table:

    python benchmarks/real_configs.py overfit hsrnet_59_256x192_coco --folder /tmp/real --steps 120
    python benchmarks/real_configs.py export hsrnet_59_256x192_coco --folder /tmp/real
    python benchmarks/real_configs.py int8 hsrnet_59_256x192_coco --folder /tmp/real
"""

import argparse
import json
import shutil
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import nn
from scipy.io import savemat

from ppose.data.synthetic import write_dataset
from ppose.engine.calibration import CalibrationImages
from ppose.engine.evaluate import evaluate, make_reader, read_batches
from ppose.engine.load import load_trained
from ppose.engine.network_runtime import network_predictor
from ppose.engine.task import Task
from ppose.engine.train import make_trainer
from ppose.errors import PposeError
from ppose.export.export import Options, export_model
from ppose.export.post_training import quantize_and_export
from ppose.inference.predictor import Predictor
from ppose.paddle_internals import set_norm
from ppose.weights.checkpoint import save_weights
from ppose.workspace import load_config

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
PICTURES = 16
WEIGHTS = "weights.pdparams"


def write_data(folder: Path, name: str, keypoints: int) -> list[str]:
    """Write 16 people with the first ``keypoints`` of COCO's keypoints; return overrides for the config."""
    write_dataset(folder, PICTURES, 0, people=(1, 1), variety=0.25)
    file = folder / "annotations.json"
    content = json.loads(file.read_text())
    content["categories"] = [{"id": 1, "name": "person"}]
    for person in content["annotations"]:
        person["keypoints"] = person["keypoints"][: 3 * keypoints]
    file.write_text(json.dumps(content))
    if name.endswith("_mpii"):
        names = {image["id"]: image["file_name"] for image in content["images"]}
        people = [to_mpii(person, names) for person in content["annotations"]]
        file.write_text(json.dumps(people))
        write_truth(folder / "gt_valid.mat", people)
    places = {"dataset_dir": folder, "image_dir": "images", "anno_path": "annotations.json"}
    return [
        f"{data}.{key}={value}" for data in ("TrainDataset", "EvalDataset") for key, value in places.items()
    ]


def to_mpii(person: dict, names: dict) -> dict:
    """Return a person in the format of the official HRNet's JSON."""
    x, y, width, height = person["bbox"]
    points = np.reshape(person["keypoints"], (-1, 3))
    return {
        "image": names[person["image_id"]],
        "center": [x + width / 2, y + height / 2],
        "scale": max(width, height) / 200,
        "joints": points[:, :2].tolist(),
        "joints_vis": (points[:, 2] > 0).astype(int).tolist(),
    }


def write_truth(file: Path, people: list[dict]) -> None:
    """Write the ground truth for PCKh, with heads of a tenth of a person's size."""
    places, visible, sizes = (
        np.array([person[key] for person in people]) for key in ("joints", "joints_vis", "scale")
    )
    corners = 20 * sizes * np.array([0, 1]).reshape(2, 1, 1) * np.ones((2, 2, 1))
    savemat(
        file,
        {"pos_gt_src": np.moveaxis(places, 0, -1), "jnt_missing": 1 - visible.T, "headboxes_src": corners},
    )


def overrides_of(name: str, folder: Path, shrink: float) -> list[str]:
    """Return the changes of the config: data, and for ``shrink`` above 1 sizes and sigma."""
    plain = load_config(CONFIGS / f"{name}.yml")
    overrides = [*write_data(folder / "data", name, plain["num_joints"]), "worker_num=0", "use_vdl=false"]
    overrides += ["pretrain_weights=null", f"{plain['architecture']}.flip=false"]
    if shrink > 1:
        size = [max(32, 32 * round(side / shrink / 32)) for side in plain["trainsize"]]
        overrides += [f"trainsize={size}", f"hmsize={[side // 4 for side in size]}", "sigma=1.5"]
    return overrides


def overfit(name: str, folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Train a config; return the loss relative to that of empty heatmaps, and the metric on the pictures."""
    file = CONFIGS / f"{name}.yml"
    augmentation = "TrainReader.sample_transforms.RandomFlipHalfBodyTransform"
    epochs = args.steps * args.batch // PICTURES
    overrides = [
        *overrides_of(name, folder, args.shrink),
        *(f"{augmentation}.{key}=0" for key in ("rot", "prob_flip", "prob_half_body")),
        *(f"{augmentation}.scale=0.0", f"batch_size={args.batch}", f"epoch={epochs}"),
        *("log_iter=1", f"snapshot_epoch={epochs}"),
        f"LearningRate.schedulers=[{{PiecewiseDecay: {{milestones: [{epochs * 3 // 4}], gamma: 0.1}}}}]",
        *([f"LearningRate.base_lr={args.rate}"] if args.rate else []),
    ]
    cfg = load_config(file, overrides)
    shutil.rmtree(folder / "run", ignore_errors=True)
    start = time.perf_counter()
    trainer = make_trainer(cfg, folder / "run", seed=0, evaluates=False)
    trainer.fit()
    seconds = (time.perf_counter() - start) / trainer.step
    lines = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    task = Task(load_config(file, [*overrides, f"weights={folder / 'run' / 'model_final.pdparams'}"]))
    network = load_trained(task)
    if args.measure_norms:
        measure_norms(network, task)
    save_weights(network, folder / WEIGHTS)
    shutil.rmtree(folder / "run")
    empty = cost_of_nothing(task)
    return {
        "input": "x".join(map(str, task.settings.trainsize)),
        "rate": args.rate or cfg["LearningRate"]["base_lr"],
        "steps": len(losses),
        "loss at first": f"{losses[0] / empty:.3f}",
        "at last": f"{np.mean(losses[-PICTURES // args.batch :]) / empty:.3f}",
        "on the 16": describe(measure(task, network_predictor(task, network, "EvalReader"))),
        "s a step": f"{seconds:.2f}",
    }


def measure_norms(network: nn.Layer, task: Task) -> None:
    """Set the norms' statistics to those of the 16 pictures, if the training was too short for them."""
    images = CalibrationImages.from_dataset(task, "EvalDataset", PICTURES).sample(PICTURES)
    for layer in network.sublayers():
        if isinstance(layer, nn.BatchNorm2D):
            set_norm(layer, momentum=0.0)
    network.train()
    with paddle.no_grad():
        network(images)
    network.eval()


def cost_of_nothing(task: Task) -> float:
    """Return the loss of heatmaps of zeros."""
    batch = task.reader("TrainReader").batches(task.dataset("TrainDataset"), workers=0).examples(PICTURES)
    target = batch["heatmaps"]
    return float(task.loss()(paddle.zeros_like(target), target, batch["target_weight"]))


def measure(task: Task, predictor: Predictor) -> dict[str, float]:
    """Return the config's metric on the 16 pictures."""
    dataset = task.dataset("EvalDataset")
    metric = task.metric(dataset)
    metric.reset()
    evaluate(task, predictor, dataset, metric)
    metrics = metric.compute()
    return {key: metrics[key] for key in metric.headline}


def describe(metrics: dict[str, float]) -> str:
    """Return the metrics as text for the table."""
    return ", ".join(f"{key} {value:.3f}" for key, value in metrics.items())


def find_keypoints(task: Task, predictor: Predictor, people: int) -> np.ndarray:
    """Return the keypoints (people, K, 2) of the first people, in image pixels."""
    dataset = task.dataset("EvalDataset")
    batches = read_batches(make_reader(task, predictor.spec), dataset, np.arange(people), workers=0)
    return np.concatenate([predictor.find_keypoints(batch)[0] for _, batch in batches])


def export(name: str, folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Export a config at its input size: plain, and with normalisation, flip test and decoding in the graph.

    For each export: the error of heatmaps of noise, ||exported - trained|| / ||trained||, and per runtime the
    largest error of a keypoint on two of the pictures, in image pixels.
    """
    task = trained_task(name, folder, 1)
    network = load_trained(task)
    flips = bool(task.keypoint_set.flip_pairs)
    row: dict[str, Any] = {"input": "x".join(map(str, task.settings.trainsize))}
    for kind, whole in product(("paddle", "onnx"), (False,) if args.plain else (False, True)):
        options = Options(format=kind, fuse_normalize=whole, decode_in_graph=whole, flip_test=whole and flips)
        report = export_model(task, name, folder / "export", options, network)
        expected = find_keypoints(task, network_predictor(task, network, flip=options.flip_test), 2)
        off = []
        for runtime in ("paddle",) if kind == "paddle" else ("onnxruntime", "openvino"):
            predictor = Predictor.from_dir(folder / "export", runtime=runtime)
            off.append(np.abs(find_keypoints(task, predictor, 2) - expected).max())
        row[f"{kind}, all in the graph" if whole else kind] = f"{report.difference:.0e}; " + ", ".join(
            f"{pixels:.3f}" for pixels in off
        )
    shutil.rmtree(folder / "export")
    return row


def trained_task(name: str, folder: Path, shrink: float) -> Task:
    """Return a config's task with the weights that `overfit` wrote."""
    overrides = [*overrides_of(name, folder, shrink), f"weights={folder / WEIGHTS}"]
    return Task(load_config(CONFIGS / f"{name}.yml", overrides))


def int8(name: str, folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Quantize a config's network; return the metric before and after, and keypoint shifts in pixels."""
    task = trained_task(name, folder, args.shrink)
    images = CalibrationImages.from_dataset(task, "EvalDataset", PICTURES)
    quantized = quantize_and_export(task, images, task.ptq(), folder / "int8", Options(format="onnx"))
    before = network_predictor(task, quantized.trained, "EvalReader")
    after = Predictor.from_dir(folder / "int8")
    distances = np.linalg.norm(
        find_keypoints(task, after, PICTURES) - find_keypoints(task, before, PICTURES), axis=-1
    )
    return {
        "input": "x".join(map(str, task.settings.trainsize)),
        "convolutions": quantized.quantized_convs,
        "heatmaps off by": f"{100 * quantized.error:.1f} %",
        "keypoints, median and 9 of 10": f"{np.median(distances):.2f}, {np.quantile(distances, 0.9):.2f} px",
        "float": describe(measure(task, before)),
        "int8": describe(measure(task, after)),
    }


WHAT: dict[str, Callable[[str, Path, argparse.Namespace], dict[str, Any]]] = {
    "overfit": overfit,
    "export": export,
    "int8": int8,
}


def main() -> None:
    """Test the configs one after the other; print a table row for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=tuple(WHAT))
    parser.add_argument("configs", nargs="+")
    parser.add_argument("--folder", type=Path, required=True, help="where weights are kept")
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--shrink", type=float, default=4, help="1: the config's own input size")
    parser.add_argument("--rate", type=float, help="learning rate; default: the config's")
    parser.add_argument("--plain", action="store_true", help="exports of the network alone")
    parser.add_argument("--measure_norms", action="store_true", help="norms take the 16 pictures' statistics")
    args = parser.parse_args()
    head = False
    for name in args.configs:
        try:
            row = {"config": name, **WHAT[args.what](name, args.folder / name, args)}
        except PposeError as error:
            print(f"| {name} | error: {error} |", flush=True)
            continue
        if not head:
            print(f"| {' | '.join(row)} |\n{'|---' * len(row)}|")
            head = True
        print(f"| {' | '.join(map(str, row.values()))} |", flush=True)


if __name__ == "__main__":
    main()
