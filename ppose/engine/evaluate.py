"""Runs a network over batches, and a metric over what it gives."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle.io import Subset
from tqdm import tqdm

from ppose.engine.distributed.ranks import all_reduce, barrier, is_main, rank_count, this_rank
from ppose.engine.task import Task
from ppose.errors import ConfigError
from ppose.files import write_json
from ppose.geometry import invert_warp, transform_points
from ppose.metrics import CocoKeypointMetric
from ppose.models import flip_test
from ppose.models.layers import check_input

RESULTS_FILE = "keypoints_results.json"

Predict = Callable[[paddle.Tensor], paddle.Tensor]


def make_predict(task: Task, model: paddle.nn.Layer, *, flip: bool) -> Predict:
    """image (N, 3, h, w) -> heatmaps (N, K, H, W), with or without the flip test."""
    if not flip:
        return model
    flip_pairs, shift = task.keypoint_set.flip_pairs, task.shifts_heatmap
    return lambda image: flip_test(model, image, flip_pairs, shift)


@paddle.no_grad()
def predict_keypoints(
    predict: Predict, codec: Any, batches: Iterable[dict[str, paddle.Tensor]]
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield, batch by batch, index (N,), keypoints (N, K, 2) in image pixels and scores (N, K)."""
    for batch in batches:
        check_input(batch["image"])
        if "warp" not in batch:
            raise ConfigError("the reader's sample_transforms cut no people out: add TopDownEvalAffine")
        heatmaps = predict(batch["image"]).numpy()
        yield batch["index"].numpy(), *decode_in_image(codec, heatmaps, batch["warp"].numpy())


def decode_in_image(codec: Any, heatmaps: np.ndarray, warp: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Heatmaps (N, K, H, W) and warp (N, 2, 3), image to input -> keypoints in image pixels, scores."""
    keypoints, scores = codec.decode(heatmaps)
    return transform_points(keypoints, invert_warp(warp)), scores


def update_metric(
    metric: CocoKeypointMetric, dataset: Any, index: np.ndarray, keypoints: np.ndarray, scores: np.ndarray
) -> None:
    """Feed a metric with keypoints (N, K, 2) and scores (N, K) of the dataset's samples ``index`` (N,)."""
    metric.update(
        keypoints,
        scores,
        image_id=dataset.image_ids[index],
        area=dataset.areas[index],
        bbox_score=dataset.bbox_scores[index],
    )


def evaluate(
    task: Task, model: paddle.nn.Layer, dataset: Any, metric: CocoKeypointMetric, *, flip: bool | None = None
) -> None:
    """Feed a metric with the network's keypoints for every sample of the dataset; shows a progress bar.

    The flip test is done where the config asks for it, or where ``flip`` says. Several ranks share the
    batches, and the metric of each gets everybody, once.
    """
    model.eval()
    reader, count = task.reader("EvalReader"), task.keypoint_set.num_keypoints
    own = own_samples(len(dataset), reader.batch_size)
    batches = reader.batches(Subset(dataset, own), workers=task.settings.worker_num)
    shown = None if is_main() else True
    progress = tqdm(batches, desc="evaluating", unit="batch", disable=shown, leave=False)
    keypoints, scores = np.zeros((len(dataset), count, 2)), np.zeros((len(dataset), count), np.float32)
    predict = make_predict(task, model, flip=task.test.flip if flip is None else flip)
    for index, *found in predict_keypoints(predict, task.codec, progress):
        keypoints[own[index]], scores[own[index]] = found
    barrier()  # some ranks are faster than others
    # A person is in the arrays of one rank and 0 in the others'.
    update_metric(metric, dataset, np.arange(len(dataset)), all_reduce(keypoints), all_reduce(scores))


def own_samples(count: int, batch_size: int) -> np.ndarray:
    """Indexes of this rank's part of ``count`` samples.

    It is whole batches, every n-th of n ranks: so a sample's batch, on which the last digits of its heatmaps
    depend, is the same for any number of ranks.
    """
    index = np.arange(count)
    return index[index // batch_size % rank_count() == this_rank()]


def write_result(folder: Path, metric: CocoKeypointMetric, metrics: dict[str, float]) -> None:
    """Write the people of an evaluation in COCO's results format, and its `metrics.json`, to a folder."""
    metric.write_results(folder / RESULTS_FILE)
    write_json(folder / "metrics.json", metrics)
