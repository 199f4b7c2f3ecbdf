"""Numbers that people keep from frame to frame."""

import numpy as np
import pytest

from ppose.inference.poses import Pose
from ppose.inference.tracking import Tracker

SIGMAS = [0.1, 0.1, 0.1]
BODY = np.array([[0.0, -0.45], [-0.15, 0.0], [0.2, 0.45]])  # of a person of height 1
LEAN = np.array([[0.3, -0.4], [-0.1, 0.1], [-0.2, 0.4]])  # of another one


def pose_at(x, y, size=100.0, body=BODY):
    """A person whose box has its middle at x, y."""
    half = np.array([0.25, 0.5]) * size
    points = np.array([x, y]) + size * body
    return Pose(
        points, np.ones(len(body)), 1.0, np.array([x - half[0], y - half[1], x + half[0], y + half[1]])
    )


def numbers(found):
    return [number for number, _ in found]


def follow(tracker, frames, fps=25.0):
    """The number of each person, None for who is not there, in frames of lists of poses or None."""
    result = []
    for index, people in enumerate(frames):
        there = [pose for pose in people if pose is not None]
        found = iter(numbers(tracker.update(there, index / fps)))
        result.append([None if pose is None else next(found) for pose in people])
    return result


@pytest.mark.parametrize("similarity", ["oks", "iou"])
def test_people_keep_their_numbers_in_any_order(similarity):
    tracker = Tracker(SIGMAS, similarity=similarity)
    first = tracker.update([pose_at(0, 0), pose_at(300, 0)], 0.0)
    assert numbers(first) == [1, 2]
    second = tracker.update([pose_at(305, 4), pose_at(600, 0), pose_at(5, 4)], 0.04)
    assert numbers(second) == [2, 3, 1]
    assert second[0][1].keypoints[0, 0] == 305


@pytest.mark.parametrize("similarity", ["oks", "iou"])
@pytest.mark.parametrize("missing", [(), (9, 10, 11), (10, 12)])
def test_two_who_cross_keep_their_numbers(similarity, missing):
    """They run through each other at 400 pixels a second, the left one unseen while they meet."""
    frames = [
        [None if index in missing else pose_at(16 * index, 0), pose_at(320 - 16 * index, 5)]
        for index in range(21)
    ]
    for index, (left, right) in enumerate(follow(Tracker(SIGMAS, similarity=similarity), frames)):
        assert left in (None, 1), index
        assert right == 2, index


def test_who_is_missed_now_and_then_keeps_the_number():
    rng = np.random.default_rng(0)
    frames = [
        [None if rng.random() < 0.4 and i > 2 else pose_at(20 * i, 3 * i), pose_at(20 * i + 90, 3 * i)]
        for i in range(60)
    ]
    found = follow(Tracker(SIGMAS), frames)
    assert sum(left is None for left, _ in found) > 10
    assert {left for left, _ in found} == {1, None}
    assert {right for _, right in found} == {2}


def test_a_run_at_five_frames_a_second():
    """Boxes of the next frame do not overlap those of the last: 60 pixels wide, 70 on."""
    frames = [[pose_at(70 * i, 0, size=120), pose_at(70 * i + 200, 0, size=120)] for i in range(8)]
    assert follow(Tracker(SIGMAS), frames, fps=5) == [[1, 2]] * 8


def test_back_from_behind_something_with_the_same_number():
    """Two walk behind a wall for a second, and come out where they were going."""
    frames = [
        [None if 20 <= i < 45 else pose_at(4 * i, 0), None if 30 <= i < 55 else pose_at(300 - 3 * i, 40)]
        for i in range(80)
    ]
    found = follow(Tracker(SIGMAS), frames)
    assert {left for left, _ in found} == {1, None}
    assert {right for _, right in found} == {2, None}


def test_the_pose_distinguishes_two_who_come_back_together():
    tracker = Tracker(SIGMAS)
    for index in range(10):
        tracker.update([pose_at(0, 0), pose_at(40, 0, body=LEAN)], index / 25)
    back = [pose_at(20, 0, body=LEAN), pose_at(18, 0)]
    assert numbers(tracker.update(back, 1.0)) == [2, 1]


def test_who_is_gone_for_long_is_someone_new():
    tracker = Tracker(SIGMAS)
    for index in range(5):
        tracker.update([pose_at(0, 0)], index / 25)
    for index in range(5, 80):
        assert tracker.update([], index / 25) == []
    assert numbers(tracker.update([pose_at(0, 0)], 3.2)) == [2]


def test_a_video_of_a_frame_in_three_seconds():
    assert follow(Tracker(SIGMAS), [[pose_at(i, 0)] for i in range(5)], fps=1 / 3) == [[1]] * 5


