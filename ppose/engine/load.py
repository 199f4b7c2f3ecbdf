"""Loads a trained network from a config and a checkpoint; the library's entry point."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from paddle import nn

from ppose.engine.network_runtime import ONE_NETWORK_AT_A_TIME
from ppose.engine.task import Task
from ppose.errors import CheckpointError, ConfigError
from ppose.quantization.qat import (
    QuantizationAwareTraining,
    complete_quantizers,
    is_quantizer_key,
    weight_ranges,
)
from ppose.weights.checkpoint import WeightsFile, load_weights, open_weights
from ppose.workspace import load_config

_logger = logging.getLogger(__name__)


def load_model(
    config: str | Path, weights: str | Path | Literal[False] | None = None, overrides: Sequence[str] = ()
) -> nn.Layer:
    """The network of a config file, with its trained weights, in eval mode.

    ``weights`` is a path or URL of a checkpoint; None takes the config's own `weights`, False leaves the
    network untrained and in float. The network maps image (N, 3, h, w), normalised by the config's
    NormalizeImage, in its `channel_order`, to heatmaps (N, K, H, W). With `slim: QAT` it rounds as in
    training. Raises ConfigError and CheckpointError.

    >>> model = ppose.load_model("configs/tinypose_256x192.yml", "tiny.pdparams")  # doctest: +SKIP
    """
    task = Task(load_config(config, overrides))
    if weights is not False:
        return load_trained(task, weights)
    with ONE_NETWORK_AT_A_TIME:
        model = task.model()
    model.eval()
    return model


def load_trained(task: Task, weights: str | Path | None = None) -> nn.Layer:
    """The network of a task with its trained weights (None: the config's own), in eval mode.

    With `slim: QAT` it has fake quantizers, or is in float, with a warning, if the weights have none.
    """
    source = weights or task.settings.weights
    if not source:
        raise ConfigError("no weights are given: -o weights=FILE_OR_URL")
    with ONE_NETWORK_AT_A_TIME:
        model, file = task.model(), open_weights(source)
        quantization = find_quantization(task, file)
        if quantization is not None:
            load_quantized(quantization, model, file, strict=True)
            if weight_ranges(model) != {quantization.weights}:
                _logger.warning(
                    "%s was trained with QAT.weights %s, the config has %s: using that of the training",
                    file.path, " and ".join(sorted(weight_ranges(model))), quantization.weights,
                )  # fmt: skip
        else:
            if task.quantization is not None:
                _logger.warning("%s has no fake quantizers: the network runs in float", file.path)
            load_weights(model, file, strict=True)
    model.eval()
    return model


def find_quantization(task: Task, file: WeightsFile) -> QuantizationAwareTraining | None:
    """The task's quantization if the weights have fake quantizers; CheckpointError if the task has none."""
    if not any(map(is_quantizer_key, file.arrays)):
        return None
    if task.quantization is None:
        raise CheckpointError(
            f"{file.path} was trained with fake quantizers, the config is in float: set slim: QAT, with "
            "the QAT block of its training"
        )
    return task.quantization


def load_quantized(
    quantization: QuantizationAwareTraining, model: nn.Layer, file: WeightsFile, *, strict: bool
) -> None:
    """Add fake quantizers to a float network, and load the weights trained with them."""
    quantization.wrap(model)
    report = load_weights(model, WeightsFile(file.path, complete_quantizers(file.arrays)), strict=strict)
    left = list(filter(is_quantizer_key, report.unexpected))
    if left:
        raise CheckpointError(
            f"{file.path} was trained with another QAT block: {len(left)} arrays of fake quantizers have no "
            f"place in the network, the first is {left[0]}"
        )
