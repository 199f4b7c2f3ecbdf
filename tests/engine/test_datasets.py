"""Every dataset with a config: on a small file of its kind, the truth as prediction is all right."""

import json

import numpy as np
import pytest

from ppose.engine.evaluate import update_metric
from ppose.engine.task import Task
from ppose.errors import DataError
from ppose.workspace import load_config

PARTS = {"foot": 6, "face": 68, "lefthand": 21, "righthand": 21}


def edit(folder, change):
    file = folder / "annotations.json"
    content = json.loads(file.read_text())
    for image in content["images"]:
        image["crowdIndex"] = 0.1 * image["id"] ** 2
    for person in content["annotations"]:
        change(person)
    file.write_text(json.dumps(content))


def to_whole_body(person):
    """Take the 133 keypoints apart, as COCO-WholeBody's files have them; the last person has a bad hand."""
    values, start = person["keypoints"], 3 * 17
    person["keypoints"], person["num_keypoints"] = values[:start], 17
    for part, count in PARTS.items():
        person[f"{part}_kpts"] = values[start : start + 3 * count]
        person[f"{part}_valid"] = not (person["id"] == 31 and part == "righthand")
        if part != "foot":
            person[f"{part}_box"] = person["bbox"]
        start += 3 * count


def open_dataset(name, folder):
    changes = [
        f"EvalDataset.{key}={value}"
        for key, value in (
            ("dataset_dir", folder),
            ("image_dir", "images"),
            ("anno_path", "annotations.json"),
        )
    ]
    task = Task(load_config(f"configs/{name}.yml", changes))
    return task, task.dataset("EvalDataset")


def evaluate_truth(task, dataset):
    metric = task.metric(dataset)
    samples = [dataset[index] for index in range(len(dataset))]
    points = np.stack([sample["keypoints"] for sample in samples])
    update_metric(metric, dataset, np.arange(len(dataset)), points, np.full(points.shape[:2], 0.9))
    return metric.compute()


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("hrnet_w32_256x192", 17),
        ("hrnet_w32_256x192_ochuman", 17),
        ("hrnet_w32_256x192_crowdpose", 14),
        ("hrnet_w32_256x192_posetrack18", 17),
        ("hrnet_w32_256x192_aic", 14),
        ("hrnet_w32_256x192_halpe26", 26),
    ],
)
def test_people(write_coco, tmp_path, name, count):
    folder = write_coco(tmp_path / "data", keypoints=count)
    edit(folder, lambda person: None)
    task, dataset = open_dataset(name, folder)
    assert len(dataset) == 6
    found = evaluate_truth(task, dataset)
    assert [found[name] for name in task.settings.headline[:2]] == [1.0, 1.0]


def test_posetrack18s_own_people(reference):
    changes = [
        f"EvalDataset.dataset_dir={reference / 'data' / 'posetrack18'}",
        "EvalDataset.anno_path=annotations/test_posetrack18_val.json",
    ]
    task = Task(load_config("configs/hrnet_w32_256x192_posetrack18.yml", changes))
    dataset = task.dataset("EvalDataset")
    assert dataset[0]["image"].shape[2] == 3
    assert evaluate_truth(task, dataset)["AP"] == 1


def test_halpes_body_is_the_first_of_its_keypoints(write_coco, tmp_path):
    folder = write_coco(tmp_path / "data", keypoints=136)
    edit(folder, lambda person: None)
    task, dataset = open_dataset("hrnet_w32_256x192_halpe26", folder)
    person = json.loads((folder / "annotations.json").read_text())["annotations"][0]
    np.testing.assert_allclose(
        dataset[0]["keypoints"].ravel()[:4], np.delete(person["keypoints"][:6], [2, 5])
    )
    assert dataset[0]["keypoints"].shape == (26, 2)
    assert evaluate_truth(task, dataset)["AP"] == 1


@pytest.mark.parametrize(
    ("name", "count", "samples"),
    [
        ("hrnet_w32_256x192_wholebody", 133, 6),
        ("hrnet_w32_256x256_face", 68, 6),
        ("tinypose_256x256_hand", 21, 11),
    ],
)
def test_whole_bodies_and_their_parts(write_coco, tmp_path, name, count, samples):
    folder = write_coco(tmp_path / "data", keypoints=133)
    edit(folder, to_whole_body)
    task, dataset = open_dataset(name, folder)
    assert len(dataset) == samples
    assert dataset[0]["keypoints"].shape == (count, 2)
    found = evaluate_truth(task, dataset)
    if "hand" in name:
        assert found == {"PCK": 1.0, "AUC": pytest.approx(0.95), "EPE": 0.0}
    else:
        assert found["AP"] == 1
    first = json.loads((folder / "annotations.json").read_text())["annotations"][0]
    part = {133: "keypoints", 68: "face_kpts", 21: "lefthand_kpts"}[count]
    np.testing.assert_allclose(dataset[0]["keypoints"][0], first[part][:2])


def test_hands_that_are_off(write_coco, tmp_path):
    """By hand: the boxes are 90 high, so 0.2 of them is 18 pixels; 15.1 pixels is over half of AUC's 30."""
    folder = write_coco(tmp_path / "data", keypoints=133)
    edit(folder, to_whole_body)
    task, dataset = open_dataset("tinypose_256x256_hand", folder)
    metric = task.metric(dataset)
    points = np.stack([dataset[index]["keypoints"] for index in range(len(dataset))])
    points[:, ::2] += [0, 15.1]  # 11 of 21
    points[:, 1] += [20.0, 0]
    update_metric(metric, dataset, np.arange(len(dataset)), points, np.full(points.shape[:2], 0.9))
    found = metric.compute()
    assert found["PCK"] == pytest.approx(20 / 21)
    assert found["EPE"] == pytest.approx((11 * 15.1 + 20) / 21)
    # Below 30 i / 20 for i from 0: 15.1 from i = 11 on, 20 from 14 on, 0 from 1 on.
    assert found["AUC"] == pytest.approx((11 * 9 + 6 + 9 * 19) / 21 / 20)


@pytest.mark.parametrize("name", ["hrnet_w32_256x192_wholebody", "tinypose_256x256_hand"])
def test_another_file_than_whole_bodies(coco_folder, name):
    with pytest.raises(
        DataError, match=r"annotations\.json: annotation 10: has no \w+_kpts; is it a COCO-Whole"
    ):
        open_dataset(name, coco_folder)


def test_the_published_hand_config_builds_and_trains(reference, write_coco, tmp_path):
    folder = write_coco(tmp_path / "data", keypoints=133)
    edit(folder, to_whole_body)
    data = {"dataset_dir": folder, "image_dir": "images", "anno_path": "annotations.json"}
    changes = [f"{key}Dataset.{name}={value}" for key in ("Train", "Eval") for name, value in data.items()]
    file = reference / "reference/configs/paddledetection/tinypose_256x256_hand.yml"
    task = Task(load_config(file, changes))
    assert task.keypoint_set.name == "hand21"
    dataset = task.dataset("TrainDataset")
    batch = next(iter(task.reader("TrainReader").batches(dataset, workers=0)))
    assert batch["image"].shape == [11, 3, 256, 256]
    assert batch["heatmaps"].shape == [11, 21, 64, 64]
    assert task.model().final_conv.weight.shape[0] == 21
    assert evaluate_truth(task, task.dataset("EvalDataset"))["PCK"] == 1
