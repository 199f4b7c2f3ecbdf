"""The fake quantizer of inputs against loops over numbers."""

import numpy as np
import paddle
import pytest
from paddle import nn

from ppose.quantization.fake_quantizers import InputQuantizer
from ppose.quantization.qat import QuantConfig, QuantizationAwareTraining


def naive_rounding(values, largest, signed):
    low, high = (-127, 127) if signed else (0, 255)
    step = largest / high
    return [min(max(round(value / step), low), high) * step for value in values.astype(float)]


def quantizer_of(values, largest):
    """A quantizer that has seen these values, with another range."""
    quantizer = InputQuantizer()
    quantizer(paddle.to_tensor(values))
    quantizer._scale.set_value(paddle.full([1], largest))
    quantizer.eval()
    return quantizer


@pytest.mark.parametrize("signed", [True, False])
def test_values_are_rounded_to_the_levels_that_they_can_have(signed):
    values = np.linspace(-2, 2, 4001, dtype=np.float32) + 1e-4  # no ties
    quantizer = quantizer_of(values if signed else np.abs(values), 1.7)
    assert quantizer.is_signed() == signed
    rounded = quantizer(paddle.to_tensor(values)).numpy()  # also of negative values that it never saw
    np.testing.assert_allclose(rounded, naive_rounding(values, 1.7, signed), atol=1e-6)
    assert len(np.unique(rounded)) == (255 if signed else 256)


@pytest.mark.parametrize("signed", [True, False])
def test_gradients_pass_the_rounding_but_not_what_is_cut_at_zero(signed):
    values = np.array([-0.6, -0.3, 0.2, 0.55, 0.9], np.float32)
    quantizer = quantizer_of(values if signed else np.abs(values), 0.9)
    x = paddle.to_tensor(values, stop_gradient=False)
    (quantizer(x) * paddle.arange(1, 6).astype("float32")).sum().backward()
    expected = [(k + 1) * (signed or value > 0) for k, value in enumerate(values)]
    np.testing.assert_array_equal(x.grad.numpy(), expected)


def test_the_first_value_below_zero_makes_it_signed_for_good():
    quantizer = InputQuantizer()
    below, above = paddle.to_tensor([-1.0, 2.0]), paddle.to_tensor([0.0, 2.0])
    for x in (above, below):
        quantizer.eval()
        quantizer(x)
        assert not quantizer.is_signed()  # only training is looked at
        quantizer.train()
        quantizer(above)
        assert not quantizer.is_signed()
    quantizer(below)
    assert quantizer.is_signed()
    quantizer(above)
    assert quantizer.is_signed()
    copy = InputQuantizer()
    copy.set_state_dict(quantizer.state_dict())
    assert copy.is_signed()
    copy._signed.set_value(copy._signed * 0.1)  # as in a moving average of weights
    assert copy.is_signed()


@pytest.mark.parametrize("signed", [True, False])
def test_an_alpha_gets_the_gradients_of_what_it_cuts(signed):
    """PACT's equation 3; of signed inputs both ends. Paddleslim's, with our quantizer after it."""
    paddle.seed(0)
    model = nn.Sequential(nn.Conv2D(1, 1, 1, bias_attr=False))
    QuantizationAwareTraining(QuantConfig(activation_preprocess_type="PACT")).wrap(model)
    model[0].weight.set_value(paddle.ones([1, 1, 1, 1]))
    alpha = model[0]._act_preprocess.alpha
    alpha.set_value(paddle.full([1], 0.8))
    values = np.random.default_rng(1).normal(size=(1, 1, 5, 7)).astype(np.float32)
    values = values if signed else np.abs(values)
    x = paddle.to_tensor(values, stop_gradient=False)
    upstream = np.random.default_rng(2).normal(size=values.shape).astype(np.float32)
    (model(x) * paddle.to_tensor(upstream)).sum().backward()
    assert model[0]._fake_quant_input.is_signed() == signed
    of_alpha = 0.0
    for value, gradient, got in zip(values.flat, upstream.flat, x.grad.numpy().flat, strict=True):
        of_alpha += gradient * (int(value > 0.8) - int(value < -0.8))
        assert got == pytest.approx(gradient if abs(value) < 0.8 else 0.0, abs=1e-6)
    assert alpha.grad.item() == pytest.approx(of_alpha, rel=1e-5)
