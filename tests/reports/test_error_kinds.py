"""Errors that are planted are found as what they are; keypoints and thresholds are those of a loop."""

import json

import numpy as np
import pytest
from coco_judge import disturb

from ppose.annotations import read_annotations
from ppose.errors import DataError
from ppose.keypoints import get_keypoint_set
from ppose.metrics.coco_evaluation import Evaluation, make_truth
from ppose.metrics.oks import similarity
from ppose.reports.analysis import PCK_THRESHOLDS, analyse, calibrate, compare, count_overlapping
from ppose.reports.error_kinds import GOOD, INVERSION, JITTER, MISS, SWAP, UNKNOWN
from ppose.reports.results import read_results

COCO17 = get_keypoint_set("coco17")
SIGMAS = np.array(COCO17.sigmas)


def evaluate(content, results, tmp_path):
    (tmp_path / "results.json").write_text(json.dumps(results))
    annotations = read_annotations(content, COCO17)
    found = read_results(tmp_path / "results.json", annotations, COCO17)
    return Evaluation.of(found, make_truth(annotations), COCO17)


def plant(people, kind, rng, rate=0.25):
    """Keypoints (N, K, 2) of annotated people with errors of one kind, and where they are (N, K)."""
    points, labelled = people.keypoints.copy(), people.visibility > 0
    reach = np.sqrt(2 * people.areas[:, None]) * 2 * SIGMAS  # ks = exp(-(d / reach)^2)
    chosen = labelled & (rng.random(labelled.shape) < rate)
    if kind == JITTER:
        angle, near = rng.uniform(0, 2 * np.pi, labelled.shape), rng.uniform(0.55, 0.8, labelled.shape)
        points += (chosen * reach * np.sqrt(-np.log(near)))[..., None] * np.stack(
            [np.cos(angle), np.sin(angle)], axis=-1
        )
    elif kind == INVERSION:
        twins = np.arange(17)
        for a, b in COCO17.flip_pairs:
            twins[a], twins[b] = b, a
        chosen &= labelled[:, twins] & (twins != np.arange(17))
        points = np.where(chosen[..., None], people.keypoints[:, twins], points)
    elif kind == SWAP:
        other = np.arange(len(points)) // 3 * 3 + (np.arange(len(points)) + 1) % 3
        chosen &= labelled[other]
        points = np.where(chosen[..., None], people.keypoints[other], points)
    else:
        points[chosen] += [0, 2000]
    return points, chosen


@pytest.mark.parametrize("kind", [JITTER, INVERSION, SWAP, MISS])
def test_planted_errors_are_found_as_what_they_are(write_people, as_results, tmp_path, kind):
    content = write_people()
    people = read_annotations(content, COCO17).people
    points, planted = plant(people, kind, np.random.default_rng(kind))
    analysis = analyse(evaluate(content, as_results(content, points), tmp_path))
    assert planted.sum() > 200
    kept = analysis.partners == np.arange(len(points))  # who is swapped for the most part is somebody else
    assert kept.mean() > 0.97
    planted &= kept[:, None]
    assert (analysis.kinds[planted] == kind).mean() >= 0.95
    assert (analysis.kinds[(people.visibility > 0) & ~planted & kept[:, None]] == GOOD).mean() >= 0.95
    assert (analysis.kinds[(people.visibility == 0) & kept[:, None]] == UNKNOWN).all()
    costs = dict(zip(("jitter", "inversion", "swap", "miss"), list(analysis.costs.values())[:4], strict=True))
    own = list(costs)[kind - 1]
    assert costs.pop(own) == pytest.approx(1 - analysis.table["AP"], abs=0.02) != 0
    assert max(map(abs, costs.values())) < 0.01


