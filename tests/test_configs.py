"""Every config loads, checks and builds; the published ones unchanged."""

from pathlib import Path

import pytest
from paddle import nn

from ppose.engine.task import Task
from ppose.errors import ConfigError
from ppose.quantization.qat import clipping_alphas
from ppose.workspace import create, load_config

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = sorted(path.stem for path in (ROOT / "configs").glob("*.yml"))
PUBLISHED = [
    "hrnet_w32_256x192",
    "hrnet_w32_256x192_teacher",
    "lite_hrnet_30_256x192_coco",
    "lite_hrnet_30_256x192_coco_pact",
    "lite_hrnet_30_256x192_coco_dist_pact",
]


PADDLEDETECTION = [
    "dark_hrnet_w32_256x192",
    "dark_hrnet_w32_384x288",
    "dark_hrnet_w48_256x192",
    "hrnet_w32_256x192",
    "hrnet_w32_384x288",
    "lite_hrnet_18_256x192_coco",
    "lite_hrnet_18_384x288_coco",
    "lite_hrnet_30_256x192_coco",
    "lite_hrnet_30_384x288_coco",
    "tinypose_128x96",
    "tinypose_256x192",
    "wider_naive_hrnet_18_256x192_coco",
]
# Keys of its runtime.yml, of its mixed precision and moving average, with values as there.
PADDLEDETECTION_KEYS = """
use_gpu: true
use_xpu: false
use_mlu: false
use_npu: false
log_iter: 20
save_dir: output
snapshot_epoch: 1
print_flops: false
print_params: false
export: {post_process: true, nms: true, benchmark: false, fuse_conv_bn: false}
init_loss_scaling: 32752
master_grad: true
amp: true
ema_decay_type: exponential
cycle_epoch: 40
"""


def count_parameters(model):
    # Paddle counts a batch norm's statistics as parameters, the field does not.
    return sum(p.size for name, p in model.named_parameters() if not name.endswith(("._mean", "._variance")))


