"""A config as objects: the parts agree, and what goes in comes out at the same place of the image."""

import numpy as np
import pytest

from ppose.engine.task import Task
from ppose.errors import ConfigError
from ppose.geometry import invert_warp, transform_points
from ppose.workspace import load_config

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