@pytest.mark.parametrize("kind", [JITTER, INVERSION, MISS])
def test_planted_errors_in_real_annotations(reference, as_results, tmp_path, kind):
    """Only keypoints that the error puts away from where they belong: close twins are no error."""
    content = json.loads((reference / "data/coco_dev/annotations/person_keypoints.json").read_bytes())
    content["annotations"] = [
        a for a in content["annotations"] if a["num_keypoints"] >= 5 and not a["iscrowd"]
    ]
    people = read_annotations(content, COCO17).people
    points, planted = plant(people, kind, np.random.default_rng(kind), rate=0.1)
    own = similarity(((points - people.keypoints) ** 2).sum(axis=-1), people.areas, SIGMAS)
    planted &= own < (0.85 if kind == JITTER else 0.5)
    found = analyse(evaluate(content, as_results(content, points), tmp_path))
    # People whose twins stand in for each other's can change partners as a whole.
    kept = found.partners == np.arange(len(points))
    assert kept.mean() > 0.97
    planted &= kept[:, None]
    assert planted.sum() > 100
    assert (found.kinds[planted] == kind).mean() >= 0.95


def test_people_missed_and_found_where_nobody_is(write_people, as_results, tmp_path):
    content = write_people(images=10)
    results = as_results(content)
    ghosts = [
        {**r, "keypoints": (np.array(r["keypoints"]) + 3000).tolist(), "score": 0.95} for r in results[:8]
    ]
    costs = analyse(evaluate(content, results + ghosts, tmp_path)).costs
    assert costs.pop("nobody there") > 0.05
    assert costs.pop("order of scores") > 0.05  # ghosts come last then
    assert max(map(abs, costs.values())) < 1e-9
    costs = analyse(evaluate(content, results[:20], tmp_path)).costs
    assert costs.pop("people missed") == pytest.approx(1 / 3, abs=0.01)
    assert max(map(abs, costs.values())) < 1e-9


def test_nobody_found_and_nobody_to_be_found(write_people, tmp_path):
    content = write_people(images=2)
    analysis = analyse(evaluate(content, [], tmp_path))
    assert analysis.table["AP"] == analysis.table["AR"] == 0
    assert calibrate(analysis.evaluation) is None
    assert np.isnan(analysis.pck()).all()


def test_groups_hold_everybody_once(write_people, as_results, tmp_path):
    content = write_people(images=8)
    # An eighth of each image is small and found badly.
    for person in content["annotations"][::3]:
        person["area"] = 40**2
    results = as_results(content)
    results[0]["keypoints"] = (np.array(results[0]["keypoints"]) + 15).tolist()
    groups = analyse(evaluate(content, results, tmp_path)).groups
    for members in groups.values():
        assert sum(count for *_, count in members.values()) == 24
    sizes = groups["size (square root of the area)"]
    assert sizes["32 to 64 px"][0] < 1
    assert sizes["from 192 px"] == (1, 1, 16)
    (crowding,) = [members for name, members in groups.items() if "overlaps" in name]
    assert crowding == {"nobody": (pytest.approx(crowding["nobody"][0]), pytest.approx(23 / 24), 24)}


def test_overlapping_boxes_are_counted_by_a_loop(reference):
    path = reference / "data/coco_dev/annotations/person_keypoints.json"
    truth = make_truth(read_annotations(path, COCO17))
    counts = np.zeros(len(truth.images), int)
    for i, (x, y, w, h) in enumerate(truth.bboxes_xywh):
        for j, (a, b, c, d) in enumerate(truth.bboxes_xywh):
            if i != j and truth.images[i] == truth.images[j]:
                common = max(0, min(x + w, a + c) - max(x, a)) * max(0, min(y + h, b + d) - max(y, b))
                counts[i] += common > 0.1 * (w * h + c * d - common)
    assert counts.max() > 2
    np.testing.assert_array_equal(count_overlapping(truth), counts)


