"""Sizes of networks against the published tables."""

import paddle
import pytest
from paddle import nn

from ppose.models import HRNet, HSRNet, PoseResNet, TopDownHRNet
from ppose.models.counting import measure_size

# GFLOPs at 256x192: READMEs of the official HRNet code and of HSRNet.
TABLES = {
    "pose_resnet_50": (lambda: PoseResNet(50, 17), 8.99, 5.43),
    "hrnet_w32": (lambda: TopDownHRNet(HRNet(32), 17, 32), 7.12, 7.645),
    "hsrnet_59": (lambda: HSRNet(59, 17), 10.57, None),
    "hsr_msnet_59": (lambda: HSRNet(59, 17, multi_scale=True), 9.16, None),
}
LARGE = {
    "hsrnet_110": (lambda: HSRNet(110, 17), 13.96, None),
    "hsrnet_161": (lambda: HSRNet(161, 17), 17.35, None),
    "hsr_msnet_110": (lambda: HSRNet(110, 17, multi_scale=True), 11.09, None),
    "hsr_msnet_161": (lambda: HSRNet(161, 17, multi_scale=True), 13.02, None),
}
CASES = [*TABLES, *(pytest.param(name, marks=pytest.mark.heavy) for name in LARGE)]


@pytest.mark.parametrize("name", CASES)
def test_gflops_are_the_tables(name):
    make, gflops, macs = {**TABLES, **LARGE}[name]
    size = measure_size(make(), (192, 256))
    assert size.table_gflops == pytest.approx(gflops, rel=0.001)
    if macs is not None:
        assert size.macs / 1e9 == pytest.approx(macs, rel=0.001)


class Twice(nn.Layer):
    """A grouped convolution that is called twice, a transposed one, and a norm."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2D(6, 6, 3, padding=1, groups=2)
        self.first = nn.Conv2D(3, 6, 1, stride=2, bias_attr=False)
        self.norm = nn.BatchNorm2D(6)
        self.up = nn.Conv2DTranspose(6, 5, 4, stride=2, padding=1, bias_attr=False)

    def forward(self, x):
        return self.up(self.norm(self.conv(self.conv(self.first(x)))))


def test_a_count_by_hand():
    network = Twice()
    size = measure_size(network, (8, 12))  # 4x6 after the stride
    inner = 24 * 18 + 2 * 24 * 6 * 3 * 9
    assert size.macs == inner + 24 * 6 * 5 * 16
    assert size.table_macs == inner + 96 * 6 * 5 * 16
    assert size.parameters == 18 + (6 * 3 * 9 + 6) + 12 + 6 * 5 * 16
    assert not network.training
    network(paddle.zeros([1, 3, 4, 4]))  # nothing counts any more
    assert measure_size(network, (8, 12)) == size
