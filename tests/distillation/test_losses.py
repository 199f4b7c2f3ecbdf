"""Distillation losses against loops over every pixel; a teacher that nothing changes."""

import math

import numpy as np
import paddle
import pytest
from paddle import nn

from ppose.distillation.losses import (
    DistFeatureLoss,
    Distillation,
    DistMSELoss,
    LossWeight,
    Teacher,
    forward_maps,
)
from ppose.engine.objective import DistilledObjective
from ppose.errors import ConfigError
from ppose.models import KeyPointMSELoss
from ppose.schedules import CosineDecay, LinearWarmup, PiecewiseDecay, PolynomialDecay
from ppose.workspace import load_config

N, K, H, W = 2, 3, 4, 5
TARGET_WEIGHT = np.array([[1, 0, 0.5], [0, 1, 2]])[..., None]


class Network(nn.Layer):
    """As the networks of this project are made: a backbone that gives a list of maps, and a 1x1 head."""

    def __init__(self, channels, seed):
        super().__init__()
        paddle.seed(seed)
        self.backbone = Backbone(channels)
        self.final_conv = nn.Conv2D(channels, K, 1)

    def forward(self, image):
        return self.final_conv(self.backbone(image)[0])


class Backbone(nn.Layer):
    def __init__(self, channels):
        super().__init__()
        self.out_channels = [channels]
        self.conv, self.norm = nn.Conv2D(3, channels, 3, padding=1), nn.BatchNorm2D(channels)

    def forward(self, image):
        first = nn.functional.relu(self.norm(self.conv(image)))
        return [first, first.mean()]


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    values = {
        "image": rng.standard_normal((N, 3, H, W)),
        "heatmaps": rng.uniform(size=(N, K, H, W)),
        "target_weight": TARGET_WEIGHT,
    }
    return {name: paddle.to_tensor(value.astype(np.float32)) for name, value in values.items()}


def half_mean_square(student, teacher, weight):
    """1/2 mean of (w (s - t))**2, pixel by pixel."""
    total = 0.0
    for n in range(student.shape[0]):
        for k in range(student.shape[1]):
            for y in range(student.shape[2]):
                for x in range(student.shape[3]):
                    total += (weight[n, k, 0] * (student[n, k, y, x] - teacher[n, k, y, x])) ** 2
    return total / student.size / 2


def arrays(network):
    return {name: tensor.numpy().copy() for name, tensor in network.state_dict().items()}


def adapt(features, adapter):
    """A 1x1 convolution, channel by channel."""
    weight, bias = adapter.weight.numpy(), adapter.bias.numpy()
    out = np.zeros((len(features), len(weight), *features.shape[2:]))
    for d in range(len(weight)):
        out[:, d] = bias[d]
        for c in range(features.shape[1]):
            out[:, d] += weight[d, c, 0, 0] * features[:, c]
    return out


@pytest.mark.parametrize("use_target_weight", [True, False])
def test_heatmap_loss_is_what_the_loops_say(use_target_weight):
    rng = np.random.default_rng(1)
    student, teacher = rng.standard_normal((2, N, K, H, W))
    weight = TARGET_WEIGHT if use_target_weight else np.ones_like(TARGET_WEIGHT)
    prediction = paddle.to_tensor(student, stop_gradient=False)
    loss = DistMSELoss(use_target_weight=use_target_weight)(
        prediction, paddle.to_tensor(teacher), paddle.to_tensor(TARGET_WEIGHT)
    )
    assert float(loss) == pytest.approx(half_mean_square(student, teacher, weight), rel=1e-12)
    loss.backward()
    expected = weight[..., None] ** 2 * (student - teacher) / student.size
    np.testing.assert_allclose(prediction.grad.numpy(), expected, atol=1e-12)


def test_the_objective_and_its_gradient_are_those_of_the_loops(batch):
    """Both losses, each with its weight in that step, and the labels' loss."""
    student, teacher = Network(4, seed=1), Network(6, seed=2)
    features = DistFeatureLoss(4, 6, weight=0.25)
    losses = [DistMSELoss(weight=3.0, schedulers=[PolynomialDecay(2, power=1)]), features]
    distillation = Distillation(Teacher(teacher, None), losses, steps_per_epoch=10)
    objective = DistilledObjective(KeyPointMSELoss(loss_scale=1.0), distillation)
    teacher.eval()
    theirs = {
        key: value.numpy() for key, value in forward_maps(teacher, batch["image"], ("backbone",)).items()
    }
    outcome = objective(student, batch, step=5)
    heatmaps = outcome.heatmaps
    first = paddle.nn.functional.relu(student.backbone.norm(student.backbone.conv(batch["image"])))
    weight = batch["target_weight"].numpy().astype(np.float64)
    of_labels = 2 * half_mean_square(heatmaps.numpy(), batch["heatmaps"].numpy(), weight)
    adapted = adapt(first.numpy(), features.adapter)
    of_teacher = 3.0 * 0.75 * half_mean_square(heatmaps.numpy(), theirs["output"], weight)
    of_teacher += 0.25 * half_mean_square(adapted, theirs["backbone"], np.ones((N, 6, 1)))
    assert float(outcome.parts["student_loss"]) == pytest.approx(of_labels, rel=1e-5)
    assert float(outcome.parts["distillation_loss"]) == pytest.approx(of_teacher, rel=1e-5)
    assert float(outcome.loss) == pytest.approx(of_labels + of_teacher, rel=1e-5)
    outcome.loss.backward()
    # The same by hand: d loss / d heatmaps, then Paddle's own chain through the head and the adapter.
    squares = weight[..., None] ** 2 / heatmaps.size
    to_heatmaps = squares * (
        2 * (heatmaps.numpy() - batch["heatmaps"].numpy()) + 2.25 * (heatmaps.numpy() - theirs["output"])
    )
    head = np.einsum("nkyx,ncyx->kc", to_heatmaps, first.numpy())
    np.testing.assert_allclose(student.final_conv.weight.grad.numpy()[..., 0, 0], head, rtol=1e-4, atol=1e-6)
    to_adapted = 0.25 * (adapted - theirs["backbone"]) / adapted.size
    adapter = np.einsum("ndyx,ncyx->dc", to_adapted, first.numpy())
    np.testing.assert_allclose(features.adapter.weight.grad.numpy()[..., 0, 0], adapter, rtol=1e-4, atol=1e-7)


