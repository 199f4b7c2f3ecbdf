"""The library's door: a trained network from a config and a checkpoint."""

from collections.abc import Sequence
from pathlib import Path

from paddle import nn

from ppose.engine.checkpoint import load_weights
from ppose.engine.task import Task
from ppose.errors import ConfigError
from ppose.workspace import load_config


def load_model(
    config: str | Path, weights: str | Path | None = None, overrides: Sequence[str] = ()
) -> nn.Layer:
    """The network of a config file, with its trained weights, in eval mode.

    ``weights`` is a path or URL of a checkpoint; None takes the config's own `weights`. The network maps
    image (N, 3, h, w), RGB as the config's NormalizeImage leaves it, to heatmaps (N, K, H, W). Raises
    ConfigError and CheckpointError.

    >>> model = ppose.load_model("configs/tinypose_256x192.yml", "tiny.pdparams")  # doctest: +SKIP
    """
    return load_trained(Task(load_config(config, overrides)), weights)


def load_trained(task: Task, weights: str | Path | None = None) -> nn.Layer:
    """The network of a task with its trained weights (the config's own where None), in eval mode."""
    source = weights or task.settings.weights
    if not source:
        raise ConfigError("no weights are given: -o weights=FILE_OR_URL")
    model = task.model()
    load_weights(model, source, strict=True)
    model.eval()
    return model
