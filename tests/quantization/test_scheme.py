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
    stop_rounding,
)


def test_weights_are_rounded_to_the_nearest_of_255_levels_of_their_channel():
    weight = np.random.default_rng(0).normal(size=(4, 3, 3, 3))
    weight[2] = 0
    levels, steps = quantize_weight(weight, "full")
    assert levels.dtype == np.int8
    for channel in range(4):
        step = max(abs(value) for value in weight[channel].flat) / 127 or 1.0
        assert steps[channel] == pytest.approx(step)
        for level, value in zip(levels[channel].flat, weight[channel].flat, strict=True):
            assert abs(level) <= 127
            assert abs(level * step - value) <= step / 2 + 1e-9


def test_two_portable_levels_of_a_channel_are_128_together_at_most():
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(500, 3, 3, 3)) * rng.choice([1, 20], (500, 3, 3, 3), p=[0.97, 0.03])
    weight[0] = 0
    weight[1, 1:] = weight[1, :, 1:] = 0
    weight[2].flat[:3] = [64.5, -63.5, 63.5]  # half-way between levels, all of them
    weight[2].flat[3:] = 0
    weight[3].flat[:] = -0.7
    levels, steps = quantize_weight(weight, "portable")
    alone, full = 0, 0
    for channel in levels:
        first, second = sorted(abs(int(level)) for level in channel.flat)[:-3:-1]
        assert first + second in (0, 127, 128)
        alone += first > 100
        full += first == second == 64
    assert alone > 10
    assert full > 10
    off = np.abs(levels * steps.astype(np.float64).reshape(-1, 1, 1, 1) - weight)
    off[2] = 0
    assert (off <= steps.reshape(-1, 1, 1, 1) * (0.5 + 1e-4)).all()
    assert (np.sort(np.abs(levels[2].ravel().astype(int)))[-3:].tolist()) == [64, 64, 64]


def test_portable_steps_are_never_finer_than_needed_nor_coarser_than_of_64_levels():
    weight = np.random.default_rng(2).normal(size=(64, 40, 1, 1))
    _, full = quantize_weight(weight, "full")
    _, portable = quantize_weight(weight, "portable")
    assert (portable >= full).all()
    assert (portable <= np.abs(weight).max(axis=(1, 2, 3)) / 64 * (1 + 1e-6)).all()


@pytest.mark.parametrize("kind", ["portable", "full"])
def test_levels_come_back_from_rounded_weights_that_were_scaled(kind):
    rng = np.random.default_rng(1)
    levels, steps = quantize_weight(
        rng.normal(size=(500, 5, 1, 1)) * rng.choice([1, 9], (500, 5, 1, 1)), kind
    )
    factor = rng.uniform(0.01, 100, (500, 1, 1, 1)) * rng.choice([-1, 1], (500, 1, 1, 1))
    scaled = (levels * steps.reshape(-1, 1, 1, 1) * factor).astype(np.float32)
    again, new_steps = quantize_weight(scaled, kind)
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
    quantization = ConvQuantization(InputQuantization(1.0), "full")
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


def test_to_stop_rounding_removes_no_hook_of_others():
    conv, seen = nn.Conv2D(3, 4, 3), []
    conv.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    quantize_conv2d(conv, ConvQuantization(InputQuantization(1.0), "full"))
    copied = copy.deepcopy(conv)
    stop_rounding(copied)
    image = paddle.randn([1, 3, 8, 8])
    expected = nn.functional.conv2d(image, conv.weight, conv.bias).numpy()
    np.testing.assert_array_equal(copied(image).numpy(), expected)
    assert len(seen) == 1
    assert np.abs(conv(image).numpy() - expected).max() > 1e-3  # only the copy was changed