@pytest.mark.parametrize("name", CONFIGS)
def test_config_builds(name):
    cfg = load_config(ROOT / "configs" / f"{name}.yml")
    task = Task(cfg)
    width, height = task.settings.trainsize
    assert task.codec.heatmap_size == tuple(task.settings.hmsize) == (width // 4, height // 4)
    if "synthetic" not in name:
        assert f"{height}x{width}" in name
        assert task.codec.sigma == {96: 1, 192: 2, 256: 2, 288: 3, 512: 2}[width]
        assert task.codec.use_dark == task.codec.unbiased == ("dark" in name or "tinypose" in name)
    if "teacher" not in name:  # it comes trained
        assert cfg["weights"] == f"output/{name}/model_final"
    for key in (
        "TrainReader",
        "EvalReader",
        "TestReader",
        "LearningRate",
        "OptimizerBuilder",
        "KeyPointMSELoss",
    ):
        create(key, cfg, keypoint_set=task.keypoint_set, trainsize=task.settings.trainsize, codec=task.codec)
    model = task.model()
    groups = [layer._groups for layer in model.sublayers() if isinstance(layer, nn.Conv2D)]
    convolutions, depthwise = len(groups), sum(count > 1 for count in groups)
    assert (task.quantization is not None) == ("pact" in name)
    if "pact" in name:
        task.quantization.wrap(model)
        in_float = depthwise + 77 if "tinypose" in name else 0  # and dense ones but in the shuffle units
        assert len(clipping_alphas(model)) == convolutions - in_float
    if "w48" in name:
        assert model.backbone.out_channels == [48]
    architecture = task.settings.architecture
    assert cfg[cfg[architecture]["backbone"] if architecture == "TopDownHRNet" else architecture]


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_config_builds_unchanged(reference, name):
    cfg = load_config(reference / "reference" / "configs" / f"{name}.yml")
    task = Task(cfg)
    assert task.keypoint_set.name == "coco17"
    assert not task.codec.use_dark
    expected = 28_536_113 if name.startswith("hrnet") else 1_763_717  # reference/models/pdparams_*.json
    assert count_parameters(task.model()) == expected


@pytest.mark.parametrize("name", PADDLEDETECTION)
def test_paddledetections_own_config_builds_unchanged(reference, name, caplog):
    """Parameters as of the config here with the same network."""
    task = Task(load_config(reference / "reference" / "configs" / "paddledetection" / f"{name}.yml"))
    assert task.keypoint_set.name == "coco17"
    for key in ("TrainReader", "EvalReader", "TestReader"):
        task.reader(key)
    own = Task(load_config(ROOT / "configs" / f"{name.replace('naive_hrnet', 'naive_lite_hrnet')}.yml"))
    assert count_parameters(task.model()) == count_parameters(own.model())
    assert "without effect" in caplog.text


def test_paddledetections_keys_without_use_are_named(tmp_path, reference, caplog):
    case = reference / "cases" / "pd_amp_keys" / "keys.yml"
    for keys in (PADDLEDETECTION_KEYS, case.read_text()):
        caplog.clear()
        (tmp_path / "own.yml").write_text(f"_BASE_: {ROOT}/configs/tinypose_128x96.yml\n{keys}")
        load_config(tmp_path / "own.yml")
        (message,) = [r.message for r in caplog.records if "without effect" in r.message]
        for key in ("use_xpu", "print_params", "export", "init_loss_scaling", "master_grad"):
            assert f"{key} (" in message
        assert "ema_decay_type (the moving average is use_ema and ema_decay)" in message


def test_the_teacher_is_the_published_one(reference):
    name = "hrnet_w32_256x192_teacher.yml"
    own, published = (load_config(f / name) for f in (ROOT / "configs", reference / "reference" / "configs"))
    for key in ("weights", "trainsize", "hmsize", "architecture", "HRNet", "KeyPointMSELoss", "distill_loss"):
        assert own[key] == published[key], key
    assert own["distill_loss"] == [{"type": "DistMSELoss", "weight": 1.0, "key": "output"}]
    networks = [Task(cfg).model() for cfg in (own, published)]
    shapes = [{name: tensor.shape for name, tensor in net.state_dict().items()} for net in networks]
    assert shapes[0] == shapes[1]
    assert str(networks[0]) == str(networks[1])


@pytest.mark.parametrize(
    "name",
    [
        "hrnet_w32_256x192",
        "lite_hrnet_30_256x192_coco",
        "lite_hrnet_30_256x192_coco_pact",
        "lite_hrnet_30_256x192_coco_dist_pact",
    ],
)
def test_own_configs_mean_what_the_published_ones_do(reference, name):
    own = load_config(ROOT / "configs" / f"{name}.yml")
    published = load_config(reference / "reference" / "configs" / f"{name}.yml")
    for key in (
        "architecture",
        "num_joints",
        "trainsize",
        "hmsize",
        "epoch",
        "LearningRate",
        "metric",
        "weights",
        "slim",
        "QAT",  # without keys of our own
    ):
        assert own.get(key) == published.get(key), key
    if "pact" in name:
        assert own["pretrain_weights"] == published["pretrain_weights"]
        assert own["TrainReader"]["batch_size"] == published["TrainReader"]["batch_size"] == 64
    for block in ("HRNet", "LiteHRNet", "KeyPointMSELoss"):
        assert own.get(block) == published.get(block)
    own_steps = {k: v for step in own["TrainReader"]["sample_transforms"] for k, v in step.items()}
    steps = {k: v for step in published["TrainReader"]["sample_transforms"] for k, v in step.items()}
    assert list(own_steps) == list(steps)
    for name_, block in steps.items():
        for key, value in block.items():
            if key in own_steps[name_]:
                assert own_steps[name_][key] == value


@pytest.mark.parametrize(
    ("name", "lr", "batch_size"), [("tinypose_256x192", 2e-3, 128), ("tinypose_128x96", 8e-3, 512)]
)
def test_tinypose_trains_as_published(name, lr, batch_size):
    """Numbers and order of PaddleDetection's configs/keypoint/tiny_pose."""
    cfg = load_config(ROOT / "configs" / f"{name}.yml")
    steps = {k: v for step in cfg["TrainReader"]["sample_transforms"] for k, v in step.items()}
    assert list(steps) == [
        "RandomFlipHalfBodyTransform",
        "AugmentationbyInformantionDropping",
        "TopDownAffine",
        "ToHeatmapsTopDown_DARK",
    ]
    assert steps["RandomFlipHalfBodyTransform"]["scale"] == 0.25
    assert steps["RandomFlipHalfBodyTransform"]["rot"] == 30
    dropping = {"trainsize": cfg["trainsize"], "prob_cutout": 0.5, "offset_factor": 0.05, "num_patch": 1}
    assert steps["AugmentationbyInformantionDropping"] == dropping
    assert (cfg["LearningRate"]["base_lr"], cfg["TrainReader"]["batch_size"]) == (lr, batch_size)


# Of the published codes; smaller's with 12 keypoints in place of 16, 17 weights each.
COUNTS = {
    "hsrnet_59_384x288_coco": 22_595_921,
    "hsr_msnet_59_256x192_coco": 18_839_905,
    "attention_pose_resnet_50_256x192_coco": 34_046_086,
    "tf_hrnet_w32_256x192_coco": 33_065_521,
    "hrnet_small_256x256_envisat16": 5_203_408,
    "hrnet_smaller_256x256_envisat12": 1_602_256 - 4 * 17,
}


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_of_other_codes_networks(name):
    model = Task(load_config(ROOT / "configs" / f"{name}.yml")).model()
    assert count_parameters(model) == COUNTS[name]


# Learning rate, epochs, milestones, batch size, images a step, scale, rotation: of the published experiment
# files and config.py. Then the order of channels, NormalizeImage, the targets' height, weight decay.
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225], True)
RECIPES = {
    "hsrnet_59_256x192_coco": ((0.001, 140, [90, 120], 32, 32, 0.3, 40), ("bgr", IMAGENET, 1, 0)),
    "hsrnet_161_384x288_coco": ((0.001, 160, [110, 140], 20, 80, 0.3, 40), ("bgr", IMAGENET, 1, 0)),
    "hsr_msnet_110_384x288_coco": ((0.001, 140, [90, 120], 28, 56, 0.3, 40), ("bgr", IMAGENET, 1, 0)),
    "hsr_msnet_59_384x288_coco": ((0.001, 160, [110, 140], 32, 32, 0.3, 40), ("bgr", IMAGENET, 1, 0)),
    "attention_pose_resnet_50_256x192_coco": (
        (0.0005, 140, [90, 120], 32, 32, 0.3, 40),
        ("bgr", ([103.94, 116.78, 123.68], [1, 1, 1], False), 255, 1e-5),
    ),
    "tf_hrnet_w48_384x288_coco": (
        (0.001, 210, [170, 200], 32, 32, 0.35, 45),
        ("bgr", ([123.68, 116.78, 103.94], [1, 1, 1], False), 255, 1e-5),
    ),
}


