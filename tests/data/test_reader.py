"""Batches: the same with any number of workers, random by (seed, epoch, index), errors as one line."""

import numpy as np
import pytest

from ppose.data import KeypointTopDownCocoDataset, Reader
from ppose.errors import DataError
from ppose.keypoints import get_keypoint_set
from ppose.transforms import NormalizeImage, Permute, RandomFlipHalfBodyTransform, TopDownAffine

COCO17 = get_keypoint_set("coco17")
SIZE = [48, 64]


def fresh(folder):
    return KeypointTopDownCocoDataset("images", "annotations.json", SIZE, COCO17, dataset_dir=str(folder))


@pytest.fixture
def dataset(coco_folder):
    return fresh(coco_folder)


def make_reader(**options):
    transforms = [RandomFlipHalfBodyTransform(SIZE, COCO17), TopDownAffine(SIZE, COCO17)]
    batch_transforms = [NormalizeImage([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]), Permute()]
    return Reader(transforms, batch_transforms, batch_size=4, **options)


def collect(batches):
    parts = [{key: value.numpy() for key, value in batch.items()} for batch in batches]
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def test_batches_do_not_depend_on_workers_and_vary_with_the_epoch(dataset):
    alone = make_reader().batches(dataset, workers=0)
    first = collect(alone)
    assert first["image"].shape == (6, 3, 64, 48)
    assert first["image"].dtype == np.float32
    assert first["index"].tolist() == list(range(6))
    with_workers = collect(make_reader().batches(dataset, workers=2))
    np.testing.assert_array_equal(first["image"], with_workers["image"])
    np.testing.assert_array_equal(first["warp"], with_workers["warp"])
    np.testing.assert_array_equal(first["image"], collect(alone)["image"])
    alone.epoch = 1
    assert not np.array_equal(first["warp"], collect(alone)["warp"])
    other_seed = collect(make_reader().batches(dataset, workers=0, seed=5))
    assert not np.array_equal(first["warp"], other_seed["warp"])


def test_examples_are_samples_of_the_first_epoch(dataset, coco_folder):
    batches = make_reader(shuffle=True, drop_last=True).batches(dataset, workers=0)
    straight = make_reader().batches(dataset, workers=0)
    expected = collect(straight)
    batches.epoch = 1
    second = collect(batches)
    examples = {key: value.numpy() for key, value in batches.examples(3).items()}
    assert examples["index"].tolist() == [0, 2, 4]
    for key, value in expected.items():
        np.testing.assert_array_equal(examples[key], value[[0, 2, 4]], err_msg=key)
    np.testing.assert_array_equal(collect(batches)["image"], second["image"])  # nothing else has changed
    assert batches.examples(100)["index"].tolist() == list(range(6))
    for file in (coco_folder / "images").iterdir():
        file.unlink()
    with pytest.raises(DataError, match="image not found"):
        make_reader().batches(fresh(coco_folder), workers=0).examples(2)


def test_drop_last_and_length(dataset):
    assert len(make_reader().batches(dataset, workers=0)) == 2
    assert len(make_reader(drop_last=True).batches(dataset, workers=0)) == 1


@pytest.mark.parametrize("workers", [0, 2])
def test_a_fault_of_the_code_is_an_error_and_no_hang(dataset, workers):
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        collect(Reader([lambda sample: 1 / 0]).batches(dataset, workers=workers))
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        collect(Reader([], [lambda batch: 1 / 0]).batches(dataset, workers=workers))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_corrupt_image_is_one_line_that_names_it(dataset, coco_folder, workers):
    file = coco_folder / "images" / "000000000003.jpg"
    file.write_bytes(file.read_bytes()[:900])
    with pytest.raises(DataError, match=r"^image is truncated: .*000000000003\.jpg \(900 bytes\)$"):
        collect(make_reader().batches(dataset, workers=workers))


class _Mute(Exception):
    def __str__(self):
        raise ValueError


def _raise(error):
    raise error


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (DataError("name \udcd6"), r"name \\udcd6"),
        (RuntimeError("name \udcd6"), r"name \\udcd6"),
        (_Mute(), "_Mute"),
        (type("MuteData", (_Mute, DataError), {})(), "MuteData without a text"),
        (SystemExit(3), "called exit: 3"),
    ],
)
def test_errors_without_a_text_that_can_be_sent_are_no_hang(dataset, workers, error, words):
    with pytest.raises((DataError, RuntimeError), match=words):
        collect(Reader([lambda sample: _raise(error)]).batches(dataset, workers=workers))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_of_the_order_is_no_hang(dataset, workers, monkeypatch):
    batches = make_reader(shuffle=True).batches(dataset, workers=workers)
    monkeypatch.setattr(np.random, "SeedSequence", lambda *_, **__: _raise(ZeroDivisionError("of the order")))
    with pytest.raises(RuntimeError, match="of the order"):
        collect(batches)
