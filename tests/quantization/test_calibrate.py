"""Post-training quantization of whole networks."""

import copy

import numpy as np
import paddle
import pytest
from paddle import nn

from ppose.errors import CheckpointError, ConfigError, DataError
from ppose.models import LiteHRNet, TopDownHRNet
from ppose.quantization.calibrate import (
    PTQ,
    begin_alphas,
    calibrate,
    find_clipping,
    quantize_network,
    quantized_copy,
)
from ppose.quantization.convolutions import find_convs
from ppose.quantization.qat import QuantConfig, QuantizationAwareTraining, clipping_alphas
from ppose.quantization.scheme import quantization_of, quantize_weight
from ppose.quantization.sensitivity import heatmap_error


@pytest.fixture(scope="module")
def network():
    """A small network whose weights let signals pass: as they start, they shrink to nothing."""
    paddle.seed(0)
    model = TopDownHRNet(LiteHRNet("lite_8"), 5, 40)
    for conv in find_convs(model).values():
        nn.initializer.KaimingNormal()(conv.weight)
    model.train()
    for _ in range(20):
        model(paddle.randn([2, 3, 64, 64]))
    model.eval()
    return model


@pytest.fixture(scope="module")
def batches():
    paddle.seed(1)
    return [paddle.randn([size, 3, 64, 64]) for size in (2, 1)]


def test_ranges_are_those_of_each_convolution_over_all_batches(network, batches):
    seen = {name: [] for name in find_convs(network)}
    hooks = [
        conv.register_forward_pre_hook(lambda _, inputs, name=name: seen[name].append(inputs[0].numpy()))
        for name, conv in find_convs(network).items()
    ]
    quantizations = calibrate(network, batches, PTQ(method="minmax", depthwise=True))
    for hook in hooks:
        hook.remove()
    assert quantizations.keys() == seen.keys()
    for name, (first, second) in seen.items():
        if first.shape[2:] == (1, 1):  # rounding it would take longer than it saves
            assert quantizations[name].input is None, name
            continue
        values = np.concatenate([first.ravel(), second.ravel()])
        assert quantizations[name].input.largest == np.abs(values).max(), name
        assert quantizations[name].input.signed == (values.min() < 0), name
    kinds = {quantization.input and quantization.input.signed for quantization in quantizations.values()}
    assert kinds == {True, False, None}


def test_a_quantized_copy_computes_what_its_rounded_convolutions_do(network, batches):
    image = batches[0]
    before = {key: value.numpy().copy() for key, value in network.state_dict().items()}
    expected = network(image).numpy()
    quantized = quantized_copy(network, calibrate(network, batches, PTQ(method="minmax", depthwise=True)))
    for key, value in network.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[key])
    np.testing.assert_array_equal(network(image).numpy(), expected)
    convs = find_convs(quantized)
    for name, conv in convs.items():
        levels, steps = quantize_weight(before[f"{name}.weight"].astype(np.float64), "portable")
        np.testing.assert_allclose(conv.weight.numpy(), levels * steps.reshape(-1, 1, 1, 1), rtol=1e-6)
        given = paddle.randn([1, conv._in_channels, 8, 8])
        rounding = quantization_of(conv).input
        rounded = given if rounding is None else rounding(given)
        plain = nn.functional.conv2d(
            rounded, conv.weight, conv.bias, conv._stride, conv._padding, 1, conv._groups
        )
        np.testing.assert_allclose(conv(given).numpy(), plain.numpy(), rtol=1e-4, atol=1e-5)
    error = heatmap_error(quantized, network, batches)
    off = [quantized(b).numpy() - network(b).numpy() for b in batches]
    scale = [network(b).numpy() for b in batches]
    norms = [np.sqrt(sum((x.astype(np.float64) ** 2).sum() for x in arrays)) for arrays in (off, scale)]
    assert error == pytest.approx(norms[0] / norms[1], rel=1e-4)
    assert 0.001 < error < 0.5


def test_layers_stay_in_float_by_name(network, batches):
    how = PTQ(not_quantized=["backbone.stem", "*.conv2.conv"], weights_only=["final_conv"])
    quantized = quantized_copy(network, calibrate(network, batches[1:], how))
    for name, conv in find_convs(quantized).items():
        kept = name.startswith("backbone.stem.") or name.endswith(".conv2.conv")
        assert (quantization_of(conv) is None) == (kept or conv._groups > 1), name
        if quantization_of(conv) is None:
            np.testing.assert_array_equal(conv.weight.numpy(), find_convs(network)[name].weight.numpy())
    assert quantization_of(quantized.final_conv).input is None
    with pytest.raises(ConfigError, match=r"PTQ.weights_only: .*'final_cnv'; did you mean 'final_conv'"):
        calibrate(network, batches, PTQ(weights_only=["final_cnv"]))
    with pytest.raises(ConfigError, match="no convolution is left"):
        calibrate(network, batches, PTQ(not_quantized=["*"]))


def test_transposed_convolutions_stay_in_float():
    model = nn.Sequential(nn.Conv2D(3, 4, 3), nn.Conv2DTranspose(4, 4, 2), nn.Conv2D(4, 2, 1))
    quantized = quantize_network(model, [paddle.randn([1, 3, 8, 8])], PTQ())
    assert [quantization_of(layer) is None for layer in quantized.sublayers()] == [False, True, False]


def test_a_network_trained_for_eight_bits_is_refused():
    model = nn.Sequential(nn.Conv2D(3, 4, 3), nn.ReLU())
    QuantizationAwareTraining().wrap(model)
    with pytest.raises(ConfigError, match=r"was trained for int8 \(slim: QAT\)"):
        calibrate(model, [paddle.randn([1, 3, 8, 8])], PTQ())


def test_what_is_not_finite_is_named(network, batches):
    with pytest.raises(
        DataError, match=r"input of the convolution backbone\.stem\.conv1\.conv is not finite"
    ):
        calibrate(network, [*batches, paddle.full([1, 3, 64, 64], float("nan"))], PTQ())
    huge = copy.deepcopy(network)
    huge.final_conv.weight.set_value(paddle.full_like(huge.final_conv.weight, 1e38))
    with pytest.raises(DataError, match="heatmaps are not finite"):
        calibrate(huge, batches, PTQ())
    for model in (network, huge):
        assert not any(layer._forward_pre_hooks for layer in model.sublayers())
    huge.backbone.stem.linear_conv.norm._variance[3] = float("nan")
    with pytest.raises(CheckpointError, match=r"backbone\.stem\.linear_conv\.norm\._variance holds"):
        calibrate(huge, batches, PTQ())


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


def test_alphas_begin_where_they_are_set():
    model = nn.Sequential(nn.Conv2D(3, 4, 1), nn.Conv2D(4, 2, 1))
    QuantizationAwareTraining(QuantConfig(activation_preprocess_type="PACT")).wrap(model)
    begin_alphas(model, {"1": 2.5, "2": 7.0})
    assert [alpha.item() for alpha in clipping_alphas(model).values()] == [100.0, 2.5]