@pytest.mark.parametrize("name", RECIPES)
def test_the_recipes_of_other_codes(name):
    cfg = load_config(ROOT / "configs" / f"{name}.yml")
    task = Task(cfg)
    (rate, epochs, milestones, batch, base, scale, rotation), (order, pixels, peak, decay) = RECIPES[name]
    assert cfg["LearningRate"]["base_lr"] == rate
    assert [s["milestones"] for s in cfg["LearningRate"]["schedulers"]] == [milestones]
    assert (task.settings.epoch, task.settings.base_batch_size) == (epochs, base)
    augment = cfg["TrainReader"]["sample_transforms"][0]["RandomFlipHalfBodyTransform"]
    assert (augment["scale"], augment["rot"], augment["prob_flip"], augment["prob_half_body"]) == (
        scale, rotation, 0.5, 0,
    )  # fmt: skip
    assert cfg["TrainReader"]["batch_size"] == batch
    assert (task.settings.channel_order, task.codec.peak) == (order, peak)
    for key in ("TrainReader", "EvalReader", "TestReader"):
        found = cfg[key]["batch_transforms"][0]["NormalizeImage"]
        assert (found["mean"], found["std"], found["is_scale"]) == pixels
        assert task.reader(key).normalization.channel_order == order
    assert cfg["OptimizerBuilder"].get("regularizer", {}).get("factor", 0) == decay


def test_a_config_lists_any_augmentation(tmp_path):
    """Where the comment in coco_topdown.yml says, with lists for ranges, through a whole reader."""
    (tmp_path / "own.yml").write_text(
        f"""
_BASE_: {ROOT}/configs/synthetic_lite_hrnet.yml
TrainReader:
  batch_size: 4
  sample_transforms:
  - RandomFlipHalfBodyTransform: {{trainsize: [64, 96], half_body_choice: published}}
  - RandomShift: {{shift_factor: 0.1}}
  - AugmentationbyInformantionDropping: {{trainsize: [64, 96], prob_cutout: 1}}
  - TopDownAffine: {{trainsize: [64, 96]}}
  - ColorJitter: {{hue: 0, p: 1.0}}
  - GaussianBlur: {{sigma_limit: [1, 2], p: 1.0}}
  - CoarseDropout: {{num_holes_range: [1, 1], hole_width_range: [0.1, 0.2], p: 1.0}}
  - ToHeatmapsTopDown_DARK: {{hmsize: [16, 24], sigma: 1}}
TrainDataset: !SyntheticPeopleDataset {{num_images: 4, trainsize: [64, 96]}}
trainsize: [64, 96]
hmsize: [16, 24]
"""
    )
    task = Task(load_config(tmp_path / "own.yml"))
    (batch,) = task.reader("TrainReader").batches(task.dataset("TrainDataset"), workers=0)
    assert batch["image"].shape == [4, 3, 96, 64]
    assert batch["heatmaps"].shape == [4, 17, 24, 16]
    (tmp_path / "wrong.yml").write_text((tmp_path / "own.yml").read_text().replace("published", "official"))
    with pytest.raises(
        ConfigError, match="half_body_choice: got 'official', expected one of fair, published"
    ):
        load_config(tmp_path / "wrong.yml")
