"""The sensitivity of layers to quantization, one by one, and how it is shown."""

import copy
import csv

import cv2
import numpy as np
import paddle
import pytest
from paddle import nn

from ppose.quantization.calibrate import PTQ, calibrate
from ppose.quantization.scheme import quantize_conv2d
from ppose.quantization.sensitivity import EVERYTHING, NOTHING, LayerSensitivity, measure_sensitivity
from ppose.quantization.sensitivity_report import format_report, write_report


@pytest.fixture
def network():
    paddle.seed(0)
    return nn.Sequential(
        nn.Sequential(nn.Conv2D(3, 8, 3), nn.ReLU()), nn.Conv2D(8, 8, 3, groups=8), nn.Conv2D(8, 2, 1)
    )


def test_each_layer_alone_the_worst_first(network):
    images = [paddle.randn([2, 3, 16, 16]), paddle.randn([1, 3, 16, 16])]
    quantizations = calibrate(network, images, PTQ(method="minmax", depthwise=True))
    expected = [network(image).numpy() for image in images]

    def run_with(names):
        other = copy.deepcopy(network)
        for name in names:
            quantize_conv2d(dict(other.named_sublayers())[name], quantizations[name])
        return [other(image).numpy() for image in images]

    def error_with(names):
        pairs = zip(run_with(names), expected, strict=True)
        off = np.concatenate([(a - b).ravel() for a, b in pairs])
        return np.linalg.norm(off) / np.linalg.norm(np.concatenate([b.ravel() for b in expected]))

    def measure_ap(model):
        return float(model(images[0]).sum())

    rows = measure_sensitivity(network, images, quantizations, measure_ap, ap_layers=2)
    assert [row.layer for row in rows[:2]] == [NOTHING, EVERYTHING]
    assert {row.layer for row in rows[2:]} == {"0.0", "1", "2"}
    errors = [row.error for row in rows[2:]]
    assert errors == sorted(errors, reverse=True)
    assert 0 < errors[-1] < errors[0]
    assert rows[0].error == 0
    assert rows[1].error == pytest.approx(error_with(quantizations), rel=1e-3)
    for row in rows[2:]:
        assert row.error == pytest.approx(error_with([row.layer]), rel=1e-3)
    names = [[], quantizations, *([row.layer] for row in rows[2:4])]
    for row, quantized in zip(rows, names, strict=False):
        assert row.ap == pytest.approx(float(run_with(quantized)[0].sum()), rel=1e-4)
    assert rows[4].ap is None
    for image, before in zip(images, expected, strict=True):
        np.testing.assert_array_equal(network(image).numpy(), before)
    assert all(row.ap is None for row in measure_sensitivity(network, images, quantizations))


def test_the_report_is_a_table_a_file_and_a_picture(tmp_path):
    layers = [LayerSensitivity(f"layer.{number}.conv", 0.5 / (number + 1)) for number in range(50)]
    rows = [
        LayerSensitivity(NOTHING, 0.0, 0.7),
        LayerSensitivity(EVERYTHING, 0.9, 0.1),
        LayerSensitivity("worst", 0.6, 0.65),
        *layers,
    ]
    write_report(tmp_path / "new", rows)
    with (tmp_path / "new" / "analysis.csv").open(newline="") as file:
        lines = list(csv.reader(file))
    assert lines[:4] == [
        ["layer", "heatmap_error", "AP"],
        ["(nothing)", "0", "0.7000"],
        ["(everything)", "0.9", "0.1000"],
        ["worst", "0.6", "0.6500"],
    ]
    assert lines[-1] == ["layer.49.conv", "0.01", ""]
    assert len(lines) == 54
    picture = cv2.imread(str(tmp_path / "new" / "analysis.png"))
    assert (picture != 255).any(axis=-1).mean() > 0.05
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == ["analysis.csv", "analysis.png"]
    table = format_report(rows).splitlines()
    assert table[0].split() == ["heatmap", "error", "AP", "quantized"]
    assert table[3].split() == ["0.6000", "0.6500", "worst"]
    assert table[4].split() == ["0.5000", "-", "layer.0.conv"]
    assert table[-1] == "and 23 more"
