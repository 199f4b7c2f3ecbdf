"""Channels of one range between depthwise and dense convolutions, in a network that computes what it did."""

import copy

import numpy as np
import paddle
import pytest
from paddle import nn

from ppose.models import HRNet, LiteHRNet, TopDownHRNet
from ppose.quantization.calibrate import PTQ, calibrate, quantize_network, quantized_copy
from ppose.quantization.convolutions import find_convs
from ppose.quantization.equalize import equalize
from ppose.quantization.sensitivity import heatmap_error

# The convolutions that take what a depthwise one gives, in the smallest naive network.
PAIRS = {
    "backbone.stage0.0.layers.0.0.branch2.2.conv",
    "backbone.stage0.0.fuse_layers.1.0.0.2",
    "backbone.transition1.2.0.2",
    "backbone.head_layer.projects.0.pointwise_conv.conv",
}


@pytest.fixture(scope="module")
def batches():
    paddle.seed(1)
    return [paddle.randn([size, 3, 64, 64]) for size in (2, 1)]


@pytest.fixture(scope="module")
def network():
    """A network with norms of very different gains, as trained ones have."""
    paddle.seed(0)
    model = TopDownHRNet(LiteHRNet("naive"), 5, 30)
    for layer in model.sublayers():
        if isinstance(layer, nn.Conv2D):
            nn.initializer.KaimingNormal()(layer.weight)
        if isinstance(layer, nn.BatchNorm2D):
            layer.weight.set_value(paddle.exp(paddle.randn(layer.weight.shape)))
            layer.bias.set_value(0.1 * paddle.randn(layer.bias.shape))
    model.train()
    for _ in range(20):
        model(paddle.randn([2, 3, 64, 64]))
    model.eval()
    return model


def find_ranges(model, batches):
    """The largest magnitude of each channel (C,) that goes into each convolution."""
    seen = {name: [] for name in find_convs(model)}
    hooks = [
        conv.register_forward_pre_hook(
            lambda _, inputs, name=name: seen[name].append(inputs[0].abs().max(axis=(0, 2, 3)).numpy())
        )
        for name, conv in find_convs(model).items()
    ]
    for batch in batches:
        model(batch)
    for hook in hooks:
        hook.remove()
    return {name: np.max(values, axis=0) for name, values in seen.items() if values}


def error_in_float64(model, other, batches):
    """`heatmap_error` of copies, where only the rounding of the weights that were changed is left."""
    paddle.set_default_dtype("float64")
    try:
        copies = [copy.deepcopy(each).to(dtype="float64") for each in (model, other)]
        return heatmap_error(*copies, [batch.astype("float64") for batch in batches])
    finally:
        paddle.set_default_dtype("float32")


def test_channels_have_one_range_and_the_network_its_heatmaps(network, batches):
    equalized = copy.deepcopy(network)
    equalize(equalized, batches)
    before, after = find_ranges(network, batches), find_ranges(equalized, batches)
    changed = {name for name in before if not np.allclose(before[name], after[name], rtol=1e-3)}
    assert changed > PAIRS
    for name in changed:
        lively = before[name] > 2e-3 * before[name].max()
        assert np.ptp(after[name][lively]) < 1e-3 * after[name].max(), name
    for training in (False, True):
        for model in (network, equalized):
            model.train() if training else model.eval()
        assert error_in_float64(equalized, network, batches) < 2e-5
    network.eval()


def test_eight_bits_harm_less(batches):
    norm = nn.BatchNorm2D(8)
    norm.weight.set_value(paddle.to_tensor([30.0, 1, 1, 1, 1, 1, 1, 1]))
    dense = nn.Conv2D(8, 4, 1)
    dense.weight.set_value(dense.weight / norm.weight.reshape([1, -1, 1, 1]))
    stem, depthwise = nn.Conv2D(3, 8, 3), nn.Conv2D(8, 8, 3, groups=8)
    model = nn.Sequential(stem, nn.Sequential(depthwise, norm, dense))
    how = PTQ(method="minmax", not_quantized=["0"])
    plain = quantized_copy(model, calibrate(model, batches, how))
    equalized = quantize_network(model, batches, how)
    assert heatmap_error(equalized, model, batches) < 0.3 * heatmap_error(plain, model, batches)


def test_channels_that_are_always_zero_stay_finite(batches):
    chain = nn.Sequential(
        nn.Conv2D(3, 6, 3, groups=3, bias_attr=False), nn.BatchNorm2D(6), nn.Conv2D(6, 2, 1)
    )
    chain[1].weight.set_value(paddle.to_tensor([0.0, 0, 1, 2, 3, 4]))
    model = nn.Sequential(chain)
    model.eval()
    before = model(batches[0]).numpy()
    equalize(model, batches)
    np.testing.assert_allclose(model(batches[0]).numpy(), before, rtol=1e-4, atol=1e-5)
    chain[1].weight.set_value(paddle.zeros([6]))
    weight = chain[2].weight.numpy()
    equalize(model, batches)
    np.testing.assert_array_equal(chain[2].weight.numpy(), weight)


def test_an_activation_between_is_no_pair(batches):
    dense = nn.Conv2D(3, 2, 1)
    model = nn.Sequential(nn.Conv2D(3, 3, 3, groups=3), nn.BatchNorm2D(3), nn.ReLU(), dense)
    weight = dense.weight.numpy()
    equalize(model, batches)
    np.testing.assert_array_equal(dense.weight.numpy(), weight)


def test_a_network_without_such_convolutions_needs_no_images():
    model = TopDownHRNet(HRNet(8), 5, 8)
    state = {key: value.numpy().copy() for key, value in model.state_dict().items()}
    equalize(model, iter(()))
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), state[key])
