"""Where alphas begin, against trying them one by one."""

import numpy as np
import paddle
import pytest
from paddle import nn

from ppose.quantization.clipping import begin_alphas, find_clipping
from ppose.quantization.qat import QuantConfig, QuantizationAwareTraining, clipping_alphas


def rounding_error(values, clip):
    step = clip / (127 if values.min() < 0 else 255)
    return np.mean((np.rint(np.clip(values, -clip, clip) / step) * step - values) ** 2)


@pytest.mark.parametrize("signed", [True, False])
def test_the_clipping_is_that_which_rounding_changes_least(signed):
    """Values whose outliers are not worth their levels: 127 of these above 0, 255 where none is below."""
    rng = np.random.default_rng(0)
    values = rng.laplace(size=(4, 3, 128, 128)).astype(np.float32)
    values[0, 0, 0, 0] = 16
    values = values if signed else np.abs(values)
    model = nn.Sequential(nn.Conv2D(3, 4, 1))
    clipping = find_clipping(model, [paddle.to_tensor(values[:2]), paddle.to_tensor(values[2:])])
    tried = np.linspace(2, 16, 50)
    best = min(rounding_error(values, clip) for clip in tried)
    assert list(clipping) == ["0"]
    assert clipping["0"] < 15
    assert rounding_error(values, clipping["0"]) < 1.02 * best


def test_alphas_begin_where_they_are_told():
    model = nn.Sequential(nn.Conv2D(3, 4, 1), nn.Conv2D(4, 2, 1))
    QuantizationAwareTraining(QuantConfig(activation_preprocess_type="PACT")).wrap(model)
    begin_alphas(model, {"1": 2.5, "2": 7.0})
    assert [alpha.item() for alpha in clipping_alphas(model).values()] == [100.0, 2.5]
