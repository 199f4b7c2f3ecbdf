"""Numbers that people keep from frame to frame, and the One Euro filter."""

import math

import numpy as np
import pytest

from ppose.inference.one_euro import OneEuroFilter
from ppose.inference.predictor import Pose
from ppose.inference.tracking import Tracker, box_iou


def pose_at(x, y, size=100.0):
    points = np.array([[x, y], [x + size / 2, y + size]])
    return Pose(points, np.ones(2), 1.0, np.array([x, y, x + size / 2, y + size]))


def one_euro_by_the_paper(values, times, min_cutoff, beta, d_cutoff):
    """Algorithm 1 and its low-pass filter in Casiez et al. (CHI 2012), a number at a time."""

    def alpha(rate, cutoff):
        tau = 1.0 / (2 * math.pi * cutoff)
        te = 1.0 / rate
        return 1.0 / (1.0 + tau / te)

    result, hat_x, hat_dx = [values[0]], values[0], 0.0
    for index in range(1, len(values)):
        rate = 1.0 / (times[index] - times[index - 1])
        dx = (values[index] - hat_x) * rate
        a = alpha(rate, d_cutoff)
        hat_dx = a * dx + (1 - a) * hat_dx
        a = alpha(rate, min_cutoff + beta * abs(hat_dx))
        hat_x = a * values[index] + (1 - a) * hat_x
        result.append(hat_x)
    return result


def test_one_euro_is_the_papers():
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.02, 0.08, 50))
    values = np.cumsum(rng.normal(0, 3, (50, 2)), axis=0)
    smooth = OneEuroFilter(1.2, 0.3, 0.9)
    found = np.array([smooth(value, time) for value, time in zip(values, times, strict=True)])
    for column in range(2):
        expected = one_euro_by_the_paper(values[:, column], times, 1.2, 0.3, 0.9)
        np.testing.assert_allclose(found[:, column], expected, rtol=1e-12)


def test_one_euro_treats_large_people_as_small_ones():
    rng = np.random.default_rng(1)
    values = np.cumsum(rng.normal(0, 1, (20, 3)), axis=0)
    near, far = OneEuroFilter(), OneEuroFilter()
    for index, value in enumerate(values):
        np.testing.assert_allclose(near(5 * value, index / 25, 500), 5 * far(value, index / 25, 100))


def test_one_euro_calms_rest_and_follows_motion():
    rng = np.random.default_rng(2)
    smooth = OneEuroFilter()
    still = [
        float(smooth(np.array(100 + noise), i / 30, 200)) for i, noise in enumerate(rng.normal(0, 1, 90))
    ]
    assert np.std(still[30:]) < 0.6
    moving = [float(smooth(np.array(100 + 20.0 * i), 3 + i / 30, 200)) for i in range(30)]
    assert moving[-1] > 100 + 20 * 29 - 20  # less than a frame behind


@pytest.mark.parametrize("similarity", ["oks", "iou"])
def test_people_keep_their_numbers_in_any_order(similarity):
    tracker = Tracker([0.1, 0.1], similarity=similarity)
    first = tracker.update([pose_at(0, 0), pose_at(300, 0)], 0.0)
    assert [number for number, _ in first] == [1, 2]
    second = tracker.update([pose_at(305, 4), pose_at(600, 0), pose_at(5, 4)], 0.04)
    assert [number for number, _ in second] == [2, 3, 1]
    assert second[0][1].keypoints[0, 0] == 305


def test_the_most_similar_are_paired_first():
    tracker = Tracker([0.1, 0.1], similarity="iou")
    tracker.update([pose_at(0, 0), pose_at(20, 0)], 0.0)
    # Both could be number 2, the second more so.
    assert [n for n, _ in tracker.update([pose_at(14, 0), pose_at(21, 0)], 0.04)] == [1, 2]


def test_a_track_bridges_empty_frames_and_ends_after_a_second():
    tracker = Tracker([0.1, 0.1])
    tracker.update([pose_at(0, 0)], 0.0)
    assert tracker.update([], 0.5) == []
    assert [n for n, _ in tracker.update([pose_at(0, 0)], 0.9)] == [1]
    assert [n for n, _ in tracker.update([pose_at(0, 0)], 2.0)] == [2]


def test_smoothing_is_by_person():
    tracker = Tracker([0.1, 0.1], smooth=True)
    rng = np.random.default_rng(3)
    found = {1: [], 2: []}
    for frame in range(60):
        noise = rng.normal(0, 1, 4)
        poses = [pose_at(noise[0], noise[1]), pose_at(300 + noise[2], noise[3])]
        for number, pose in tracker.update(poses[:: -1 if frame % 2 else 1], frame / 30):
            found[number].append(pose.keypoints[0, 0])
    for number, middle in ((1, 0), (2, 300)):
        late = np.array(found[number][20:])
        assert len(late) == 40
        assert np.abs(late.mean() - middle) < 0.5
        assert late.std() < 0.6


def test_iou():
    box = np.array([0, 0, 10, 10])
    assert box_iou(box, box) == 1
    assert box_iou(box, np.array([20, 20, 30, 30])) == 0
    assert box_iou(box, np.array([5, 5, 15, 15])) == pytest.approx(25 / 175)


def test_a_box_without_width_is_smoothed(recwarn):
    """Some detectors give such boxes; the keypoints come from what is around them."""
    pose = Pose(np.array([[3.0, 4.0], [5.0, 6.0]]), np.ones(2), 1.0, np.array([3.0, 4.0, 3.0, 9.0]))
    for similarity in ("oks", "iou"):
        tracker = Tracker([0.05, 0.05], similarity=similarity, smooth=True)
        for time in (0.0, 0.1, 0.2):
            ((_, found),) = tracker.update([pose], time)
            np.testing.assert_array_equal(found.keypoints, pose.keypoints)
    assert not recwarn.list
