"""Poses of people in images: each as soon as it is done, and the same whoever is beside it."""

import numpy as np
import pytest

from ppose.engine.infer import infer_images
from ppose.engine.task import Task
from ppose.errors import ConfigError
from ppose.workspace import load_config

SIZES = ((60, 50), (90, 70), (40, 80), (64, 64), (50, 50))
BOXES = ([[5, 5, 30, 40], [1, 2, 30, 30], [4, 4, 20, 20]], [], None, [[0, 0, 60, 60]], [])


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
    boxes = [None if b is None else np.array(b, np.float64).reshape(-1, 4) for b in BOXES]
    return list(zip(images, boxes, strict=True))


def test_images_do_not_depend_on_each_other(make_task, network, scenes):
    together = list(infer_images(make_task(2), network, scenes))
    assert [len(poses) for poses, _ in together] == [3, 0, 1, 1, 0]
    for scene, (poses, boxes) in zip(scenes, together, strict=True):
        ((alone, _),) = infer_images(make_task(1), network, [scene])
        np.testing.assert_allclose(poses, alone, atol=1e-3)
        assert boxes is scene[1]


def test_no_more_images_are_read_than_a_batch(make_task, network, scenes):
    taken = []

    def take():
        for number, scene in enumerate(scenes):
            taken.append(number)
            yield scene

    found = infer_images(make_task(2), network, take())
    for expected in ([0, 1], [0, 1], [0, 1, 2, 3]):
        next(found)
        assert taken == expected


def test_people_that_no_transform_cuts_out(network):
    """Where the image happens to be of the network's size."""
    overrides = ["trainsize=[64,64]", "hmsize=[16,16]", "TestReader.sample_transforms=[Decode]"]
    task = Task(load_config("configs/lite_hrnet_18_256x192_coco.yml", overrides))
    with pytest.raises(ConfigError, match="add TopDownEvalAffine"):
        next(infer_images(task, network, [(np.zeros((64, 64, 3), np.uint8), None)]))