def test_keypoints_by_a_loop(reference, tmp_path):
    content = json.loads((reference / "data/coco_dev/annotations/person_keypoints.json").read_bytes())
    analysis = analyse(evaluate(content, disturb(content, 2), tmp_path))
    truth, found = analysis.evaluation.truth, analysis.evaluation.found
    near, far = [], []
    for row in np.flatnonzero(analysis.partners >= 0):
        true = analysis.partners[row]
        if truth.labelled[true, 5]:
            far.append(np.linalg.norm(found.keypoints[row, 5] - truth.keypoints[true, 5]))
            near.append(np.exp(-(far[-1] ** 2) / (2 * truth.areas[true] * (2 * SIGMAS[5]) ** 2)))
            far[-1] /= truth.bboxes_xywh[true, 2:].max()
    mean, shares = analysis.similarity()
    assert mean[5] == pytest.approx(np.mean(near))
    assert shares[30, 5] == np.mean(np.array(near) >= 0.5)
    assert analysis.pck()[20, 5] == np.mean(np.array(far) <= PCK_THRESHOLDS[20])


def test_the_best_threshold_is_a_loops(reference, tmp_path):
    content = json.loads((reference / "data/coco_dev/annotations/person_keypoints.json").read_bytes())
    evaluation = evaluate(content, disturb(content, 1), tmp_path)
    found = calibrate(evaluation)
    outcome = evaluation.outcome()
    values = {}
    for threshold in np.unique(outcome.scores):
        right = (outcome.right[:, 0] & (outcome.scores >= threshold)).sum()
        wrong = (outcome.wrong[:, 0] & (outcome.scores >= threshold)).sum()
        values[threshold] = 2 * right / (right + wrong + outcome.positives.sum())
    assert found.threshold == max(values, key=values.__getitem__)
    assert found.f1 == pytest.approx(max(values.values()))


def test_two_runs_are_compared_by_resampling(write_people, as_results, tmp_path):
    content = write_people()
    people = read_annotations(content, COCO17).people
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, people.keypoints.shape)
    first = evaluate(content, as_results(content, people.keypoints + 14 * noise), tmp_path)
    second = evaluate(content, as_results(content, people.keypoints + 10 * noise), tmp_path)
    found = compare(first, second)
    assert found.difference == pytest.approx(second.table()["AP"] - first.table()["AP"])
    assert 0 < found.interval[0] < found.difference < found.interval[1]
    assert found.share == 1
    same = compare(first, first)
    assert (same.difference, same.interval, same.share) == (0, (0, 0), 0.5)
    low, high = same.intervals[0]
    assert low < first.table()["AP"] < high
    # Weights of an image are that many copies of it.
    weights = rng.integers(0, 3, 40)
    copies = {"images": [], "annotations": [], "categories": content["categories"]}
    results = []
    for image, count in enumerate(weights.tolist(), start=1):
        for copy in range(count):
            new = 1000 * image + copy
            copies["images"].append({**content["images"][image - 1], "id": new})
            rows = [row for row, a in enumerate(content["annotations"]) if a["image_id"] == image]
            mine = as_results(content, people.keypoints + 14 * noise)
            copies["annotations"] += [
                {**content["annotations"][row], "image_id": new, "id": 1000 * new + row} for row in rows
            ]
            results += [{**mine[row], "image_id": new} for row in rows]
    expected = evaluate(copies, results, tmp_path).outcome().average_precision()
    assert first.outcome().average_precision(weights.astype(float)) == pytest.approx(expected, abs=2e-3)


def one_result(image, score):
    return f'[{{"image_id": {image}, "score": {score}, "keypoints": {[1] * 51}}}]'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{}", "expected a list of results"),
        ("[1]", r"\[0\]: expected image_id, score and 51 numbers"),
        ('[{"image_id": 1, "score": 1, "keypoints": [1, 2, 3]}]', "expected image_id, score and 51 numbers"),
        (one_result("[]", "1"), "expected image_id"),
        (one_result("99", "1"), "the image 99 is not"),
        (one_result("1", "NaN"), "not all finite"),
        ("{", "not a JSON file"),
    ],
)
def test_a_useless_results_file_is_named_with_its_fault(write_people, tmp_path, content, words):
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(DataError, match=words) as error:
        read_results(tmp_path / "r.json", read_annotations(write_people(1), COCO17), COCO17)
    assert "r.json" in str(error.value)
