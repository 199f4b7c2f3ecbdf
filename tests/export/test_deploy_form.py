import numpy as np
import paddle
import pytest
from paddle import nn

from ppose.export.deploy_form import deploy_form
from ppose.export.fold import fold_norms, permute_path
from ppose.export.lite_blocks import split_and_shuffle
from ppose.models import HRNet, LiteHRNet, PoseResNet, TopDownHRNet

NETWORKS = {
    "HRNet": lambda: TopDownHRNet(HRNet(width=4, return_idx=[0, 2]), num_joints=5, width=4),
    "PoseResNet": lambda: PoseResNet(50, num_joints=5),
    "basic_blocks": lambda: PoseResNet(18, num_joints=5, width=8, deconv_channels=12),
    "lite_8": lambda: TopDownHRNet(LiteHRNet("lite_8"), num_joints=5, width=40),
    "lite_18": lambda: TopDownHRNet(LiteHRNet("lite_18", return_idx=[0, 3]), num_joints=5, width=40),
    "naive": lambda: TopDownHRNet(LiteHRNet("naive"), num_joints=5, width=30),
    "wider_naive": lambda: TopDownHRNet(LiteHRNet("wider_naive"), num_joints=5, width=40),
}


@pytest.fixture
def float64():
    """Networks in float64: what is left of a difference is not rounding, which deep networks enlarge."""
    paddle.set_default_dtype("float64")
    yield
    paddle.set_default_dtype("float32")


def _image(batch=2, height=64, width=96):
    image = np.random.default_rng(1).normal(size=(batch, 3, height, width))
    return paddle.to_tensor(image, dtype=paddle.get_default_dtype())


def _randomize(network):
    """Random weights, biases and norms; activations stay of order one, by the statistics of one batch."""
    rng = np.random.default_rng(0)

    def fill(parameter, values):
        parameter.set_value(values.astype(paddle.get_default_dtype()))

    for parameter in network.parameters():
        values = rng.normal(size=parameter.shape)
        fill(parameter, values * np.sqrt(2 / np.prod(parameter.shape[1:])) if parameter.ndim == 4 else values)
    norms = [layer for layer in network.sublayers() if isinstance(layer, nn.BatchNorm2D)]
    for norm in norms:
        norm._momentum = 0.0
        count = norm.weight.shape[0]
        fill(norm.weight, rng.uniform(0.5, 1.5, count) * rng.choice([-1, 1], count))
    network.train()
    network(_image())
    network.eval()
    for norm in norms:
        variance = norm._variance.numpy()
        fill(norm._mean, norm._mean.numpy() + rng.normal(0, 0.1, variance.shape))
        # Channels that are the same everywhere in this batch would blow up in another.
        fill(norm._variance, np.maximum(variance, variance.mean()) + 1e-2)
    return network


@pytest.mark.parametrize("name", NETWORKS)
@paddle.no_grad()
def test_gives_the_heatmaps_of_the_trained_network(name, float64):
    network = _randomize(NETWORKS[name]())
    before = {key: value.numpy().copy() for key, value in network.state_dict().items()}
    form = deploy_form(network)
    image = _image(batch=3, height=96, width=64)
    expected, got = network(image).numpy(), form(image).numpy()
    assert expected.std() > 0.1
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-9 * np.abs(expected).max())
    assert not any(isinstance(layer, nn.BatchNorm2D) for layer in form.sublayers())
    assert not form.training
    after = network.state_dict()
    assert all((after[key].numpy() == value).all() for key, value in before.items())


@paddle.no_grad()
def test_differs_in_float32_by_no_more_than_rounding():
    network = _randomize(NETWORKS["lite_8"]())
    image = _image()
    expected, got = network(image).numpy(), deploy_form(network)(image).numpy()
    assert got.dtype == np.float32
    assert np.linalg.norm(got - expected) <= 1e-5 * np.linalg.norm(expected)


class _Plain(nn.Layer):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, image):
        return _run(self.network, image)


@paddle.jit.not_to_static  # Paddle takes long to look into the code of each layer
def _run(network, image):
    return network(image)


def _count_operators(network):
    spec = paddle.static.InputSpec([1, 3, 64, 64], "float32")
    static = paddle.jit.to_static(_Plain(network), input_spec=[spec], full_graph=True)
    names = [op.name() for op in static.forward.concrete_program.main_program.global_block().ops]
    return {name: names.count(name) for name in names}


def test_lite_hrnet_has_no_shuffles_and_fewer_operators():
    network = NETWORKS["lite_8"]()
    network.eval()
    form = _count_operators(deploy_form(network))
    trained = _count_operators(network)
    assert (trained["pd_op.stack"], form.get("pd_op.stack", 0)) == (1 + 2 * (2 + 3 + 4), 0)
    splits = [ops["pd_op.split"] + ops.get("pd_op.split_with_num", 0) for ops in (trained, form)]
    # Of a block, the trained network splits each branch and the weights; of a module's form, the gates.
    assert splits == [1 + 2 * (3 + 4 + 5), 3 * 3]
    dense = [ops["pd_op.conv2d"] for ops in (trained, form)]
    # One gate for all branches; the stem's halves have a first convolution each.
    assert dense[0] - dense[1] == 2 * 2 * (1 + 2 + 3) - 1
    assert form["pd_op.multiply"] < trained["pd_op.multiply"]


def test_what_only_unused_maps_of_hrnet_need_is_cut():
    one, two = (TopDownHRNet(HRNet(width=4, return_idx=idx), num_joints=5, width=4) for idx in ([0], [0, 2]))
    assert len(deploy_form(two).parameters()) == len(deploy_form(one).parameters())


def test_shuffling_follows_the_numbers_of_channels():
    order = np.array([3, 0, 5, 4, 1, 2])
    values = np.array([10, 11, 12, 13, 14, 15])  # of the trained network's channels
    places, after = split_and_shuffle(order)
    held = values[order]
    np.testing.assert_array_equal(held[places], [13, 14, 15])
    shuffled = np.array([10, 13, 11, 14, 12, 15])
    np.testing.assert_array_equal(shuffled[after], held)


@paddle.no_grad()
def test_a_path_takes_and_gives_permuted_channels(float64):
    path = nn.Sequential(
        nn.Conv2D(6, 6, 3, groups=6), nn.Conv2D(6, 4, 1), nn.Conv2D(4, 4, 3, groups=4), nn.Conv2D(4, 8, 1)
    )
    x = paddle.rand([2, 6, 8, 8])
    expected = path(x).numpy()
    inputs, outputs = np.random.default_rng(0).permutation(6), np.random.default_rng(1).permutation(8)
    permute_path(path, inputs, outputs)
    np.testing.assert_allclose(path(x[:, inputs]).numpy(), expected[:, outputs], atol=1e-12)


@paddle.no_grad()
def test_a_norm_that_follows_no_convolution_stays(float64):
    """As in networks of others, where a norm stands before its convolution."""
    network = nn.Sequential(nn.BatchNorm2D(3), nn.ReLU(), nn.Conv2D(3, 4, 3), nn.BatchNorm2D(4))
    network(paddle.rand([4, 3, 8, 8]))  # statistics other than 0 and 1
    network.eval()
    x = paddle.rand([2, 3, 8, 8])
    expected = network(x).numpy()
    fold_norms(network)
    assert [type(layer) for layer in network] == [nn.BatchNorm2D, nn.ReLU, nn.Conv2D, nn.Identity]
    np.testing.assert_allclose(network(x).numpy(), expected, atol=1e-12)
