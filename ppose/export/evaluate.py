"""Evaluates an exported model in the runtime that will run it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from paddle import nn

from ppose.engine.evaluate import evaluate
from ppose.engine.network_runtime import network_predictor
from ppose.engine.static_network import quickest_form
from ppose.engine.task import Task
from ppose.errors import ConfigError
from ppose.inference.model_folder import ModelFolder
from ppose.inference.predictor import Predictor
from ppose.inference.runtimes import RuntimeName, open_runtime


def open_exported(task: Task, folder: ModelFolder, runtime: RuntimeName, **options: Any) -> Predictor:
    """Return the predictor of an exported model, for batches of EvalReader's size.

    ``options`` are those of `open_runtime`. Preprocessing, decoding and the flip test are the export's.
    Raises ConfigError if the task's data do not fit this model.
    """
    spec, own = folder.spec, task.keypoint_set
    if folder.published and spec.keypoint_set.num_keypoints == own.num_keypoints:
        spec = replace(spec, keypoint_set=own)
    if spec.keypoint_set != task.keypoint_set:
        raise ConfigError(
            f"{folder.path} has the keypoint set '{spec.keypoint_set.name}', but the config has "
            f"'{task.keypoint_set.name}'; is it the config that it was exported with?"
        )
    if spec.input_size != task.codec.input_size:
        raise ConfigError(
            f"{folder.path} takes images of {list(spec.input_size)}, but the config's trainsize is "
            f"{list(task.codec.input_size)}; is it the config that it was exported with?"
        )
    batch_size = task.reader("EvalReader").batch_size
    return Predictor(spec, open_runtime(folder, runtime, **options), batch_size=batch_size)


def compare_ap(
    task: Task, networks: Mapping[str, nn.Layer], exported: Predictor, dataset: Any
) -> dict[str, float]:
    """Return the AP, or else the metric's first value, of networks by name and of an exported model.

    All use the flip test if the export does.
    """
    predictors = {}
    for name, network in networks.items():
        form = quickest_form(network, task.codec.input_size, len(dataset))
        predictors[name] = network_predictor(task, form, "EvalReader", flip=exported.spec.flip_test)
    metric = task.metric(dataset)
    found = {}
    for name, predictor in {**predictors, f"exported, in {exported.runtime_name}": exported}.items():
        metric.reset()
        evaluate(task, predictor, dataset, metric)
        found[name] = metric.compute()[metric.headline[0]]
    return found
