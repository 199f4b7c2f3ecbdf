"""MOTA, IDF1 and HOTA: by hand, and as the judges' programs have them."""

import numpy as np
import pytest

from ppose.metrics.assignment import assign
from ppose.metrics.hota import ALPHAS, TrackedFrame, compute_hota

pytest.importorskip("motmetrics", reason="of the extra track")

from ppose.metrics.track_scores import score_tracks


def frames_of(*frames):
    """Frames of (who is there, who was found, similarity)."""
    return [
        TrackedFrame(np.array(a, np.int64), np.array(b, np.int64), np.array(s, float).reshape(len(a), len(b)))
        for a, b, s in frames
    ]


def test_by_hand():
    """Two people, A (1) and B (2), in four frames; A's number goes from 7 to 8 in the third.

    B is missed once, and somebody is found who is not there. Of 8 people 7 are matched: 1 missed, 1 false,
    1 switch: MOTA = 1 - 3 / 8. Best assignment: A is 7 (2 of 4), B is 9 (3 of 4): IDTP 5 of 8 true and 8
    found: IDF1 = 2 * 5 / 16. At every alpha up to 0.8 there are 7 true positives: DetA = 7 / (8 + 8 - 7); A-7
    share 2 of 4, A-8 2 of 4 (8 is found twice, as A), B-9 3 of 4: AssA = (2 * 2/4 + 2 * 2/4 + 3 * 3/4) / 7.
    """
    frames = frames_of(
        ([1, 2], [7, 9], [[0.8, 0], [0, 0.8]]),
        ([1, 2], [7, 9], [[0.8, 0], [0, 0.8]]),
        ([1, 2], [8, 9], [[0.8, 0], [0, 0.8]]),
        ([1, 2], [8, 5], [[0.8, 0], [0, 0]]),
    )
    scores = score_tracks(frames)
    assert scores["MOTA"] == pytest.approx(1 - 3 / 8)
    assert scores["IDF1"] == pytest.approx(10 / 16)
    assert (scores["switches"], scores["missed"], scores["false"], scores["people"]) == (1, 1, 1, 8)
    until = (ALPHAS < 0.81).sum() / len(ALPHAS)
    detection, association = 7 / 9, (2 * 2 / 4 + 2 * 2 / 4 + 3 * 3 / 4) / 7
    assert scores["DetA"] == pytest.approx(until * detection)
    assert scores["AssA"] == pytest.approx(until * association)
    assert scores["HOTA"] == pytest.approx(until * np.sqrt(detection * association))


def planted(seed, count=40, people=5):
    """People who are missed, whose numbers change places, and some who are not there."""
    rng = np.random.default_rng(seed)
    ids, frames = rng.permutation(people), []
    for number in range(count):
        truth = np.flatnonzero(rng.random(people) < 0.85)
        if number == 7:
            truth = truth[:0]
        if rng.random() < 0.15:
            i, j = rng.choice(people, 2, replace=False)
            ids[[i, j]] = ids[[j, i]]
        seen = truth[rng.random(len(truth)) < 0.85]
        if number == 11:
            seen = seen[:0]
        extra = [people + number // 10] if rng.random() < 0.3 else []
        found = np.concatenate([ids[seen], extra]).astype(np.int64)
        similarity = np.round(rng.uniform(0, 0.4, (len(truth), len(found))), 3)
        for column, person in enumerate(seen):
            similarity[truth.tolist().index(person), column] = round(rng.uniform(0.3, 1), 3)
        frames.append(TrackedFrame(truth, found, similarity))
    return frames


@pytest.mark.parametrize(
    ("seed", "expected"),
    [  # HOTA, DetA, AssA, MOTA, switches, missed, false, IDF1 of trackeval 1.3.0 (HOTA, CLEAR, Identity)
        (0, (0.36906952180396796, 0.4741747464222758, 0.28829952521821123, 0.2411764705882353, 6, 67, 56,
             0.44376899696048633)),
        (1, (0.28899844805764946, 0.44790568085159915, 0.18728694410273394, 0.13690476190476192, 10, 79, 56,
             0.3450479233226837)),
        (2, (0.40919683624755127, 0.44473973657472704, 0.3776389536603732, 0.21341463414634146, 2, 76, 51,
             0.528052805280528)),
    ],
)  # fmt: skip
def test_as_trackeval_has_it(seed, expected):
    scores = score_tracks(planted(seed))
    names = ("HOTA", "DetA", "AssA", "MOTA", "switches", "missed", "false", "IDF1")
    assert [scores[name] for name in names] == pytest.approx(expected, abs=1e-12)


def test_nobody_there_and_nobody_found():
    assert compute_hota([]) == {"HOTA": 0, "DetA": 0, "AssA": 0}
    for frames in (frames_of(([], [], [])), frames_of(([1], [], [])), frames_of(([], [1], []))):
        assert compute_hota(frames)["HOTA"] == 0
        assert score_tracks(frames)["switches"] == 0


def test_assignment_is_scipys():
    optimize = pytest.importorskip("scipy.optimize")
    rng = np.random.default_rng(0)
    for shape in ((1, 1), (3, 7), (7, 3), (20, 20)):
        costs = rng.normal(0, 5, shape)
        rows, columns = optimize.linear_sum_assignment(costs)
        assert costs[tuple(assign(costs).T)].sum() == pytest.approx(costs[rows, columns].sum())
    assert assign(np.zeros((0, 4))).shape == assign(np.zeros((4, 0))).shape == (0, 2)


def test_no_pair_costs_more_than_the_limit():
    """To leave both alone is cheaper than one dear pair that makes the other dear."""
    costs = np.array([[1.0, 5.0], [0.0, 9.0]])
    assert assign(costs, 6.0).tolist() == [[0, 1], [1, 0]]
    assert assign(costs, 4.0).tolist() == [[1, 0]]
    assert assign(np.array([[-3.0]]), -2.0).tolist() == [[0, 0]]
    assert assign(np.array([[-1.0]]), -2.0).tolist() == []


def test_what_is_no_number_is_not_paired():
    costs = np.array([[np.nan, 1.0], [np.inf, np.nan]])
    assert assign(costs, 5.0).tolist() == [[0, 1]]
    assert assign(np.full((3, 3), np.nan), 5.0).tolist() == []
