"""Images per second and core of the training data pipeline, from the file to the collated batch.

    python benchmarks/loader.py -c configs/hrnet_w32_256x192.yml -o TrainDataset.dataset_dir=...

All contenders process the same people in the same order, one after another in each round, on one core; the
table has the medians of the rounds' CPU time. "published way" restates the published code's steps: full
decoding, BGR to RGB, warp and normalisation of a float image, a loop over the keypoints. "bare decoding" is
cv2.imread only. Made-up people are drawn, not read.

Findings, per image of COCO (640x480) at 256x192: decoding takes 2.1 ms of all. Half of that is Huffman
decoding, which a smaller size does not save: 1/2 saves a quarter, 1/8 two fifths; few crops are that large.
Skipping the rows below the crop saves their whole share, a quarter on average. Normalising a batch in one
numpy expression took 1.1 ms, since it passes over memory four times; image by image it takes 0.1. OpenCV
warps four channels in 2/3 of the time of three. Searching a file's end marker from its beginning took 0.15
ms.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import cv2
import numpy as np

from ppose.commandline import run
from ppose.options import add_config_options

BATCH_SIZE = 64
BARE, PUBLISHED, WHOLE, PARTIAL, DRAWN = (
    "bare decoding",
    "published way",
    "ppose, decoding in full",
    "ppose",
    "ppose, made-up people",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_config_options(parser)
    parser.add_argument("--people", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()

    from ppose.engine.task import Task
    from ppose.workspace import load_config

    cv2.setNumThreads(1)
    contenders = make_contenders(Task(load_config(args.config, args.overrides)), args.people)
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(args.rounds):
        for name, work in contenders.items():
            start = time.process_time()
            count = sum(work())
            seconds[name].append((time.process_time() - start) / count)
    print(f"{args.config}, {count} people, medians of {args.rounds} rounds")
    print(f"  {'':24}  images/s  ms/image  times bare decoding")
    bare = np.array(seconds[BARE])
    for name, value in seconds.items():
        ratio = np.median(np.array(value) / bare)
        print(f"  {name:24}{1 / np.median(value):10.0f}{np.median(value) * 1e3:10.2f}{ratio:10.2f}")


def make_contenders(task: Any, people: int) -> dict[str, Callable[[], Iterator[int]]]:
    """Functions that yield the number of images of each batch."""
    from ppose.data import SyntheticPeopleDataset
    from ppose.transforms import TopDownAffine

    dataset, reader = task.dataset("TrainDataset"), task.reader("TrainReader")
    order = np.random.default_rng(0).permutation(len(dataset))[:people].tolist()
    files = [dataset[index]["image_file"] for index in order]
    size, keypoint_set = tuple(task.settings.trainsize), task.keypoint_set
    steps, to_network = reader.sample_transforms, reader.batch_transforms
    whole = [TopDownAffine(size, keypoint_set) if isinstance(s, TopDownAffine) else s for s in steps]
    drawn = SyntheticPeopleDataset(size, keypoint_set)
    return {
        BARE: lambda: (len(cv2.imread(file)) and 1 for file in files),
        PUBLISHED: lambda: collate(prepare_as_published(dataset, order, size, keypoint_set), ()),
        WHOLE: lambda: collate(prepare(dataset, order, whole), to_network),
        PARTIAL: lambda: collate(prepare(dataset, order, steps), to_network),
        DRAWN: lambda: collate(prepare(drawn, order, steps), to_network),
    }


def prepare(dataset: Any, order: list[int], transforms: list[Callable]) -> Iterator[dict[str, Any]]:
    for index in order:
        sample = dataset[index]
        sample["generator"] = np.random.default_rng((0, 0, index))
        for transform in transforms:
            sample = transform(sample)
        yield sample


def collate(samples: Iterator[dict[str, Any]], transforms: Any) -> Iterator[int]:
    waiting: list[dict[str, Any]] = []
    for sample in samples:
        waiting.append(sample)
        if len(waiting) == BATCH_SIZE:
            yield stack(waiting, transforms)
            waiting = []
    if waiting:
        yield stack(waiting, transforms)


def stack(samples: list[dict[str, Any]], transforms: Any) -> int:
    batch = {key: np.stack([s[key] for s in samples]) for key in ("image", "heatmaps", "target_weight")}
    for transform in transforms:
        batch = transform(batch)
    height, width = samples[0]["heatmaps"].shape[1:]
    assert batch["image"].shape[1:] == (3, 4 * height, 4 * width)  # noqa: S101
    assert batch["image"].flags.c_contiguous  # noqa: S101
    return len(samples)


def prepare_as_published(
    dataset: Any, order: list[int], size: tuple[int, int], keypoint_set: Any
) -> Iterator[dict[str, Any]]:
    for index in order:
        yield prepare_one_as_published(dataset[index], size, keypoint_set, np.random.default_rng(index))


def prepare_one_as_published(
    sample: dict[str, Any], size: tuple[int, int], keypoint_set: Any, rng: np.random.Generator
) -> dict[str, Any]:
    """The steps of the published HRNet code, one after the other."""
    image = cv2.cvtColor(cv2.imread(sample["image_file"]), cv2.COLOR_BGR2RGB)
    points, visible = sample["keypoints"].copy(), sample["visible"].copy()
    center, scale = sample["center"].copy(), sample["scale"].copy()
    if visible.sum() > 8 and rng.random() < 0.3:
        center, scale = take_half_body(points, visible, keypoint_set.upper_body, rng, center, scale)
    scale = scale * np.clip(rng.standard_normal() * 0.5 + 1, 0.5, 1.5)
    turn = np.clip(rng.standard_normal() * 40, -80, 80) if rng.random() <= 0.6 else 0.0
    if rng.random() < 0.5:
        image = image[:, ::-1, :]
        points[:, 0] = image.shape[1] - 1 - points[:, 0]
        for left, right in keypoint_set.flip_pairs:
            points[[left, right]], visible[[left, right]] = points[[right, left]], visible[[right, left]]
        center[0] = image.shape[1] - 1 - center[0]
    matrix = make_matrix(center, scale, turn, size)
    image = cv2.warpAffine(np.ascontiguousarray(image, np.float32), matrix, size, flags=cv2.INTER_LINEAR)
    for k in range(len(points)):
        if visible[k] > 0:
            points[k] = matrix @ np.array([points[k, 0], points[k, 1], 1.0])
    image = (image / 255.0 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    heatmaps, weight = make_targets(points, visible, size)
    return {
        "image": np.ascontiguousarray(image.transpose(2, 0, 1), np.float32),
        "heatmaps": heatmaps,
        "target_weight": weight,
    }


def take_half_body(
    points: np.ndarray,
    visible: np.ndarray,
    upper: tuple[int, ...],
    rng: np.random.Generator,
    center: np.ndarray,
    scale: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    halves: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for k in range(len(points)):
        if visible[k] > 0:
            halves[k not in upper].append(points[k])
    chosen = halves[0] if rng.standard_normal() < 0.5 and len(halves[0]) > 2 else halves[1]
    if len(chosen) < 3:
        chosen = halves[0]
    if len(chosen) < 3:
        return center, scale
    low, high = np.amin(chosen, axis=0), np.amax(chosen, axis=0)
    width = max(high[0] - low[0], 0.75 * (high[1] - low[1]), 1.0)
    return np.mean(chosen, axis=0), np.array([width, width / 0.75]) * 1.5


def make_matrix(center: np.ndarray, scale: np.ndarray, turn: float, size: tuple[int, int]) -> np.ndarray:
    """From three points, as in the published code."""
    sin, cos = np.sin(np.deg2rad(turn)), np.cos(np.deg2rad(turn))
    source, target = np.zeros((3, 2), np.float32), np.zeros((3, 2), np.float32)
    up = np.array([scale[0] * 0.5 * sin, -scale[0] * 0.5 * cos])
    source[0], source[1] = center, center + up
    target[0] = size[0] * 0.5, size[1] * 0.5
    target[1] = target[0] + np.array([0, -size[0] * 0.5])
    for three in (source, target):
        way = three[0] - three[1]
        three[2] = three[1] + np.array([-way[1], way[0]], np.float32)
    return cv2.getAffineTransform(source, target)


def make_targets(
    points: np.ndarray, visible: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """A patch of 3 sigma, of 2 pixels each, around each keypoint's heatmap pixel, keypoint by keypoint."""
    width, height = size[0] // 4, size[1] // 4
    heatmaps = np.zeros((len(points), height, width), np.float32)
    weight = visible.reshape(-1, 1).astype(np.float32)
    sigma = 2
    radius = 3 * sigma
    for k in range(len(points)):
        x, y = int(points[k, 0] / 4 + 0.5), int(points[k, 1] / 4 + 0.5)
        left, top, right, bottom = x - radius, y - radius, x + radius + 1, y + radius + 1
        if left >= width or top >= height or right < 0 or bottom < 0:
            weight[k] = 0
            continue
        side = np.arange(0, 2 * radius + 1, 1, np.float32)
        patch = np.exp(-((side - radius) ** 2 + (side[:, np.newaxis] - radius) ** 2) / (2 * sigma**2))
        if weight[k] > 0.5:
            rows, columns = slice(max(0, top), min(bottom, height)), slice(max(0, left), min(right, width))
            heatmaps[k, rows, columns] = patch[
                max(0, -top) : min(bottom, height) - top, max(0, -left) : min(right, width) - left
            ]
    return heatmaps, weight


if __name__ == "__main__":
    run(main)
