"""Normalisation in the network: exact, at the border of the image too."""

import copy

import numpy as np
import paddle
import pytest
from paddle import nn

from ppose.errors import ExportError
from ppose.export.fold import fold_norms
from ppose.export.graph import Graph
from ppose.export.lite_blocks import StemForm
from ppose.export.normalization import fold_normalization
from ppose.models.lite_hrnet import Stem
from ppose.quantization.scheme import ConvQuantization, InputQuantization, quantize_conv2d
from ppose.transforms import NormalizeImage

NORMALIZE = NormalizeImage([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def test_pixels_in_give_what_normalised_pixels_gave():
    paddle.seed(1)
    network = nn.Sequential(nn.Conv2D(3, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2D(4, 2, 3, padding=1))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 12, 16, 3), np.uint8)
    normalised = (pixels / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    expected = network(paddle.to_tensor(normalised.transpose(0, 3, 1, 2).astype(np.float32))).numpy()
    folded = copy.deepcopy(network)
    mean, factor = fold_normalization(folded, NORMALIZE)
    np.testing.assert_array_equal(factor, np.ones(3))
    image = paddle.to_tensor(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
    got = Graph(folded, (mean, factor))(image).numpy()
    for border in (np.s_[..., 0, :], np.s_[..., -1, :], np.s_[..., 0], np.s_[..., -1], np.s_[:]):
        np.testing.assert_allclose(got[border], expected[border], rtol=1e-5, atol=1e-5)
    # What folding the mean into the bias would give is wrong at the border: there is something to test.
    plain = copy.deepcopy(folded)
    first = plain[0]
    into_bias = (first.weight * paddle.to_tensor(mean).reshape([1, 3, 1, 1])).sum(axis=[1, 2, 3])
    first.bias.set_value(first.bias - into_bias)
    wrong = plain(image.astype("float32")).numpy()
    assert np.abs(wrong - expected)[..., 0].max() > 0.1
    np.testing.assert_allclose(wrong[..., 2:-1, 2:-1], expected[..., 2:-1, 2:-1], rtol=1e-3, atol=1e-3)


def test_a_quantized_first_convolution_keeps_its_weights():
    network = nn.Sequential(nn.Conv2D(3, 4, 3, padding=1), nn.Conv2D(4, 2, 1))
    quantize_conv2d(network[0], ConvQuantization(InputQuantization(2.7)))
    before = network[0].weight.numpy()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    normalised = (pixels / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    expected = network(paddle.to_tensor(normalised.transpose(0, 3, 1, 2).astype(np.float32))).numpy()
    graph = Graph(network, fold_normalization(network, NORMALIZE))
    got = graph(paddle.to_tensor(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))).numpy()
    np.testing.assert_array_equal(network[0].weight.numpy(), before)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rounds", [False, True])
def test_a_network_that_takes_bgr_gets_pixels_in_rgb(rounds):
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    normalize = NormalizeImage(mean, std, channel_order="bgr")
    network = nn.Sequential(nn.Conv2D(3, 4, 3, padding=1), nn.Conv2D(4, 2, 1))
    if rounds:
        quantize_conv2d(network[0], ConvQuantization(InputQuantization(2.7)))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    normalised = (pixels[..., ::-1] / 255 - mean) / std
    expected = network(paddle.to_tensor(normalised.transpose(0, 3, 1, 2).astype(np.float32))).numpy()
    graph = Graph(network, fold_normalization(network, normalize))
    got = graph(paddle.to_tensor(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))).numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_the_stem_of_two_halves_takes_pixels():
    paddle.seed(1)
    stem = Stem()
    stem.eval()
    fold_norms(stem)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 16, 24, 3), np.uint8)
    normalised = (pixels / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    expected = stem(paddle.to_tensor(normalised.transpose(0, 3, 1, 2).astype(np.float32))).numpy()
    form = StemForm(stem)
    graph = Graph(form, fold_normalization(form, NORMALIZE))
    got = graph(paddle.to_tensor(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))).numpy()
    np.testing.assert_allclose(got, expected[:, form.order], rtol=1e-4, atol=1e-5)


def test_a_network_without_such_a_convolution():
    with pytest.raises(ExportError, match="found 0; export without --fuse_normalize"):
        fold_normalization(nn.Sequential(nn.Conv2D(4, 4, 3)), NORMALIZE)
    with pytest.raises(ExportError, match="found 2; export without --fuse_normalize"):
        fold_normalization(
            nn.Sequential(nn.Conv2D(3, 4, 3), nn.Conv2D(4, 3, 1), nn.Conv2D(3, 2, 1)), NORMALIZE
        )
