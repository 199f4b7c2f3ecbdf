"""A config as objects: the parts agree, and what goes in comes out at the same place of the image."""

import numpy as np
import paddle
import pytest
from paddle import nn

from ppose.codecs import UDPHeatmap
from ppose.engine.task import Task
from ppose.engine.train import make_evaluation
from ppose.errors import ConfigError
from ppose.geometry import invert_warp, transform_points
from ppose.models import Backbone, Loss
from ppose.workspace import load_config, register

CONFIG = "configs/hrnet_w32_256x192.yml"


@pytest.fixture
def data(coco_folder):
    return [
        f"TrainDataset.dataset_dir={coco_folder}", "TrainDataset.image_dir=images",
        "TrainDataset.anno_path=annotations.json", "worker_num=0", "TrainReader.batch_size=3",
    ]  # fmt: skip


TARGETS = "TrainReader.sample_transforms.2={%s: {hmsize: [48, 64], sigma: 2}}"


@pytest.mark.parametrize(
    ("target", "use_udp", "bound"),
    [
        ("ToHeatmapsTopDown", False, 2.9),
        ("ToHeatmapsTopDown_DARK", False, 0.02),
        ("ToHeatmapsTopDown_UDP", True, 0.02),
    ],
)
def test_targets_decode_to_the_annotated_keypoints(data, target, use_udp, bound):
    """Through flip, scale, rotation, warp, encoding, decoding and the way back; bound in input pixels."""
    overrides = [*data, TARGETS % target, f"use_udp={use_udp}", "TopDownHRNet.use_dark=true"]
    task = Task(load_config(CONFIG, overrides))
    dataset = task.dataset("TrainDataset")
    flips = 0
    for batch in task.reader("TrainReader").batches(dataset, workers=2):
        warp = batch["warp"].numpy()
        keypoints, scores = task.codec.decode(batch["heatmaps"].numpy())
        in_image = transform_points(keypoints, invert_warp(warp))
        inside = (keypoints > 32) & (keypoints < np.array([192, 256]) - 32)  # the blur sees no border
        for person, index in enumerate(batch["index"].numpy()):
            flipped = np.linalg.det(warp[person, :, :2]) < 0
            flips += flipped
            order = task.keypoint_set.flip_indices if flipped else slice(None)
            expected = dataset[index]["keypoints"][order]
            seen = inside[person].all(axis=1) & (scores[person] > 0.5)
            assert seen.any()
            scale = np.sqrt(abs(np.linalg.det(warp[person, :, :2])))
            distance = np.linalg.norm(in_image[person] - expected, axis=1)[seen] * scale
            assert distance.max() < bound
    assert 0 < flips < 6


def test_the_codec_is_the_targets(data):
    plain = Task(load_config(CONFIG, ["TopDownHRNet.use_dark=true", *data]))
    assert plain.codec.use_dark
    assert not plain.codec.unbiased
    assert plain.shifts_heatmap
    udp = Task(load_config(CONFIG, [TARGETS % "ToHeatmapsTopDown_UDP", "TopDownHRNet.use_dark=true"]))
    assert type(udp.codec).__name__ == "UDPHeatmap"
    assert not udp.shifts_heatmap
    with pytest.raises(ConfigError, match="use_dark: true"):
        _ = Task(load_config(CONFIG, [TARGETS % "ToHeatmapsTopDown_UDP"])).codec


UDP = "codec={UDPHeatmap: {input_size: [192, 256], heatmap_size: [48, 64], sigma: 3}}"


def test_a_config_without_training_says_how_heatmaps_are_decoded():
    """A UDP warp alone does not: PP-TinyPose has one with DARK's targets."""
    cfg = load_config(CONFIG, ["use_udp=true", "TopDownHRNet.use_dark=null"])
    del cfg["TrainReader"]
    with pytest.raises(ConfigError, match="set codec to one of MSRAHeatmap, UDPHeatmap"):
        Task(cfg)
    cfg["codec"] = load_config(CONFIG, [UDP])["codec"]
    task = Task(cfg)
    assert task.codec == UDPHeatmap((192, 256), (48, 64), 3)
    assert not task.shifts_heatmap
    del cfg["codec"]
    cfg["EvalReader"]["sample_transforms"].append({"ToHeatmapsTopDown_UDP": {"hmsize": [48, 64]}})
    assert Task(cfg).codec == UDPHeatmap((192, 256), (48, 64))


def test_targets_are_the_configs_own_codecs(data):
    own = ["TrainReader.sample_transforms.2=EncodeHeatmaps", "TopDownHRNet.use_dark=null"]
    task = Task(load_config(CONFIG, [*data, *own, UDP, "use_udp=true"]))
    assert task.reader("TrainReader").sample_transforms[-1].codec is task.codec
    (batch, *_) = task.reader("TrainReader").batches(task.dataset("TrainDataset"), workers=0)
    _, scores = task.codec.decode(batch["heatmaps"].numpy())
    assert scores.max() > 0.9
    plain = Task(load_config(CONFIG, [*data, "TopDownHRNet.use_dark=false", UDP.replace("UDP", "MSRA")]))
    assert plain.codec.sigma == 3
    assert not plain.codec.use_dark
    with pytest.raises(ConfigError, match=r"codec is for trainsize \[96, 128\], but .* is \[192, 256\]"):
        Task(load_config(CONFIG, [UDP.replace("192, 256", "96, 128"), "TopDownHRNet.use_dark=null"]))
    with pytest.raises(ConfigError, match=r"UDPHeatmap.input_size: got \[192\], expected \[int, int\]"):
        load_config(CONFIG, [UDP.replace("192, 256", "192")])


