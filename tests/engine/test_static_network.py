"""The static form of a network against the network itself."""

import copy

import numpy as np
import paddle
import pytest

from ppose.engine.static_network import StaticNetwork
from ppose.models import HRNet, LiteHRNet, TopDownHRNet

SIZE = (64, 32)
BACKBONES = {"HRNet": lambda: HRNet(width=8), "LiteHRNet": lambda: LiteHRNet(network_type="lite_8")}


@pytest.fixture(params=[pytest.param("HRNet", marks=pytest.mark.heavy), "LiteHRNet"])
def pair(request, fill_weights):
    """A network, and the static form of a copy."""
    backbone = BACKBONES[request.param]()
    model = fill_weights(TopDownHRNet(backbone, num_joints=5, width=backbone.out_channels[0]))
    return model, StaticNetwork(copy.deepcopy(model), SIZE)


def image(count, seed=0):
    pixels = np.random.default_rng(seed).normal(size=(count, 3, SIZE[1], SIZE[0]))
    return paddle.to_tensor(pixels.astype(np.float32))


def test_steps_and_evaluation_are_the_networks_own(pair):
    model, static = pair
    for count in (3, 2):  # one graph serves all batch sizes
        for network in pair:
            network.train()
            network(image(count, seed=count)).square().sum().backward()
    found = 0
    for (name, own), other in zip(model.named_parameters(), static.network.parameters(), strict=True):
        assert (own.grad is None) == (other.grad is None), name
        if own.grad is not None:
            found += 1
            scale = float(own.grad.abs().max())
            np.testing.assert_allclose(own.grad.numpy(), other.grad.numpy(), rtol=1e-3, atol=1e-4 * scale)
    assert found > 100
    for name, own in model.state_dict().items():  # the norms' statistics have moved alike
        np.testing.assert_allclose(
            own.numpy(), static.network.state_dict()[name].numpy(), rtol=1e-5, atol=1e-6
        )
    for network in pair:
        network.eval()
    np.testing.assert_allclose(model(image(2)).numpy(), static(image(2)).numpy(), rtol=1e-4, atol=1e-5)


def test_it_follows_the_networks_parameters(pair):
    _, static = pair
    static.eval()
    before = static(image(1)).numpy()
    static.network.final_conv.bias.set_value(static.network.final_conv.bias + 1)
    np.testing.assert_allclose(static(image(1)).numpy(), before + 1, rtol=1e-4, atol=1e-5)


def test_operators_of_a_graph_do_not_name_their_layers(pair):
    """Most of the making of a large graph would be that; of other networks' graphs Paddle still does it."""
    _, static = pair
    static.eval()
    program = static.forward.concrete_program.main_program
    assert not any(op.has_attr("struct_name") for op in program.global_block().ops)
    plain = paddle.jit.to_static(paddle.nn.Sequential(paddle.nn.Conv2D(3, 1, 1)), full_graph=True)
    plain(image(1))
    program = plain.forward.concrete_program.main_program
    assert any(op.has_attr("struct_name") for op in program.global_block().ops)
