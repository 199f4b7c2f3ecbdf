import numpy as np
import paddle
import pytest

from ppose.errors import CheckpointError, ConfigError
from ppose.models import HRNet, HSRNet, LiteHRNet, PoseResNet, TopDownHRNet
from ppose.models.attention import Attention
from ppose.models.layers import conv2d
from ppose.weights.checkpoint import load_weights, save_weights


def _image(size=64, batch=2):
    return paddle.to_tensor(np.random.default_rng(1).normal(size=(batch, 3, size, size)).astype(np.float32))


SMALL = {"width": 8, "deconv_channels": 12}
BACKBONES = {
    "HRNet": lambda **keys: HRNet(width=4, **keys),
    "LiteHRNet": lambda **keys: LiteHRNet("naive", **keys),
}


@pytest.mark.parametrize(
    ("make", "channels"), [(BACKBONES["HRNet"], [4, 8, 16, 32]), (BACKBONES["LiteHRNet"], [30, 30, 60, 120])]
)
@pytest.mark.parametrize("return_idx", [[0], [2], [0, 1, 2, 3], [3, 1]])
def test_backbone_returns_the_branches_asked_for(make, channels, return_idx):
    backbone = make(return_idx=return_idx)
    assert backbone.out_channels == [channels[i] for i in return_idx]
    shapes = [list(x.shape) for x in backbone(_image())]
    assert shapes == [[2, channels[i], 16 >> i, 16 >> i] for i in return_idx]


@pytest.mark.parametrize("return_idx", [[], [4], [-1], [0, 0]])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_backbone_refuses_unknown_branches(backbone, return_idx):
    with pytest.raises(ConfigError, match=rf"{backbone}\.return_idx: got"):
        BACKBONES[backbone](return_idx=return_idx)


STAGES = {
    "HRNet": [
        ["conv1", "bn1", "conv2", "bn2"],
        ["layer1"],
        ["transition1", "stage2"],
        ["transition2", "stage3"],
        ["transition3", "stage4"],
    ],
    "LiteHRNet": [
        ["stem"],
        ["transition0", "stage0"],
        ["transition1", "stage1"],
        ["transition2", "stage2"],
        ["head_layer"],
    ],
}


@pytest.mark.parametrize("freeze_at", [-1, 0, 1, 3])
@pytest.mark.parametrize("name", BACKBONES)
def test_frozen_stages_get_no_gradient(name, freeze_at, fill_weights):
    backbone = fill_weights(BACKBONES[name](freeze_at=freeze_at))
    backbone(_image())[0].sum().backward()
    for i, parts in enumerate(STAGES[name]):
        of_stage = [p for n, p in backbone.named_parameters() if n.split(".")[0] in parts]
        trained = [p for p in of_stage if p.grad is not None]
        assert bool(trained) == (i > freeze_at), parts


@pytest.mark.parametrize("freeze_at", [-2, 9])
@pytest.mark.parametrize("name", BACKBONES)
def test_backbone_refuses_unknown_stages(name, freeze_at):
    with pytest.raises(ConfigError, match=rf"{name}\.freeze_at: got {freeze_at}, expected -1"):
        BACKBONES[name](freeze_at=freeze_at)


@pytest.mark.parametrize("name", BACKBONES)
def test_held_norms_neither_learn_nor_move(name, fill_weights):
    backbone = fill_weights(BACKBONES[name](freeze_norm=True))
    norms = [layer for layer in backbone.sublayers() if isinstance(layer, paddle.nn.BatchNorm2D)]
    before = [norm._mean.numpy().copy() for norm in norms]
    backbone.train()
    out = backbone(_image())[0]
    out.sum().backward()
    assert all(norm.weight.grad is None and norm.bias.grad is None for norm in norms)
    np.testing.assert_array_equal(np.concatenate([n._mean.numpy() for n in norms]), np.concatenate(before))
    assert any(p.grad is not None for p in backbone.parameters())
    backbone.eval()
    np.testing.assert_array_equal(out.numpy(), backbone(_image())[0].numpy())


@pytest.mark.parametrize("name", BACKBONES)
def test_free_norms_learn_and_move(name, fill_weights):
    backbone = fill_weights(BACKBONES[name]())
    backbone.train()
    backbone(_image())[0].sum().backward()
    norm = next(layer for layer in backbone.sublayers() if isinstance(layer, paddle.nn.BatchNorm2D))
    assert norm.weight.grad is not None
    assert np.abs(norm._mean.numpy()).max() > 1e-4


