"""Rounding to eight bits against loops over numbers."""

import copy

import numpy as np
import paddle
import pytest
from paddle import nn

from ppose.quantization.scheme import (
    ConvQuantization,
    InputQuantization,
    quantization_of,
    quantize_conv2d,
    quantize_weight,
)


def test_weights_are_rounded_to_the_nearest_of_255_levels_of_their_channel():
    weight = np.random.default_rng(0).normal(size=(4, 3, 3, 3))
    weight[2] = 0
    levels, steps = quantize_weight(weight)
    assert levels.dtype == np.int8
    for channel in range(4):
        step = max(abs(value) for value in weight[channel].flat) / 127 or 1.0
        assert steps[channel] == pytest.approx(step)
        for level, value in zip(levels[channel].flat, weight[channel].flat, strict=True):
            assert abs(level) <= 127
            assert abs(level * step - value) <= step / 2 + 1e-9


def test_levels_come_back_from_rounded_weights_that_were_scaled():
    rng = np.random.default_rng(1)
    levels, steps = quantize_weight(rng.normal(size=(8, 5, 1, 1)))
    factor = rng.uniform(0.01, 100, (8, 1, 1, 1)) * rng.choice([-1, 1], (8, 1, 1, 1))
    scaled = (levels * steps.reshape(-1, 1, 1, 1) * factor).astype(np.float32)
    again, new_steps = quantize_weight(scaled)
    np.testing.assert_array_equal(again, levels * np.sign(factor).astype(np.int8))
    np.testing.assert_allclose(new_steps, steps * np.abs(factor).ravel(), rtol=1e-6)


@pytest.mark.parametrize(
    ("quantization", "lowest", "highest"),
    [
        (InputQuantization(2.54), -2.54, 2.54),
        (InputQuantization(2.55, signed=False), 0.0, 2.55),
        (InputQuantization(2.54, clip=1.0), -1.0, 1.0),
    ],
)
def test_inputs_are_cut_and_rounded(quantization, lowest, highest):
    values = np.linspace(-4, 4, 1001, dtype=np.float32) + 1e-4  # no ties
    rounded = quantization(paddle.to_tensor(values)).numpy()
    for value, got in zip(values, rounded, strict=True):
        cut = min(max(float(value), lowest), highest)
        assert got == pytest.approx(round(cut / quantization.step) * quantization.step, abs=1e-6)


def test_an_input_that_is_always_zero_stays_so():
    quantization = InputQuantization(0.0)
    assert quantization.step == 1
    np.testing.assert_array_equal(quantization(paddle.zeros([3])).numpy(), np.zeros(3))


def test_a_quantized_convolution_rounds_its_weight_and_its_input():
    conv = nn.Conv2D(3, 4, 3)
    before = conv.weight.numpy().copy()
    assert quantization_of(conv) is None
    quantization = ConvQuantization(InputQuantization(1.0))
    quantize_conv2d(conv, quantization)
    assert quantization_of(conv) is quantization
    step = np.abs(before).reshape(4, -1).max(axis=1) / 127
    off = np.abs(conv.weight.numpy() - before).reshape(4, -1).max(axis=1)
    assert (off > 0).all()
    assert (off <= step / 2 * (1 + 1e-4)).all()
    image = paddle.randn([1, 3, 8, 8])
    expected = nn.functional.conv2d(quantization.input(image), conv.weight, conv.bias)
    for layer in (conv, copy.deepcopy(conv)):
        np.testing.assert_array_equal(layer(image).numpy(), expected.numpy())
