"""A runtime that computes heatmaps with the trained network itself."""

import threading
from typing import Any

import numpy as np
import paddle
from paddle import nn

from ppose.engine.task import Task
from ppose.inference.pose_spec import PoseSpec
from ppose.inference.predictor import Predictor
from ppose.models import flip_test

# Paddle builds, traces and runs networks with state shared by all threads of a process.
ONE_NETWORK_AT_A_TIME = threading.RLock()


class NetworkRuntime:
    """A `Runtime` of a trained network, or of its static form; sets it to eval mode.

    ``flip`` holds flip pairs and whether heatmaps shift, for the flip test (see `flip_test`); None: no test.
    """

    name = "network"
    callers = 1
    batch: int | None = None

    def __init__(self, network: nn.Layer, flip: tuple[Any, bool] | None) -> None:
        network.eval()
        self._network, self._flip = network, flip

    def __call__(self, image: np.ndarray, *_: np.ndarray) -> np.ndarray:
        """See `Runtime`; a network does not decode."""
        with ONE_NETWORK_AT_A_TIME, paddle.no_grad():
            images = paddle.to_tensor(image)
            if self._flip is None:
                return self._network(images).numpy()
            return flip_test(self._network, images, *self._flip).numpy()


def network_runtime(task: Task, network: nn.Layer, spec: PoseSpec) -> NetworkRuntime:
    """The runtime of a task's network, with the flip test if the spec asks for it."""
    return NetworkRuntime(
        network, (spec.keypoint_set.flip_pairs, task.shifts_heatmap) if spec.flip_test else None
    )


def network_predictor(
    task: Task, network: nn.Layer, reader: str = "TestReader", *, flip: bool | None = None
) -> Predictor:
    """A predictor of a task's network, with the transforms and the batch size of one of its readers.

    ``flip``: whether to do the flip test; None: as the config says.
    """
    spec = task.pose_spec(reader, flip=flip)
    batch_size = task.reader(reader).batch_size
    return Predictor(spec, network_runtime(task, network, spec), batch_size=batch_size)