@pytest.mark.parametrize(
    "make",
    [
        lambda: TopDownHRNet(HRNet(width=4), 5, 4),
        lambda: TopDownHRNet(LiteHRNet("naive"), 5, 30),
        lambda: PoseResNet(50, 5),
        lambda: PoseResNet(18, 5, width=8, deconv_channels=12),
        lambda: TopDownHRNet(HRNet(4, modules=(1, 1, 1), blocks=2, variant="tf"), 5, 4),
        lambda: HSRNet(59, 5, **SMALL),
        lambda: HSRNet(59, 5, multi_scale=True, **SMALL),
        lambda: PoseResNet(50, 5, attention="holistic", **SMALL),
        lambda: PoseResNet(50, 5, attention="as_published", **SMALL),
    ],
    ids=["hrnet", "lite_hrnet", "pose_resnet", "basic_blocks", "tf", "hsrnet", "msnet", "holistic", "part"],
)
def test_model_gives_heatmaps_in_every_mode(make):
    model, image = make(), _image()
    copy = image.numpy().copy()
    for mode in (model.train, model.eval):
        mode()
        assert list(model(image).shape) == [2, 5, 16, 16]
    np.testing.assert_array_equal(image.numpy(), copy)


def test_pose_resnet_has_the_channels_asked_for():
    model = PoseResNet(10, 5, width=8, deconv_channels=12, stem_kernel=3)
    shapes = {name: p.shape for name, p in model.named_parameters() if p.ndim == 4}
    assert shapes["conv1.weight"] == [8, 3, 3, 3]
    assert "layer1.0.downsample.0.weight" not in shapes  # as in torchvision's
    assert shapes["layer4.0.downsample.0.weight"] == [64, 32, 1, 1]
    assert shapes["layer4.0.conv2.weight"] == [64, 64, 3, 3]
    assert shapes["deconv_layers.0.weight"] == [64, 12, 4, 4]
    assert shapes["final_layer.weight"] == [5, 12, 1, 1]
    for channels in ({"width": 0}, {"deconv_channels": 0}):
        with pytest.raises(ConfigError, match=r"PoseResNet\.\w+: got 0, expected 1 or more"):
            PoseResNet(10, 5, **channels)


def test_width_must_be_the_backbones():
    with pytest.raises(ConfigError, match=r"TopDownHRNet\.width: got 32, expected 40.*LiteHRNet"):
        TopDownHRNet(LiteHRNet("lite_18"), 17, 32)


@pytest.mark.parametrize("make", [*BACKBONES.values(), lambda: PoseResNet(50, 5)])
def test_input_must_fit_the_strides(make):
    with pytest.raises(ConfigError, match=r"80x64.*multiples of 32"):
        make()(paddle.zeros([1, 3, 64, 80]))


@pytest.mark.parametrize(
    "make",
    [
        lambda: TopDownHRNet(LiteHRNet("lite_18"), 17, 40),
        lambda: PoseResNet(50, 17),
        lambda: PoseResNet(18, 17),
    ],
)
def test_weights_start_as_in_the_official_code(make):
    for name, parameter in make().named_parameters():
        values = parameter.numpy()
        if values.ndim == 4:
            assert abs(values.mean()) < 1e-3, name
            assert values.std() == pytest.approx(1e-3, rel=0.5), name
        else:
            start = 1.0 if name.endswith(("weight", "_variance")) else 0.0
            np.testing.assert_array_equal(values, start, err_msg=name)


def test_hrnet_has_the_modules_and_blocks_asked_for():
    network = HRNet(4, modules=(1, 2, 1), blocks=3)
    assert [len(stage) for stage in (network.stage2, network.stage3, network.stage4)] == [1, 2, 1]
    assert {len(branch) for module in network.stage3 for branch in module.branches} == {3}
    assert len(network.layer1) == 4
    for wrong in ({"modules": (1, 0, 1)}, {"blocks": 0}):
        with pytest.raises(ConfigError, match=r"HRNet: got modules .*, expected 1 or more"):
            HRNet(4, **wrong)


def test_the_tensorflow_hrnet_differs_where_its_code_does():
    network = HRNet(4, variant="tf")
    shapes = {name: p.shape for name, p in network.named_parameters() if p.ndim == 4}
    assert list(network.transition1) == ["1"]
    assert shapes["stage2.0.branches.0.0.conv1.weight"] == [4, 256, 3, 3]
    projections = {name.split(".downsample")[0] for name in shapes if "downsample.0" in name} - {"layer1.0"}
    newest = [f"stage3.{m}.branches.2.0" for m in range(4)] + [f"stage4.{m}.branches.3.0" for m in range(3)]
    assert projections == {"stage2.0.branches.0.0", "stage2.0.branches.1.0", *newest}
    assert shapes["stage3.0.fuse_layers.2.0.0.0.weight"] == [16, 4, 3, 3]  # 8 channels, were it the official
    assert isinstance(network.stage2[0].fuse_layers["0"]["1"][2], paddle.nn.ReLU)
    norms = [layer for layer in network.sublayers() if isinstance(layer, paddle.nn.BatchNorm2D)]
    assert {norm._momentum for norm in norms} == {0.997}


