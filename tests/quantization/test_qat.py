"""Fake quantizers in a network and out again, against loops over numbers."""

import copy
import sys

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.nn.quant.quant_layers import MAOutputScaleLayer, QuantizedConv2D

from ppose.errors import CheckpointError, ConfigError
from ppose.models import HRNet, LiteHRNet, TopDownHRNet
from ppose.quantization.fake_quantizers import WeightQuantizer
from ppose.quantization.qat import (
    QuantConfig,
    QuantizationAwareTraining,
    clipping_alphas,
    convert_qat,
    input_observers,
    is_quantization_aware,
    is_quantizer_key,
)
from ppose.quantization.scheme import quantization_of, quantize_weight
from ppose.workspace import create, load_config

PACT = QuantConfig(activation_preprocess_type="PACT")
NETWORKS = {
    "lite_8": lambda: TopDownHRNet(LiteHRNet("lite_8"), num_joints=5, width=40),
    "wider_naive": lambda: TopDownHRNet(LiteHRNet("wider_naive"), num_joints=5, width=40),
    "hrnet": lambda: TopDownHRNet(HRNet(width=8), num_joints=5, width=8),
}


def names_of(model, kind):
    return [name for name, layer in model.named_sublayers() if isinstance(layer, kind)]


def make(name, *, seed=0):
    """A network whose maps are neither tiny nor huge."""
    paddle.seed(seed)
    model = NETWORKS[name]()
    for parameter in model.parameters():
        if parameter.ndim == 4:
            fan_in = np.prod(parameter.shape[1:])
            parameter.set_value(paddle.randn(parameter.shape) * float(1.5 / np.sqrt(fan_in)))
    return model


def trained(name, **options):
    """A wrapped network after a step, with alphas that cut every second input."""
    model = make(name)
    QuantizationAwareTraining(PACT, **options).wrap(model)
    optimizer = paddle.optimizer.SGD(0.01, [p for p in model.parameters() if not p.stop_gradient])
    model.train()
    model(paddle.randn([2, 3, 64, 64])).square().mean().backward()
    optimizer.step()
    for number, alpha in enumerate(clipping_alphas(model).values()):
        alpha.set_value(paddle.full([1], 0.5 if number % 2 else 100.0))
    model.eval()
    return model


@pytest.mark.parametrize(("name", "count"), [("lite_8", 129), ("hrnet", 293)])
def test_every_convolution_is_wrapped_and_keeps_its_name(name, count):
    model = make(name)
    before, convolutions = set(model.state_dict()), names_of(model, nn.Conv2D)
    trainable = sum(not p.stop_gradient for p in model.parameters())
    QuantizationAwareTraining(PACT).wrap(model)
    assert names_of(model, QuantizedConv2D) == convolutions
    assert len(convolutions) == len(clipping_alphas(model)) == len(input_observers(model)) == count
    assert not names_of(model, MAOutputScaleLayer)
    assert before < set(model.state_dict())
    assert {key for key in model.state_dict() if is_quantizer_key(key)} == set(model.state_dict()) - before
    assert sum(not p.stop_gradient for p in model.parameters()) == trainable + count
    assert is_quantization_aware(model)
    assert not is_quantization_aware(make(name))


def naive_conv(x, weight, largest, clip, channels, signed, kind):
    """A 1x1 convolution of one pixel, rounded as int8, by loops."""
    low, high = (-127, 127) if signed else (0, 255)
    step = largest / high
    rounded = [round(min(max(float(value), -clip), clip) / step) for value in x]
    rounded = [min(max(level, low), high) * step for level in rounded]
    result = []
    for row in weight.reshape(channels, -1).astype(float):
        first, second = sorted(map(abs, row))[:-3:-1]
        own = first / 127 if kind == "full" else max(first / 127, (first + second) / 128)
        result.append(sum(round(w / own) * own * value for w, value in zip(row, rounded, strict=True)))
    return result


