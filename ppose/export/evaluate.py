"""A metric over what an exported model gives, in the runtime that will run it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from paddle import nn
from tqdm import tqdm

from ppose.data import Reader
from ppose.engine.evaluate import decode_in_image, evaluate, update_metric
from ppose.engine.static_network import quickest_form
from ppose.engine.task import Task
from ppose.errors import ConfigError
from ppose.inference.model_folder import ModelFolder, read_model_folder
from ppose.inference.runtimes import Runtime, avoid_saturation, open_runtime
from ppose.metrics import CocoKeypointMetric
from ppose.workspace import create


@dataclass(frozen=True)
class Exported:
    """An exported model and what runs it."""

    model: ModelFolder
    runtime: Runtime

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Heatmaps (N, K, H, W) of an image batch, which may be smaller than a static batch."""
        self.model.check_image(image)
        missing = (self.model.batch or len(image)) - len(image)
        filled = np.concatenate([image, np.repeat(image[-1:], missing, axis=0)])
        return self.runtime(filled)[: len(image)]


def open_exported(task: Task, folder: str | Path, runtime: str, **options: Any) -> Exported:
    """The exported model of a folder, loaded; ``runtime`` and ``options`` as in `open_runtime`.

    Raises ConfigError where the task's data are not for this model, and what reading and loading raise.
    """
    model = avoid_saturation(read_model_folder(folder), runtime)
    if model.keypoint_set != task.keypoint_set:
        raise ConfigError(
            f"{folder} has the keypoint set '{model.keypoint_set.name}', the config another: "
            f"'{task.keypoint_set.name}'; is it the config that it was exported with?"
        )
    if model.input_size != task.codec.input_size:
        raise ConfigError(
            f"{folder} takes images of {list(model.input_size)}, the config's trainsize is "
            f"{list(task.codec.input_size)}; is it the config that it was exported with?"
        )
    return Exported(model, open_runtime(model, runtime, **options))


def evaluate_exported(task: Task, exported: Exported, dataset: Any, metric: CocoKeypointMetric) -> None:
    """Feed a metric with an exported model's keypoints for every sample; shows a progress bar.

    Preprocessing, decoding and the flip test are the export's; the config gives dataset and batch size.
    """
    model = exported.model
    given = {"keypoint_set": model.keypoint_set, "trainsize": model.input_size}
    reader = Reader(
        [create(spec, {}, **given) for spec in model.sample_transforms],
        [create(spec, {}, **given) for spec in model.batch_transforms],
        batch_size=model.batch or task.reader("EvalReader").batch_size,
    )
    batches = reader.batches(dataset, workers=task.settings.worker_num)
    for batch in tqdm(batches, desc="evaluating", unit="batch", disable=None, leave=False):
        heatmaps = exported(batch["image"].numpy())
        keypoints, scores = decode_in_image(model.codec, heatmaps, batch["warp"].numpy())
        update_metric(metric, dataset, batch["index"].numpy(), keypoints, scores)


def compare_ap(
    task: Task, networks: Mapping[str, nn.Layer], exported: Exported, dataset: Any
) -> dict[str, float]:
    """The AP of networks, by their names, and of an exported model, all with the flip test of the export."""
    metric = CocoKeypointMetric(dataset.anno_file, task.keypoint_set)
    found = {}
    for name, network in networks.items():
        metric.reset()
        form = quickest_form(network, task.codec.input_size, len(dataset))
        evaluate(task, form, dataset, metric, flip=exported.model.flip_test)
        found[name] = metric.compute()["AP"]
    metric.reset()
    evaluate_exported(task, exported, dataset, metric)
    return {**found, f"exported, in {exported.runtime.name}": metric.compute()["AP"]}
