"""Feeds a metric with a predictor's keypoints on a dataset."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from paddle.io import Subset
from tqdm import tqdm

from ppose.data import Reader
from ppose.engine.distributed.ranks import all_reduce, barrier, is_main, rank_count, this_rank
from ppose.engine.task import Task
from ppose.files import write_json
from ppose.inference.pose_spec import PoseSpec
from ppose.inference.predictor import Predictor
from ppose.metrics import Metric
from ppose.metrics.metric import to_record

RESULTS_FILE = "keypoints_results.json"


def evaluate(
    task: Task,
    predictor: Predictor,
    dataset: Any,
    metric: Metric,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Feed a metric with a predictor's keypoints for every sample of the dataset; shows a progress bar.

    Several ranks share the batches, and each rank's metric gets every sample once. ``check`` is called before
    each batch, and may raise.
    """
    reader = make_reader(task, predictor.spec)
    own = own_samples(len(dataset), reader.batch_size)
    keypoints = np.zeros((len(dataset), task.keypoint_set.num_keypoints, 2))
    scores = np.zeros(keypoints.shape[:2], np.float32)
    batches = read_batches(reader, dataset, own, workers=task.settings.worker_num)
    shown = None if is_main() else True
    total = -(-len(own) // reader.batch_size)
    for index, batch in tqdm(batches, "evaluating", total, False, unit="batch", disable=shown):
        check()
        keypoints[index], scores[index] = predictor.find_keypoints(batch)
    barrier()  # some ranks are faster than others
    # Each person is in the arrays of one rank, and 0 in the others'.
    update_metric(metric, dataset, np.arange(len(dataset)), all_reduce(keypoints), all_reduce(scores))


def make_reader(task: Task, spec: PoseSpec) -> Reader:
    """The reader of an evaluation, with the spec's transforms and the batch size of EvalReader, if any."""
    asked = task.reader("EvalReader")
    return Reader(
        spec.sample_steps,
        spec.batch_steps,
        batch_size=spec.batch or asked.batch_size,
        use_shared_memory=asked.use_shared_memory,
    )


def read_batches(
    reader: Reader, dataset: Any, samples: np.ndarray, *, workers: int
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Yield index (N,) and the input of `Predictor.find_keypoints` for these samples of a dataset."""
    for batch in reader.batches(Subset(dataset, samples.tolist()), workers=workers):
        arrays = {key: value.numpy() for key, value in batch.items()}
        yield samples[arrays["index"]], arrays


def update_metric(
    metric: Metric, dataset: Any, index: np.ndarray, keypoints: np.ndarray, scores: np.ndarray
) -> None:
    """Feed a metric with keypoints (N, K, 2) and scores (N, K) of the dataset's samples ``index`` (N,)."""
    metric.update(
        keypoints,
        scores,
        image_id=dataset.image_ids[index],
        area=dataset.areas[index],
        bbox_score=dataset.bbox_scores[index],
        category_id=dataset.category_ids[index],
    )


def own_samples(count: int, batch_size: int) -> np.ndarray:
    """Indexes of this rank's share of ``count`` samples.

    With n ranks it is every n-th whole batch. So a sample's batch, on which the last digits of its heatmaps
    depend, is the same for any number of ranks.
    """
    index = np.arange(count)
    return index[index // batch_size % rank_count() == this_rank()]


def write_result(folder: Path, metric: Metric, metrics: dict[str, float]) -> None:
    """Write an evaluation's people in COCO's results format, and `metrics.json`, to a folder."""
    metric.write_results(folder / RESULTS_FILE)
    write_json(folder / "metrics.json", to_record(metrics))