def test_attention_has_no_weight_decay():
    """Its weights stay where no gradient moves them; others shrink."""
    model = PoseResNet(10, 3, attention="as_published", **SMALL)
    decay = paddle.regularizer.L2Decay(0.5)
    optimizer = paddle.optimizer.SGD(0.1, parameters=model.parameters(), weight_decay=decay)
    before = {name: p.numpy().copy() for name, p in model.named_parameters()}
    for parameter in model.parameters():
        if not parameter.stop_gradient:
            parameter.grad = paddle.zeros_like(parameter)
    optimizer.step()
    for name, parameter in model.named_parameters():
        if parameter.ndim == 4:
            factor = 1.0 if name.startswith(("attention.", "part.")) else 0.95
            np.testing.assert_allclose(parameter.numpy(), factor * before[name], rtol=1e-5, err_msg=name)


def test_norms_add_what_the_config_says():
    model = PoseResNet(10, 3, norm_epsilon=1e-9, **SMALL)
    norms = [layer for layer in model.sublayers() if isinstance(layer, paddle.nn.BatchNorm2D)]
    assert {norm._epsilon for norm in norms} == {1e-9}
    with pytest.raises(ConfigError, match="norm_epsilon: got 0, expected a number above 0"):
        PoseResNet(10, 3, norm_epsilon=0)


def test_attention_is_a_map_between_0_and_1():
    q = Attention(6)(paddle.randn([2, 6, 5, 4]))
    assert q.shape == [2, 1, 5, 4]
    assert 0 < float(q.min()) < float(q.max()) < 1


def test_a_plain_network_does_not_pass_over_a_multi_scale_checkpoint(tmp_path, caplog):
    paddle.seed(0)
    save_weights(HSRNet(59, 2, multi_scale=True, **SMALL), tmp_path / "a.pdparams")
    with pytest.raises(CheckpointError, match=r"does not fit the network"):
        load_weights(HSRNet(59, 2, **SMALL), tmp_path / "a.pdparams", strict=True)


@pytest.mark.heavy
@pytest.mark.parametrize(
    "make",
    [
        lambda: TopDownHRNet(HRNet(width=4), 5, 4),
        lambda: TopDownHRNet(LiteHRNet("lite_18"), 5, 40),
        lambda: TopDownHRNet(LiteHRNet("naive"), 5, 30),
        lambda: PoseResNet(50, 5),
        lambda: PoseResNet(10, 5, width=8, deconv_channels=12),
        lambda: TopDownHRNet(HRNet(4, modules=(1, 1, 1), blocks=2, variant="tf"), 5, 4),
        lambda: HSRNet(59, 5, multi_scale=True, **SMALL),
        lambda: PoseResNet(50, 5, attention="as_published", **SMALL),
    ],
    ids=["hrnet", "lite_hrnet", "naive", "pose_resnet", "basic_blocks", "tf", "msnet", "attention"],
)
def test_static_graph_gives_the_same_heatmaps(make, fill_weights):
    model = fill_weights(make())
    model.eval()
    image = _image()
    spec = paddle.static.InputSpec([None, 3, 64, 64], "float32")
    with paddle.no_grad():
        expected = model(image).numpy()
        heatmaps = paddle.jit.to_static(model, input_spec=[spec], full_graph=True)(image).numpy()
    assert np.linalg.norm(expected) > 1e-3
    assert np.linalg.norm(heatmaps - expected) <= 1e-3 * np.linalg.norm(expected)


@pytest.mark.parametrize("bias", [False, True])
def test_a_pointwise_convolution_is_the_same_in_training_and_evaluation(bias):
    rng = np.random.default_rng(0)
    layer = conv2d(6, 4, 1, bias=bias)
    for parameter in layer.parameters():
        parameter.set_value(rng.normal(size=parameter.shape).astype(np.float32))
    image = paddle.to_tensor(rng.normal(size=(2, 6, 5, 3)).astype(np.float32), stop_gradient=False)
    results = []
    for switch in (layer.train, layer.eval):
        switch()
        maps = layer(image)
        results.append([maps, *paddle.grad(maps.square().sum(), [image, *layer.parameters()])])
    for trained, evaluated in zip(*results, strict=True):
        assert trained.shape == evaluated.shape
        np.testing.assert_allclose(trained.numpy(), evaluated.numpy(), rtol=1e-4, atol=1e-4)
