import json

import pytest

from ppose.models import HRNet, PoseResNet, TopDownHRNet
from ppose.weights.published_names import own_names

# (published key, own name). PaddleDetection's names count from 1, the official ones from 0.
HRNET = [
    ("backbone.conv_layer1_2.norm._variance", "backbone.bn2._variance"),
    ("backbone.la1.block_layer2_1.conv_down.norm._mean", "backbone.layer1.0.downsample.1._mean"),
    ("backbone.la1.block_layer2_4.conv3.conv.weight", "backbone.layer1.3.conv3.weight"),
    ("backbone.tr1.transition_tr1_layer_1.conv.weight", "backbone.transition1.0.0.weight"),
    ("backbone.tr1.transition_tr1_layer_2.norm.bias", "backbone.transition1.1.0.1.bias"),
    ("backbone.tr3.transition_tr3_layer_4.conv.weight", "backbone.transition3.3.0.0.weight"),
    (
        "backbone.st3.stage_st3_2.branches_func.bb_st3_2_branch_layer_3_4.conv2.norm.weight",
        "backbone.stage3.1.branches.2.3.bn2.weight",
    ),
    (
        "backbone.st4.stage_st4_3.fuse_func.residual_st4_3_layer_1_4.conv.weight",
        "backbone.stage4.2.fuse_layers.0.3.0.weight",
    ),
    (
        "backbone.st3.stage_st3_1.fuse_func.residual_st3_1_layer_3_1_2.norm._mean",
        "backbone.stage3.0.fuse_layers.2.0.1.1._mean",
    ),
    ("final_conv.weight", "final_conv.weight"),
    ("conv_layer1_1.conv.weight", "backbone.conv1.weight"),  # PaddleDetection's backbone file
    ("stage2.0.fuse_layers.1.0.0.1.running_var", "backbone.stage2.0.fuse_layers.1.0.0.1._variance"),
    ("final_layer.bias", "final_conv.bias"),
    ("module.layer1.0.bn1.running_mean", "backbone.layer1.0.bn1._mean"),
    ("backbone.layer1.0.bn1.running_mean", "backbone.layer1.0.bn1._mean"),  # mmpose
    ("head.final_layer.weight", "final_conv.weight"),
    ("keypoint_head.final_layer.weight", "final_conv.weight"),
]
LITE = [
    ("backbone.stem.conv1.bn.running_mean", "backbone.stem.conv1.norm._mean"),
    ("backbone.stem.conv1.norm._mean", "backbone.stem.conv1.norm._mean"),
    ("stem.conv1.norm._mean", "backbone.stem.conv1.norm._mean"),
]
RESNET = [
    ("layer3.5.bn2.running_mean", "layer3.5.bn2._mean"),
    ("backbone.layer3.5.bn2.running_mean", "layer3.5.bn2._mean"),
    ("deconv_layers.4.running_var", "deconv_layers.4._variance"),
    ("head.deconv_layers.0.weight", "deconv_layers.0.weight"),
    ("keypoint_head.deconv_layers.7.bias", "deconv_layers.7.bias"),
    ("keypoint_head.final_layer.bias", "final_layer.bias"),
    ("module.final_layer.bias", "final_layer.bias"),
]


@pytest.mark.parametrize(("key", "own"), [*HRNET, *LITE, *RESNET])
def test_key_finds_its_parameter(key, own):
    assert own_names([key], {own, "other.weight"}) == {key: own}


def test_names_of_paddleslim_lose_what_wraps_a_layer():
    key, own = (
        "stem.conv1.conv._layer._act_preprocess.alpha",
        "backbone.stem.conv1.conv._act_preprocess.alpha",
    )
    assert own_names([key], {own, "other.weight"}) == {key: own}
    assert own_names(["backbone.stem.conv1.conv._ma_output_scale._scale"], {own}) == {}


def test_counters_of_batches_are_left_out():
    assert own_names(["bn1.num_batches_tracked"], {"backbone.bn1.weight"}) == {}


@pytest.mark.parametrize(
    "key", ["fc.weight", "st9.weight", "final_layer.0.weight", "head.final_layer.1.bias"]
)
def test_key_without_place_stays_outside_the_model(key):
    wanted = set(TopDownHRNet(HRNet(width=4), 17, 4).state_dict())
    assert own_names([key], wanted)[key] not in wanted


@pytest.mark.parametrize(
    "make", [lambda: TopDownHRNet(HRNet(width=4), 17, 4), lambda: HRNet(width=4), lambda: PoseResNet(50, 17)]
)
def test_own_names_stay(make):
    wanted = list(make().state_dict())
    assert own_names(wanted, wanted) == {name: name for name in wanted}


def test_paddle_and_official_names_of_one_network_agree(reference):
    """Both files list HRNet-W32's layers in the same order: equal places are equal parameters."""
    folder = reference / "reference" / "models"
    paddle_keys = json.loads((folder / "pdparams_hrnet_w32_256x192_coco.json").read_text())["names"]
    torch_keys = json.loads((folder / "hrnet_w32_256x192_coco.json").read_text())["names"]
    wanted = set(TopDownHRNet(HRNet(width=4), 17, 4).state_dict())
    expected = list(own_names(torch_keys, wanted).values())
    assert set(expected) == wanted

    assert list(own_names(paddle_keys, wanted).values()) == expected

    backbone_only = [key.removeprefix("backbone.") for key in paddle_keys if key.startswith("backbone.")]
    in_backbone = [name for name in expected if name.startswith("backbone.")]
    assert list(own_names(backbone_only, wanted).values()) == in_backbone
