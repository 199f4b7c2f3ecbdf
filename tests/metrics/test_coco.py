"""The COCO metric against pycocotools' published example and its own definition."""

import copy
import json

import numpy as np
import pytest
from coco_judge import METRIC_NAMES, disturb, judge

from ppose.annotations import read_annotations
from ppose.errors import ConfigError, DataError
from ppose.keypoints import get_keypoint_set, make_keypoint_set
from ppose.metrics import CocoKeypointMetric, evaluate_results, format_table
from ppose.metrics.coco_evaluation import make_truth

COCO17 = get_keypoint_set("coco17")
ZERO = dict.fromkeys(METRIC_NAMES, 0.0)


def _annotations(keypoint_set, people=6, seed=0):
    rng = np.random.default_rng(seed)
    count = keypoint_set.num_keypoints
    annotations = []
    for n in range(people):
        side = 60 if n % 2 else 150  # medium and large
        points = np.concatenate([rng.uniform(0, side, (count, 2)), np.full((count, 1), 2)], axis=1)
        annotations.append(
            {
                "id": n,  # from 0 on, as own data often has it
                "image_id": 10 + n // 2,
                "category_id": 1,
                "iscrowd": 0,
                "bbox": [0, 0, side, side],
                "area": side * side * 0.7,
                "num_keypoints": count,
                "keypoints": points.ravel().tolist(),
            }
        )
    images = [{"id": 10 + n, "file_name": f"{n}.jpg"} for n in range((people + 1) // 2)]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}


def _feed(metric, annotations, *, noise=0.0, batch=4):
    people = annotations["annotations"]
    points = np.array([p["keypoints"] for p in people]).reshape(len(people), -1, 3)[..., :2]
    points = points + np.random.default_rng(1).normal(0, 1, points.shape) * noise
    for start in range(0, len(people), batch):
        part = slice(start, start + batch)
        metric.update(
            points[part],
            np.full(points[part].shape[:2], 0.8, np.float32),
            image_id=np.array([p["image_id"] for p in people[part]]),
            area=np.array([p["area"] for p in people[part]]),
            bbox_score=np.ones(len(people[part])),
        )


def test_the_published_example_to_the_third_decimal(reference, capsys):
    folder = reference / "reference/evaluators/coco100"
    results = json.loads((folder / "person_keypoints_val2014_fakekeypoints100_results.json").read_bytes())
    file = folder / "person_keypoints_val2014_first100_rebuilt.json"
    truth = read_annotations(file, COCO17)
    before = copy.deepcopy(results)
    found = evaluate_results(truth, results, COCO17)
    section = (folder / "val2014_fake_eval_res.txt").read_text().split("type=keypoints")[1]
    published = [float(line.rsplit("=", 1)[1]) for line in section.splitlines() if "Average" in line]
    assert list(found) == list(METRIC_NAMES)
    assert [f"{value:.3f}" for value in found.values()] == [f"{value:.3f}" for value in published]
    assert results == before
    assert capsys.readouterr().out == ""
    assert evaluate_results(truth, results, COCO17) == found
    assert judge(json.loads(file.read_bytes()), results, COCO17.sigmas) == found


@pytest.mark.parametrize("sigmas", ["coco17", "own"])
@pytest.mark.parametrize("seed", range(3))
def test_numbers_are_those_of_pycocotools_to_the_last_digit(reference, seed, sigmas):
    """Real annotations: crowds, people without keypoints, ties of scores, areas at the edges of a size."""
    content = json.loads((reference / "data/coco_dev/annotations/person_keypoints.json").read_bytes())
    people = content["annotations"]
    rng = np.random.default_rng(seed)
    for area in (32**2, 96**2):
        for row in rng.choice(len(people), 20):
            people[row]["area"] = area
    for row in rng.choice(len(people), 20):  # who counts, the file says
        people[row]["num_keypoints"] = 0
    results = disturb(content, seed)
    keypoint_set = COCO17
    if sigmas == "own":
        keypoint_set = make_keypoint_set(
            "own", COCO17.names, COCO17.flip_pairs, sigmas=rng.uniform(0.01, 0.2, 17).tolist()
        )
    found = evaluate_results(read_annotations(content, keypoint_set), results, keypoint_set)
    assert 0.05 < found["AP"] < 0.9
    assert found == judge(content, results, keypoint_set.sigmas)


def test_the_published_example_through_the_metric(reference):
    """Fed one by one, without NMS and rescoring, the same people give the same numbers."""
    folder = reference / "reference/evaluators/coco100"
    annotations = folder / "person_keypoints_val2014_first100_rebuilt.json"
    results = json.loads((folder / "person_keypoints_val2014_fakekeypoints100_results.json").read_bytes())
    metric = CocoKeypointMetric(annotations, COCO17, nms=None, rescore=False)
    points = np.array([r["keypoints"] for r in results]).reshape(-1, 17, 3)
    metric.update(
        points[..., :2],
        points[..., 2],
        image_id=np.array([r["image_id"] for r in results]),
        area=np.ones(len(results)),
        bbox_score=np.array([r["score"] for r in results]),
    )
    found = metric.compute()
    assert f"{found['AP']:.3f} {found['AR']:.3f}" == "0.372 0.514"


def test_truth_itself_is_perfect_and_noise_is_not():
    annotations = _annotations(COCO17)
    metric = CocoKeypointMetric(annotations, COCO17)
    _feed(metric, annotations)
    assert metric.compute() == pytest.approx(dict.fromkeys(METRIC_NAMES, 1.0))
    metric.reset()
    assert metric.results() == []
    _feed(metric, annotations, noise=8)
    assert 0 < metric.compute()["AP"] < 0.9


def test_the_sets_own_sigmas_and_count_are_used():
    """The same relative error costs a set of small sigmas more."""
    names = [f"k{n}" for n in range(5)]
    found = []
    for sigma in (0.2, 0.02):
        own = make_keypoint_set("own", names, [], sigmas=[sigma] * 5)
        annotations = _annotations(own)
        metric = CocoKeypointMetric(annotations, own)
        _feed(metric, annotations, noise=4)
        found.append(metric.compute()["AP"])
    assert found[0] > 0.9 > 0.3 > found[1]


def test_no_result_gives_zero():
    metric = CocoKeypointMetric(_annotations(COCO17), COCO17)
    assert metric.compute() == ZERO
    metric.update(np.zeros((0, 17, 2)), np.zeros((0, 17)), np.zeros(0, int), np.zeros(0), np.zeros(0))
    assert metric.compute() == ZERO


def test_a_size_that_nobody_has_is_minus_one_and_a_dash():
    annotations = _annotations(COCO17, people=1)
    metric = CocoKeypointMetric(annotations, COCO17)
    _feed(metric, annotations)
    found = metric.compute()
    assert (found["APm"], found["APl"]) == (-1, pytest.approx(1))
    lines = format_table(found, "boxes: own boxes").splitlines()
    assert lines[0] == "boxes: own boxes"
    assert dict(zip(lines[1].split(), lines[2].split(), strict=True)) == {
        **dict.fromkeys(METRIC_NAMES, "1.0000"),
        "APm": "-",
        "ARm": "-",
    }


def test_person_score_is_the_boxes_times_the_mean_of_the_seen_keypoints():
    scores = np.array([[0.9, 0.5, 0.2, 0.1], [0.1, 0.2, 0.0, 0.1]])
    own = make_keypoint_set("own", ["a", "b", "c", "d"], [])
    points = np.array([np.zeros((4, 2)), np.full((4, 2), 500)])
    people = {"image_id": np.array([3, 3]), "area": np.full(2, 100.0), "bbox_score": np.array([0.5, 0.9])}
    metric = CocoKeypointMetric(None, own, visible_threshold=0.2)
    metric.update(points, scores, **people)
    first, second = metric.results()
    assert first["score"] == pytest.approx(0.5 * (0.9 + 0.5) / 2)
    assert second["score"] == 0
    assert first["keypoints"] == [0, 0, 0.9, 0, 0, 0.5, 0, 0, 0.2, 0, 0, 0.1]
    assert (first["image_id"], first["category_id"]) == (3, 1)
    plain = CocoKeypointMetric(None, own, rescore=False)
    plain.update(points, scores, **people)
    assert [p["score"] for p in plain.results()] == [0.9, 0.5]


@pytest.mark.parametrize(("nms", "left"), [("oks", 3), ("soft_oks", 4), (None, 4)])
def test_doubles_go_within_an_image_only(nms, left):
    own = make_keypoint_set("own", ["a", "b"], [])
    metric = CocoKeypointMetric(None, own, nms=nms)
    for image_id, x, score in ((7, 0.0, 0.5), (2, 0.0, 0.6), (7, 0.1, 0.9), (7, 300.0, 0.2)):
        metric.update(
            np.full((1, 2, 2), x),
            np.ones((1, 2)),
            np.array([image_id]),
            np.array([900.0]),
            np.array([score]),
        )
    results = metric.results()
    assert len(results) == left
    assert [r["image_id"] for r in results] == [2] + [7] * (left - 1)
    assert {0.9, 0.2, 0.6} <= {r["score"] for r in results}
    assert (0.5 in {r["score"] for r in results}) == (nms != "oks")


def test_results_are_written_whole_without_annotations(tmp_path):
    annotations = _annotations(COCO17)
    metric = CocoKeypointMetric(None, COCO17)
    _feed(metric, annotations)
    metric.write_results(tmp_path / "deep" / "results.json")
    written = json.loads((tmp_path / "deep" / "results.json").read_text())
    assert written == metric.results()
    assert {type(r["image_id"]) for r in written} == {int}
    assert [f.name for f in (tmp_path / "deep").iterdir()] == ["results.json"]
    with pytest.raises(DataError, match="no annotations"):
        metric.compute()


def test_what_other_datasets_leave_out_is_filled_in():
    complete = _annotations(COCO17)
    spare = copy.deepcopy(complete)
    for person in spare["annotations"]:
        for key in ("iscrowd", "num_keypoints", "category_id", "area"):
            del person[key]
    spare["annotations"][0].pop("keypoints")
    del spare["categories"]
    before = copy.deepcopy(spare)
    metric = CocoKeypointMetric(spare, COCO17)
    _feed(metric, complete)
    assert metric.compute()["AR"] == pytest.approx(1)
    assert spare == before
    truth = make_truth(read_annotations(spare, COCO17))
    assert truth.areas[1] == pytest.approx(60 * 60 * 0.53)
    assert truth.ignored.tolist() == [True] + 5 * [False]


def test_not_finite_keypoints_count_as_not_found(caplog):
    metric = CocoKeypointMetric(None, COCO17)
    scores = np.full((1, 17), 0.5)
    scores[0, 3] = np.nan
    metric.update(np.ones((1, 17, 2)), scores, np.array([1]), np.array([9.0]), np.ones(1))
    (person,) = metric.results()
    assert person["keypoints"][9:12] == [0, 0, 0]
    assert person["score"] == 0.5
    assert "1 of 17 keypoints are not finite" in caplog.text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"images": [], "annotations": []}', "no annotation has keypoints"),
        ('{"images": [], "annotations": [{"bbox": [0, 0, 1, 1]}]}', "no annotation has keypoints"),
        ('{"annotations": []}', "no list 'images'"),
        ("[1]", "no list 'images'"),
        ("{", "not a JSON file"),
        (
            '{"images": [{"id": 1, "file_name": "a.jpg"}], '
            '"annotations": [{"id": 4, "image_id": 1, "bbox": [], "keypoints": [1, 2, 2]}]}',
            "annotation 4 has 1 keypoints, the keypoint set 'coco17' has 17",
        ),
        (
            '{"images": [], "annotations": [{"id": 4, "bbox": [0, 0, 1, 1], "keypoints": [1, 2, 2]}]}',
            "annotation 4: has no image_id",
        ),
    ],
)
def test_a_useless_annotation_file_is_named_with_its_fault(tmp_path, content, words):
    path = tmp_path / "instances.json"
    path.write_text(content)
    with pytest.raises(DataError) as error:
        CocoKeypointMetric(path, COCO17)
    assert words in str(error.value)
    assert str(path) in str(error.value)


def test_other_mistakes_are_named():
    with pytest.raises(DataError, match="annotation file not found"):
        CocoKeypointMetric("nowhere.json", COCO17)
    with pytest.raises(ConfigError, match="expected oks, soft_oks or None"):
        CocoKeypointMetric(None, COCO17, nms="hard")
    with pytest.raises(ConfigError, match="oks_threshold is 0"):
        CocoKeypointMetric(None, COCO17, oks_threshold=0)
    metric = CocoKeypointMetric(_annotations(COCO17), COCO17)
    with pytest.raises(ConfigError, match=r"expected \(N, 17, 2\)"):
        metric.update(np.zeros((1, 16, 2)), np.zeros((1, 16)), np.zeros(1), np.zeros(1), np.zeros(1))
    metric.update(np.zeros((1, 17, 2)), np.ones((1, 17)), np.array([99]), np.ones(1), np.ones(1))
    with pytest.raises(DataError, match="such as 99"):
        metric.compute()
