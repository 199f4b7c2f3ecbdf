"""Weights that keep activations of order one, so that comparisons see every layer."""

import numpy as np
import paddle
import pytest


@pytest.fixture
def fill_weights():
    """Function: set a network's convolutions to normal * sqrt(1.6 / fan_in), seeded; gives it back."""

    def fill(model: paddle.nn.Layer) -> paddle.nn.Layer:
        rng = np.random.default_rng(0)
        for parameter in model.parameters():
            if parameter.ndim == 4:
                scale = np.sqrt(1.6 / np.prod(parameter.shape[1:]))
                parameter.set_value(rng.normal(0, scale, parameter.shape).astype(np.float32))
        return model

    return fill