def test_low_scores_go_on_with_a_track_and_begin_none():
    tracker = Tracker(SIGMAS)
    walk = [pose_at(3 * index, 0) for index in range(12)]
    elsewhere = pose_at(500, 0)
    for index, pose in enumerate(walk[:6]):
        assert numbers(tracker.update([elsewhere, pose], index / 25, [0.3, 0.9])) == [1]
    for index, pose in enumerate(walk[6:], start=6):  # half hidden
        ((number, kept),) = tracker.update([pose, elsewhere], index / 25, [0.2, 0.2])
        assert (number, kept.keypoints[0, 0]) == (1, pose.keypoints[0, 0])
    assert numbers(tracker.update([pose_at(36, 0)], 12 / 25, [0.9])) == [1]


def test_somebody_seen_once_takes_no_number_of_those_known():
    """A box that nobody is in, beside somebody who is missed for a frame."""
    tracker = Tracker(SIGMAS)
    for index in range(10):
        tracker.update([pose_at(2 * index, 0)], index / 25)
    assert numbers(tracker.update([pose_at(150, 0)], 10 / 25)) == [2]
    assert numbers(tracker.update([pose_at(22, 0)], 11 / 25)) == [1]


def test_who_is_known_comes_before_somebody_seen_once():
    """Found between where both should be, and nearer to the other one."""
    tracker = Tracker(SIGMAS)
    for index in range(10):
        tracker.update([pose_at(2 * index, 0)], index / 25)
    assert numbers(tracker.update([pose_at(20, 0), pose_at(45, 0)], 10 / 25)) == [1, 2]
    assert numbers(tracker.update([pose_at(36, 0)], 11 / 25)) == [1]


def test_hundred_people_at_once():
    rng = np.random.default_rng(1)
    places = np.stack(np.meshgrid(np.arange(10) * 90.0, np.arange(10) * 130.0), axis=-1).reshape(-1, 2)
    tracker = Tracker(SIGMAS)
    order = np.arange(100)
    for index in range(10):
        order = rng.permutation(100)
        moved = places + 5.0 * index + rng.normal(0, 1, (100, 2))
        found = tracker.update([pose_at(*moved[person]) for person in order], index / 25)
        if index == 0:
            names = dict(zip(order.tolist(), numbers(found), strict=True))
        assert numbers(found) == [names[person] for person in order.tolist()]


def test_a_camera_that_shakes():
    """By a third of a person from frame to frame, and back: nobody is where others were."""
    rng = np.random.default_rng(2)
    frames = [
        [pose_at(*(np.array([40 * person + 2 * index, 0]) + shift)) for person in range(5)]
        for index, shift in enumerate(rng.uniform(-17, 17, (30, 2)))
    ]
    assert follow(Tracker(SIGMAS), frames) == [[1, 2, 3, 4, 5]] * 30


def test_somebody_who_jumps_is_known_by_the_overlap():
    tracker = Tracker(SIGMAS)
    for index in range(10):
        tracker.update([pose_at(0, 0)], index / 25)
    assert numbers(tracker.update([pose_at(0, 40)], 10 / 25)) == [1]
    assert numbers(tracker.update([pose_at(0, 55)], 11 / 25)) == [1]
    assert numbers(tracker.update([pose_at(0, 170)], 12 / 25)) == [2]


@pytest.mark.parametrize("similarity", ["oks", "iou"])
def test_keypoints_and_boxes_that_are_no_numbers(similarity):
    """As of a network whose heatmaps are NaN; the others keep their numbers."""
    tracker = Tracker(SIGMAS, similarity=similarity)
    lost = pose_at(100, 0)
    lost = Pose(np.full_like(lost.keypoints, np.nan), lost.scores, 1.0, np.full(4, np.nan))
    for index in range(4):
        found = numbers(tracker.update([pose_at(0, 0), lost, pose_at(200, 0)], index / 25))
        assert (found[0], found[2]) == (1, 3)


def test_time_that_stands_still_or_goes_back():
    """As in files whose times are wrong."""
    tracker = Tracker(SIGMAS)
    for time in (0.0, 0.04, 0.04, 0.02, 0.08):
        assert numbers(tracker.update([pose_at(0, 0), pose_at(200, 0)], time)) == [1, 2]


def test_smoothing_is_by_person():
    tracker = Tracker(SIGMAS, smooth=True)
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


def test_a_box_without_width_is_smoothed(recwarn):
    """Some detectors give such boxes; the keypoints come from what is around them."""
    pose = Pose(np.array([[3.0, 4.0], [5.0, 6.0]]), np.ones(2), 1.0, np.array([3.0, 4.0, 3.0, 9.0]))
    for similarity in ("oks", "iou"):
        tracker = Tracker([0.05, 0.05], similarity=similarity, smooth=True)
        for time in (0.0, 0.1, 0.2):
            ((number, found),) = tracker.update([pose], time)
            assert number == 1
            np.testing.assert_array_equal(found.keypoints, pose.keypoints)
    assert not recwarn.list