def test_the_network_says_how_large_heatmaps_are():
    """Its second branch has stride 8."""
    branch = ["HRNet.return_idx=[1]", "HRNet.width=8", "TopDownHRNet.width=16"]
    task = Task(load_config(CONFIG, ["hmsize=[24,32]", *branch]))
    model = task.model()
    assert model.stride == 8
    assert model(paddle.zeros([1, 3, 256, 192])).shape == [1, 17, *task.codec.heatmap_size[::-1]]
    with pytest.raises(
        ConfigError, match=r"hmsize \[48, 64\]; .* multiples of 32 .* heatmaps of 1/8 of the size"
    ):
        Task(load_config(CONFIG, branch)).model()


@register(Backbone)
class Sixteenth(nn.Conv2D):
    """Somebody else's backbone, of stride 16."""

    out_channels, strides, input_multiple = [5], [16], 16

    def __init__(self):
        super().__init__(3, 5, 16, stride=16)

    def forward(self, image):
        return [super().forward(image)]


@register(Loss)
class Furthest:
    """Somebody else's loss."""

    def __call__(self, heatmaps, target, target_weight):
        return (heatmaps - target).abs().max()


def test_components_of_others_are_built_as_ours_are():
    own = ["TopDownHRNet.backbone=Sixteenth", "TopDownHRNet.width=5", "TopDownHRNet.loss=Furthest"]
    task = Task(load_config(CONFIG, [*own, "trainsize=[176,240]", "hmsize=[11,15]"]))
    heatmaps = task.model()(paddle.zeros([2, 3, 240, 176]))
    assert heatmaps.shape == [2, 17, 15, 11]
    assert task.loss()(heatmaps, heatmaps + 3, paddle.ones([2, 17, 1])) == 3
    with pytest.raises(ConfigError, match="got Furthest, which is no backbone"):
        load_config(CONFIG, ["TopDownHRNet.backbone=Furthest"])


def test_a_metric_of_the_config(data, coco_folder):
    evaluated = [text.replace("TrainDataset", "EvalDataset") for text in data]
    task = Task(load_config(CONFIG, [*evaluated, "+KeyPointTopDownCOCOEval.rescore=false"]))
    dataset = task.dataset("EvalDataset")
    assert task.dataset("EvalDataset") is dataset  # read once, and its report said once
    metric = task.metric(dataset)
    points = np.stack([dataset[i]["keypoints"] for i in range(len(dataset))])
    scores, columns = np.full(points.shape[:2], 0.5), (dataset.image_ids, dataset.areas, dataset.bbox_scores)
    metric.update(points, scores, *columns)
    assert metric.compute()["AP"] == 1
    assert metric.results()[0]["score"] == 1  # the box's alone
    rescored = task.metric(dataset, annotations=None, rescore=True)
    rescored.update(points, scores, *columns)
    assert rescored.results()[0]["score"] == 0.5
    with pytest.raises(ConfigError, match="KeyPointTopDownCOCOEval has no option sharpness"):
        task.metric(dataset, sharpness=3)


def test_training_evaluates_by_the_configs_metric_or_not_at_all(data, tmp_path):
    evaluated = [text.replace("TrainDataset", "EvalDataset") for text in data]
    cfg = load_config(CONFIG, [*data, *evaluated, "metric=KeyPointTopDownMPIIEval"])
    with pytest.raises(ConfigError, match="is for MPII's people: !KeypointTopDownMPIIDataset"):
        make_evaluation(Task(cfg), tmp_path)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            ["EvalReader.sample_transforms.TopDownAffine.trainsize=[288,384]"],
            "EvalReader, TopDownAffine: trainsize",
        ),
        (["EvalDataset.trainsize=[96,128]"], "EvalDataset, KeypointTopDownCocoDataset: trainsize"),
        (["trainsize=[192]"], "expected \\[width, height\\]"),
        (["num_joints=16"], "the keypoint set 'coco17' has 17"),
        (["num_joints=5", "keypoint_set=null"], "which 5 keypoints\\?"),
        (["keypoint_set=coco16"], "did you mean 'coco17'\\?"),
        (["TopDownHRNet.flip_perm=[[1,3]]"], "TopDownHRNet.flip_perm is not the flip pairs"),
    ],
)
def test_parts_that_disagree_are_named(overrides, expected):
    with pytest.raises(ConfigError, match=expected):
        Task(load_config(CONFIG, overrides))


def test_the_flip_test_is_refused_for_what_has_no_mirror_image():
    changes = ["keypoint_set=tango11", "num_joints=11", "TopDownHRNet.num_joints=11"]
    with pytest.raises(ConfigError, match=r"TopDownHRNet.flip flips images; set it to false"):
        Task(load_config(CONFIG, [*changes, "+TopDownHRNet.flip=true"])).pose_spec()
    assert not Task(load_config(CONFIG, [*changes, "+TopDownHRNet.flip=false"])).pose_spec().flip_test
