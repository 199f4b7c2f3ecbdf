"""Poses of people in images by the trained network: each as soon as it is done, whoever is beside it."""

import numpy as np
import paddle
import pytest

import ppose
from ppose.engine.network_runtime import network_predictor
from ppose.engine.static_network import StaticNetwork
from ppose.engine.task import Task
from ppose.errors import CheckpointError, ConfigError
from ppose.workspace import load_config

SIZES = ((60, 50), (90, 70), (40, 80), (64, 64), (50, 50))
BOXES = ([[5, 5, 35, 45], [1, 2, 31, 32], [4, 4, 24, 24]], [], None, [[0, 0, 60, 60]], [])


@pytest.fixture(scope="module")
def make_task():
    small = ["trainsize=[64,64]", "hmsize=[16,16]", "LiteHRNet.network_type=lite_8"]
    config = "configs/lite_hrnet_18_256x192_coco.yml"
    return lambda batch_size: Task(load_config(config, [*small, f"TestReader.batch_size={batch_size}"]))


@pytest.fixture(scope="module")
def network(make_task):
    return make_task(1).model()


@pytest.fixture
def scenes():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (height, width, 3), np.uint8) for height, width in SIZES]
    return list(zip(images, BOXES, strict=True))


def test_images_do_not_depend_on_each_other(make_task, network, scenes):
    together = list(network_predictor(make_task(2), network).iter_poses(scenes))
    assert [len(poses) for _, poses in together] == [3, 0, 1, 1, 0]
    for scene, (its_scene, poses) in zip(scenes, together, strict=True):
        assert its_scene is scene
        for pose, alone in zip(poses, network_predictor(make_task(1), network)(*scene), strict=True):
            np.testing.assert_allclose(pose.keypoints, alone.keypoints, atol=1e-3)


@pytest.mark.parametrize(
    ("at_once", "reads"),
    [(None, ([0, 1], [0, 1], [0, 1, 2, 3])), (1, ([0], [0, 1], [0, 1, 2], [0, 1, 2, 3]))],
)
def test_no_more_images_are_read_than_a_batch(make_task, network, scenes, at_once, reads):
    """Also where nobody is in them, so that they would wait for ever for a batch to be full."""
    taken = []

    def take():
        for number, scene in enumerate(scenes):
            taken.append(number)
            yield scene

    found = network_predictor(make_task(2), network).iter_poses(take(), images_at_once=at_once)
    for expected in reads:
        next(found)
        assert taken == expected


def test_the_flip_test_is_done_where_the_config_asks_for_it(make_task, fill_weights, scenes):
    """In a network and in its static form; the mean of the image's and the mirror image's heatmaps."""
    task, (image, boxes) = make_task(4), scenes[0]
    network = fill_weights(task.model())
    plain, flipped = (network_predictor(task, network, flip=flip) for flip in (False, True))
    assert (plain.spec.flip_test, flipped.spec.flip_test) == (False, True)
    batch = plain.spec.make_batch(plain.spec.cut_out(image, boxes))
    mirror = {**batch, "image": np.ascontiguousarray(batch["image"][..., ::-1])}
    mirrored = plain.find_heatmaps(mirror)[..., ::-1][:, task.keypoint_set.flip_indices]
    shifted = np.concatenate([mirrored[..., :1], mirrored[..., :-1]], axis=-1)
    expected = (plain.find_heatmaps(batch) + shifted) / 2
    static = network_predictor(task, StaticNetwork(network, (64, 64)))
    for predictor in (flipped, static):
        np.testing.assert_allclose(predictor.find_heatmaps(batch), expected, atol=1e-3)
    assert np.abs(plain.find_heatmaps(batch) - expected).max() > 0.1


def test_people_that_no_transform_cuts_out(network):
    """Where the image happens to be of the network's size."""
    overrides = ["trainsize=[64,64]", "hmsize=[16,16]", "TestReader.sample_transforms=[Decode]"]
    task = Task(load_config("configs/lite_hrnet_18_256x192_coco.yml", overrides))
    with pytest.raises(ConfigError, match=r"TestReader: .*add TopDownEvalAffine"):
        network_predictor(task, network)(np.zeros((64, 64, 3), np.uint8))


def test_an_untrained_network_is_loaded_without_weights():
    small = ["trainsize=[64,64]", "hmsize=[16,16]", "LiteHRNet.network_type=lite_8", "weights=none.pdparams"]
    config = "configs/lite_hrnet_18_256x192_coco.yml"
    network = ppose.load_model(config, False, small)
    assert not network.training
    assert network(paddle.zeros([1, 3, 64, 64])).shape == [1, 17, 16, 16]
    with pytest.raises(CheckpointError, match=r"none\.pdparams"):
        ppose.load_model(config, None, small)