@pytest.mark.parametrize("kind", ["portable", "full"])
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("alpha", [100.0, 1.1])
def test_a_wrapped_and_a_converted_convolution_compute_what_int8_means(alpha, signed, kind):
    paddle.seed(3)
    model = nn.Sequential(nn.Conv2D(6, 4, 1, bias_attr=False))
    QuantizationAwareTraining(PACT, weights=kind).wrap(model)
    model.train()
    model((paddle.rand([1, 6, 1, 1]) - (0.5 if signed else 0)) * 2)
    observer = model[0]._fake_quant_input
    model[0]._act_preprocess.alpha.set_value(paddle.full([1], alpha))
    model.eval()
    x = paddle.randn([1, 6, 1, 1]) * 2
    largest = observer._scale.item()
    expected = naive_conv(x.numpy().ravel(), model[0].weight.numpy(), largest, alpha, 4, signed, kind)
    np.testing.assert_allclose(model(x).numpy().ravel(), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(convert_qat(model)(x).numpy().ravel(), expected, rtol=1e-5, atol=1e-6)
    assert quantization_of(convert_qat(model)[0]).input.signed == signed
    assert quantization_of(convert_qat(model)[0]).weights == kind


def test_gradients_pass_the_rounding_of_weights_unchanged():
    conv = nn.Conv2D(3, 4, 3, bias_attr=False)
    quantizer = WeightQuantizer(4, "portable")
    factor = paddle.randn(conv.weight.shape)
    (quantizer(conv.weight) * factor).sum().backward()
    np.testing.assert_array_equal(conv.weight.grad.numpy(), factor.numpy())
    levels, steps = quantize_weight(conv.weight.numpy().astype(np.float64), "portable")
    expected = levels * steps.reshape(-1, 1, 1, 1)
    np.testing.assert_allclose(quantizer(conv.weight).numpy(), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_converted_network_computes_what_was_trained(name):
    """Layer for layer: through a whole network of random weights a value rounded the other way grows."""
    model = trained(name)
    state = copy.deepcopy(model.state_dict())
    converted = convert_qat(model)
    assert all((state[key] == value).all() for key, value in model.state_dict().items())
    calls = {}
    for conv, layer in model.named_sublayers():
        if isinstance(layer, QuantizedConv2D):
            layer.register_forward_post_hook(
                lambda _, inputs, output, conv=conv: calls.__setitem__(conv, (inputs[0], output))
            )
    image = paddle.randn([1, 3, 64, 64])
    with paddle.no_grad():
        model(image)
        layers = dict(converted.named_sublayers())
        clipped = 0
        for conv, (given, output) in calls.items():
            got = layers[conv](given)
            assert float((got - output).norm()) <= 0.005 * float(output.norm()), conv
            clipped += quantization_of(layers[conv]).input.clip is not None
    assert clipped > len(calls) / 4
    assert type(converted) is TopDownHRNet
    plain = make(name)
    assert list(converted.state_dict()) == list(plain.state_dict())
    assert names_of(converted, nn.Conv2D) == names_of(plain, nn.Conv2D) != []


def test_the_range_of_inputs_is_the_mean_of_their_largest_with_weights_that_decay():
    model = nn.Sequential(nn.Conv2D(3, 4, 1))
    QuantizationAwareTraining(QuantConfig(moving_rate=0.8)).wrap(model)
    largest = []
    for _ in range(4):
        x = paddle.randn([1, 3, 2, 2]) * 30
        largest.append(float(x.abs().max()))
        model(x)
        weights = [0.8**age for age in range(len(largest))][::-1]
        expected = sum(w * m for w, m in zip(weights, largest, strict=True)) / sum(weights)
        assert model[0]._fake_quant_input._scale.item() == pytest.approx(expected, rel=1e-5)


def test_a_network_that_saw_nothing_or_turns_signs_around_is_refused():
    model = nn.Sequential(nn.Conv2D(3, 4, 1))
    QuantizationAwareTraining(PACT).wrap(model)
    with pytest.raises(CheckpointError, match="the quantizer of 0 has seen no input yet"):
        convert_qat(model)
    for name in ("_state", "_accum"):  # where paddleslim begins
        getattr(model[0]._fake_quant_input, name).set_value(paddle.ones([1]))
    with pytest.raises(CheckpointError, match="the quantizer of 0 has seen no input yet"):
        convert_qat(model)
    model(paddle.ones([1, 3, 2, 2]))
    convert_qat(model)
    model[0]._act_preprocess.alpha.set_value(paddle.to_tensor([-0.5]))
    with pytest.raises(CheckpointError, match=r"alpha of 0 is -0\.5, expected above 0"):
        convert_qat(model)


def test_an_input_that_is_always_zero_stays_zero():
    model = nn.Sequential(nn.Conv2D(3, 4, 1, bias_attr=False))
    QuantizationAwareTraining(QuantConfig(moving_rate=0.0)).wrap(model)
    model(paddle.zeros([1, 3, 2, 2]))
    model.eval()
    for network in (model, convert_qat(model)):
        assert float(network(paddle.ones([1, 3, 2, 2])).abs().max()) < 1e-5


@pytest.mark.parametrize(
    ("patterns", "count"),
    [
        (["final_conv"], 1),
        (["backbone.stem"], 6),
        (["backbone.stem.*.conv"], 6),
        (["backbone.stage?.0", "final_conv"], 107),
    ],
)
def test_layers_are_kept_in_float_by_name(patterns, count, caplog):
    caplog.set_level("INFO")
    model = make("lite_8")
    matching = [
        name
        for name in names_of(model, nn.Conv2D)
        if any(name.startswith(pattern.split("*")[0].split("?")[0]) for pattern in patterns)
    ]
    QuantizationAwareTraining(PACT, True, not_quantized=patterns).wrap(model)
    kept = names_of(model, nn.Conv2D)
    assert set(kept) <= set(matching)
    assert len(kept) == count
    assert len(names_of(model, QuantizedConv2D)) == 129 - count
    shown = ", ".join(kept) if count <= 10 else count
    assert f"slim: QAT: {129 - count} convolutions in int8 with PACT; in float: {shown}\n" in caplog.text


def test_depthwise_convolutions_are_kept_in_float():
    model = make("lite_8")
    depthwise = {name for name, conv in model.named_sublayers() if getattr(conv, "_groups", 1) > 1}
    QuantizationAwareTraining(PACT, not_quantized=["final_conv"], depthwise=False).wrap(model)
    assert len(depthwise) > 30
    assert set(names_of(model, nn.Conv2D)) == depthwise | {"final_conv"}


def test_wrong_names_of_layers_are_errors():
    with pytest.raises(
        ConfigError,
        match=r"QAT\.not_quantized: no convolution is named 'final_cov'; did you mean 'final_conv'",
    ):
        QuantizationAwareTraining(PACT, not_quantized=["final_cov"]).wrap(make("lite_8"))
    with pytest.raises(ConfigError, match="no convolution is left to quantize, 129 are not_quantized"):
        QuantizationAwareTraining(PACT, not_quantized=["*"]).wrap(make("lite_8"))


def test_without_paddleslim_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "paddleslim.dygraph.quant", None)
    with pytest.raises(
        ConfigError, match=r"pip install 'ppose\[slim\]', then pip install --no-deps paddleslim"
    ) as caught:
        QuantizationAwareTraining().wrap(make("lite_8"))
    assert len(str(caught.value).splitlines()) == 1


CONFIG = """
_BASE_: configs/hrnet_w32_256x192.yml
slim: QAT
QAT: {quant_config: {%s}, %s}
"""


@pytest.mark.parametrize(
    ("quant", "other", "expected"),
    [
        ("weight_bits: 4", "", "QAT.quant_config.weight_bits: got 4, expected one of 8"),
        ("weight_bit: 8", "", "quant_config.weight_bit: unknown key; did you mean 'weight_bits'?"),
        ("weight_quantize_type: abs_max", "", "got 'abs_max', expected one of channel_wise_abs_max"),
        ("activation_quantize_type: abs_max", "", "expected one of moving_average_abs_max"),
        ("activation_preprocess_type: PAC", "", "got 'PAC', expected one of PACT or nothing"),
        ("weight_preprocess_type: PACT", "", "weight_preprocess_type: got 'PACT', expected nothing"),
        ("quantizable_layer_type: [Conv3D]", "", "expected a list of one of Conv2D, Linear"),
        ("quantizable_layer_type: [Linear]", "", "quantizable_layer_type: expected Conv2D"),
        ("moving_rate: 1", "", "moving_rate is 1, expected a number from 0 to below 1"),
        ("fuse_conv_bn: true", "", "fuse_conv_bn is true"),
        ("type: PACT", "", "quant_config.type: unknown key"),
        ("", "freeze_epoch: 0", "freeze_epoch is 0, expected 1 or more"),
        ("", "calibration_images: 8", "calibration_images needs PACT"),
        ("", "calibration_images: -8", "calibration_images is -8, expected 0 or more"),
        ("", "freeze: 1", "QAT.freeze: unknown key; did you mean 'freeze_epoch'?"),
        ("", "not_quantized: stem", "not_quantized: got 'stem', expected a list of text"),
    ],
)
def test_wrong_configs_are_named(tmp_path, request, quant, other, expected):
    text = CONFIG.replace("configs/", f"{request.config.rootpath}/configs/") % (quant, other)
    (tmp_path / "a.yml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        create("QAT", load_config(tmp_path / "a.yml"))
    assert expected in str(caught.value)
