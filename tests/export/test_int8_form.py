"""Quantized convolutions in the smaller form that is exported: rounded as in the trained network."""

import numpy as np
import paddle
import pytest
from paddle import nn
from quantized_networks import ALL_KINDS, distance, quantize, randomize

from ppose.engine.calibration import CalibrationImages
from ppose.engine.load import load_trained
from ppose.engine.task import Task
from ppose.export.deploy_form import deploy_form
from ppose.models import HRNet, LiteHRNet, PoseResNet, TopDownHRNet
from ppose.quantization.calibrate import quantize_network
from ppose.quantization.channel_rounding import merge_roundings
from ppose.quantization.int8_graph import digest_quantization, quantized_convolutions, without_rounding
from ppose.quantization.scheme import ConvQuantization, InputQuantization, mark_quantized
from ppose.workspace import create, load_config

NETWORKS = {
    "HRNet": lambda: TopDownHRNet(HRNet(width=4), num_joints=5, width=4),
    "PoseResNet": lambda: PoseResNet(50, num_joints=5),
    "lite_8": lambda: TopDownHRNet(LiteHRNet("lite_8"), num_joints=5, width=40),
    "lite_30": lambda: TopDownHRNet(LiteHRNet("lite_30"), num_joints=5, width=40),
    "wider_naive": lambda: TopDownHRNet(LiteHRNet("wider_naive"), num_joints=5, width=40),
}


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("HRNet", ALL_KINDS),
        pytest.param("PoseResNet", ALL_KINDS, marks=pytest.mark.heavy),
        ("lite_8", ["signed"]),
        ("lite_8", ALL_KINDS),
        ("wider_naive", ALL_KINDS),
    ],
)
@paddle.no_grad()
def test_the_deploy_form_computes_what_the_trained_network_does(name, kinds):
    """In float64, where no rounding falls the other way; another image than that of the ranges."""
    paddle.set_default_dtype("float64")
    try:
        image = paddle.to_tensor(np.random.default_rng(1).normal(size=(2, 3, 64, 64)))
        network = randomize(NETWORKS[name](), image)
        quantize(network, image, kinds)
        other = image.flip(axis=3)
        expected = network(other).numpy()
        assert distance(without_rounding(network)(other).numpy(), expected) > 1e-3
        form = deploy_form(network)
        assert len(quantized_convolutions(form)) > 5
        assert distance(form(other).numpy(), expected) < 1e-6
    finally:
        paddle.set_default_dtype("float32")


def test_channels_are_rounded_each_in_its_own_way():
    roundings = [
        ConvQuantization(InputQuantization(1.27)),
        ConvQuantization(InputQuantization(5.1, signed=False, clip=4.0)),
        ConvQuantization(None),
        None,
    ]
    places = [np.array([2]), np.array([0]), np.array([1]), np.array([3])]
    values = np.linspace(-6, 6, 241, dtype=np.float32) + np.float32(1e-3)
    image = paddle.to_tensor(np.tile(values, (1, 4, 1))[..., None])
    rounding = merge_roundings(roundings, places, channels=5)
    image = paddle.concat([image, image[:, :1]], axis=1)
    got = rounding(image).numpy()[0, :, :, 0]
    for channel, quantization in ((2, roundings[0].input), (0, roundings[1].input)):
        np.testing.assert_allclose(got[channel], quantization(paddle.to_tensor(values)).numpy(), atol=1e-6)
    for channel in (1, 3, 4):
        np.testing.assert_array_equal(got[channel], values)
    assert merge_roundings([None, ConvQuantization(None)], places[:2], channels=5) is None


def test_the_checksum_is_of_weights_and_roundings(branches):
    digest = digest_quantization(branches)
    changed = without_rounding(branches)
    assert digest_quantization(changed) == digest
    mark_quantized(changed.last, ConvQuantization(InputQuantization(0.5, signed=False)))
    assert digest_quantization(changed) != digest
    assert digest_quantization(nn.Conv2D(3, 3, 1)) is None


@pytest.mark.heavy
@paddle.no_grad()
def test_real_weights_give_the_same_heatmaps_where_float_error_is_small(reference):
    """PP-TinyPose as published: float32 alone takes values to another level, and the heatmaps with them."""
    weights = reference / "data" / "weights" / "tinypose_128x96.pdparams"
    cfg = load_config("configs/tinypose_128x96.yml", [f"weights={weights}"])
    task = Task(cfg)
    images = CalibrationImages.from_folder(task, reference / "data" / "coco_dev" / "images", 16)
    network = quantize_network(load_trained(task), images, create("PTQ", cfg))
    image = images.sample(4)
    expected = network(image).numpy()
    paddle.set_default_dtype("float64")
    try:
        network, image = network.to(dtype="float64"), image.astype("float64")
        exact = network(image).numpy()
        assert distance(expected, exact) > 1e-2
        assert distance(deploy_form(network)(image).numpy(), exact) < 1e-6
    finally:
        paddle.set_default_dtype("float32")