def test_a_teacher_is_neither_changed_nor_trained(batch):
    """Also where it was left in train mode, and where the student's own steps run beside it."""
    network = Network(4, seed=1)
    network(batch["image"])  # statistics that are not the initial ones
    network.train()
    before = arrays(network)
    teacher = Teacher(network)
    answers = [teacher(batch["image"], ("output", "backbone")) for _ in range(2)]
    for maps in answers:
        assert all(value.stop_gradient for value in maps.values())
        np.testing.assert_array_equal(maps["output"].numpy(), answers[0]["output"].numpy())
    assert all(parameter.stop_gradient for parameter in network.parameters())
    for name, value in arrays(network).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)
    assert Teacher(Network(4, seed=1)).fingerprint != teacher.fingerprint  # of other statistics
    again = Network(4, seed=3)
    again.set_state_dict(network.state_dict())
    assert Teacher(again).fingerprint == teacher.fingerprint


def test_losses_of_short_maps_are_float32(batch, monkeypatch):
    """As networks give them within autocast on a GPU."""
    student, teacher = Network(4, seed=1), Network(4, seed=2)
    forward = Network.forward
    monkeypatch.setattr(Network, "forward", lambda self, image: forward(self, image).astype("float16"))
    losses = [DistMSELoss(), DistFeatureLoss(4, 4)]
    objective = DistilledObjective(KeyPointMSELoss(), Distillation(Teacher(teacher), losses, 1))
    outcome = objective(student, batch, step=0)
    assert outcome.heatmaps.dtype == paddle.float16
    assert {outcome.loss.dtype, *(part.dtype for part in outcome.parts.values())} == {paddle.float32}


def test_maps_are_taken_without_a_trace(batch):
    network = Network(4, seed=1)
    network.eval()
    maps = forward_maps(network, batch["image"], ("output", "backbone"))
    np.testing.assert_array_equal(maps["output"].numpy(), network(batch["image"]).numpy())
    np.testing.assert_array_equal(maps["backbone"].numpy(), network.backbone(batch["image"])[0].numpy())
    assert not network.backbone._forward_post_hooks
    assert list(forward_maps(network, batch["image"], ("output",))) == ["output"]


def test_a_weight_follows_its_schedules():
    weight = LossWeight(2.0, [LinearWarmup(steps=4, start_factor=0.5), CosineDecay(2, min_lr_ratio=0.1)])
    expected = []
    for step in range(30):
        warm = 0.5 + 0.5 * min(step / 4, 1)
        done = min(step / 20, 1)
        expected.append(2.0 * warm * (0.1 + 0.9 * (1 + math.cos(math.pi * done)) / 2))
    assert [weight(step, 10) for step in range(30)] == pytest.approx(expected)
    off = LossWeight(2.0, [PiecewiseDecay([1], gamma=0.0)])
    assert [off(9, 10), off(10, 10)] == [2.0, 0.0]
    assert LossWeight(1.5, ())(123, 10) == 1.5


@pytest.mark.parametrize("weight", [-1.0, float("nan")])
def test_a_senseless_weight(weight):
    with pytest.raises(ConfigError, match=f"weight is {weight}, expected 0 or more"):
        DistMSELoss(weight=weight)


def test_maps_of_another_size_are_one_line():
    maps = [paddle.zeros([1, K, *size]) for size in ((8, 6), (16, 12))]
    with pytest.raises(
        ConfigError, match=r"DistMSELoss: the student's maps have the shape \[1, 3, 8, 6\], the"
    ):
        DistMSELoss()(*maps, paddle.ones([1, K, 1]))
    with pytest.raises(ConfigError, match="DistFeatureLoss: the student's maps"):
        DistFeatureLoss(K, K)(*maps, paddle.ones([1, K, 1]))


def test_a_network_without_a_backbone():
    with pytest.raises(ConfigError, match="the teacher's network has no backbone; use DistMSELoss"):
        DistFeatureLoss(4, None)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("{name: DistMSELos}", "distill_loss.0: unknown component 'DistMSELos'; did you mean 'DistMSELoss'?"),
        ("{name: DistMSELoss, wieght: 1.0}", "distill_loss.0.wieght: unknown key; did you mean 'weight'?"),
        ("{name: DistMSELoss, key: backbone}", "distill_loss.0.key: got 'backbone', expected one of output"),
        ("{name: KeyPointMSELoss}", "distill_loss.0: got KeyPointMSELoss, which is no distillation loss"),
        ("7", "distill_loss.0: got 7, expected a component"),
    ],
)
def test_a_distill_loss_that_is_none(loss, expected):
    with pytest.raises(ConfigError) as error:
        load_config("configs/hrnet_w32_256x192_teacher.yml", [f"distill_loss={loss}"])
    assert expected in str(error.value)
