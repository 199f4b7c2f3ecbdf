"""Poses smoothed where the whole track is known, and gaps filled."""

import numpy as np
import pytest

from ppose.inference.one_euro import OneEuroFilter
from ppose.inference.poses import Pose
from ppose.inference.tracking import Finish, finish_tracks, smoothing
from ppose.inference.tracking.smoothing import fit_parabolas, smooth_rts, window_length

RNG = np.random.default_rng(0)


def test_parabolas_are_scipys_savgol():
    signal = pytest.importorskip("scipy.signal")
    values = np.cumsum(RNG.normal(0, 1, (50, 3, 2)), axis=0)
    for fps, window in ((30, 9), (24, 7), (60, 19), (16, 5)):
        times = np.arange(50) / fps
        assert window_length(times) == window
        expected = signal.savgol_filter(values, window, 2, axis=0, mode="interp")
        np.testing.assert_allclose(fit_parabolas(values, times), expected, atol=1e-9)


def test_parabolas_at_uneven_times_are_least_squares():
    times = np.cumsum(RNG.uniform(0.01, 0.06, 40))
    values = RNG.normal(0, 1, (40, 2))
    found, window = fit_parabolas(values, times), window_length(times)
    for frame in range(40):
        first = min(max(frame - window // 2, 0), 40 - window)
        part = slice(first, first + window)
        for column in range(2):
            fit = np.polyfit(times[part] - times[frame], values[part, column], 2)
            assert found[frame, column] == pytest.approx(fit[2], abs=1e-9)


@pytest.mark.parametrize(("count", "fps"), [(0, 30), (1, 30), (2, 30), (3, 30), (20, 5)])
def test_too_few_frames_stay_as_they_are(count, fps):
    values = RNG.normal(0, 1, (count, 2))
    np.testing.assert_array_equal(fit_parabolas(values, np.arange(count) / fps), values)


def rts_by_the_book(places, times, noise, size):
    """A number at a time, with 2 x 2 matrices (Rauch, Tung, Striebel 1965)."""
    count, look = len(places), np.array([[1.0, 0.0]])
    means, covariances, before = [], [], [None]
    mean = np.array([[places[0]], [0.0]])
    covariance = np.diag([noise[0], (smoothing._FIRST_SPEED * size) ** 2])
    means.append(mean)
    covariances.append(covariance)
    for k in range(1, count):
        dt = times[k] - times[k - 1]
        step = np.array([[1, dt], [0, 1]])
        drift = smoothing._DRIFT * size**2 * np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
        mean, covariance = step @ mean, step @ covariance @ step.T + drift
        before.append((step, mean, covariance))
        if np.isfinite(noise[k]):
            gain = covariance @ look.T / (look @ covariance @ look.T + noise[k])
            mean = mean + gain * (places[k] - look @ mean)
            covariance = covariance - gain @ look @ covariance
        means.append(mean)
        covariances.append(covariance)
    result = [means[-1]]
    for k in range(count - 2, -1, -1):
        step, expected, its_covariance = before[k + 1]
        gain = covariances[k] @ step.T @ np.linalg.inv(its_covariance)
        result.insert(0, means[k] + gain @ (result[0] - expected))
    return np.array([mean[0, 0] for mean in result])


def test_rts_is_the_books():
    times = np.cumsum(RNG.uniform(0.02, 0.08, 30))
    keypoints = np.cumsum(RNG.normal(0, 4, (30, 3, 2)), axis=0)
    scores, measured = RNG.uniform(0.05, 1, (30, 3)), RNG.random(30) > 0.2
    measured[[0, -1]] = True
    found = smooth_rts(keypoints, times, scores, np.full(30, 80.0), measured)
    for point in range(3):
        noise = (smoothing._NOISE * 80 / np.clip(scores[:, point], 0.1, 1)) ** 2
        noise[~measured] = np.inf
        for axis in range(2):
            expected = rts_by_the_book(keypoints[:, point, axis], times, noise, 80.0)
            np.testing.assert_allclose(found[:, point, axis], expected, atol=1e-6)


@pytest.mark.parametrize("smooth", ["savgol", "rts"])
def test_jitter_falls_and_motion_is_followed(smooth):
    """A hand that swings at 1 Hz, 20 pixels to both sides, measured to 2 pixels on a person of 200."""
    times = np.arange(120) / 30
    true = 20 * np.sin(2 * np.pi * times)
    scenes = [(t, [(1, pose_at(x))]) for t, x in zip(times, true + RNG.normal(0, 2, 120), strict=True)]
    found = finish_tracks(scenes, Finish(smooth))
    off = np.array([people[0][1].keypoints[0, 0] for people in found]) - true
    assert np.sqrt((off**2).mean()) < 1.5


def pose_at(x, size=200.0, score=1.0):
    points = np.array([[x, 0.0], [x, 100.0]])
    return Pose(points, np.full(2, score), score, np.array([x - size / 2, 0, x + size / 2, size]))


def test_gaps_up_to_a_length_are_filled_and_marked():
    """Number 1 is missing in two frames, and then in four; number 2 is there."""
    there = [0, 1, 4, 5, 10]
    scenes = [
        (i / 10, ([(1, pose_at(10.0 * i, score=0.1 * i))] if i in there else []) + [(2, pose_at(500))])
        for i in range(11)
    ]
    found = finish_tracks(scenes, Finish(gap_seconds=0.35))
    for frame, people in enumerate(found):
        by_number = dict(people)
        assert by_number[2] is scenes[frame][1][-1][1]
        assert (1 in by_number) == (frame in (*there, 2, 3))
        if frame in (2, 3):
            assert by_number[1].is_filled
            assert by_number[1].to_record()["is_filled"] is True
            np.testing.assert_allclose(by_number[1].keypoints, pose_at(10.0 * frame).keypoints)
            np.testing.assert_allclose(by_number[1].bbox_xyxy, pose_at(10.0 * frame).bbox_xyxy)
            assert by_number[1].score == pytest.approx(0.1 * frame)
        elif frame in there:
            assert not by_number[1].is_filled
            assert "is_filled" not in by_number[1].to_record()


def test_nothing_to_do_and_nobody_there():
    scenes = [(0.0, []), (0.1, [(3, pose_at(1)), (1, pose_at(9))]), (0.2, [])]
    for smooth in (None, "savgol", "rts", "one_euro"):
        found = finish_tracks(scenes, Finish(smooth, 1.0))
        assert [[number for number, _ in people] for people in found] == [[], [3, 1], []]
    assert finish_tracks([], Finish("rts", 1.0)) == []


def test_one_euro_of_whole_tracks_is_that_of_the_frames_as_they_come():
    places = np.cumsum(RNG.normal(0, 3, 30))
    scenes = [(i / 30, [(1, pose_at(x))]) for i, x in enumerate(places)]
    found = finish_tracks(scenes, Finish("one_euro", 0.5))
    follow = OneEuroFilter()
    for (time, ((_, pose),)), ((_, smoothed),) in zip(scenes, found, strict=True):
        np.testing.assert_array_equal(smoothed.keypoints, follow(pose.keypoints, time, 200.0))


@pytest.mark.parametrize("smooth", ["savgol", "rts"])
def test_long_gaps_and_times_that_stand_still_part_a_track(smooth):
    """What is beyond them says nothing; nothing fails."""
    values = [*RNG.normal(0, 1, 12), *RNG.normal(1000, 1, 12)]
    for times in (
        [*np.arange(12) / 30, *(5 + np.arange(12) / 30)],
        [*np.arange(12) / 30, *np.arange(12) / 30],
    ):
        scenes = [(t, [(1, pose_at(x))]) for t, x in zip(times, values, strict=True)]
        found = np.array([people[0][1].keypoints[0, 0] for people in finish_tracks(scenes, Finish(smooth))])
        assert np.abs(found[:12]).max() < 10
        assert np.abs(found[12:] - 1000).max() < 10
        for part in (slice(0, 12), slice(12, 24)):
            alone = finish_tracks(scenes[part], Finish(smooth))
            np.testing.assert_allclose(found[part], [people[0][1].keypoints[0, 0] for people in alone])


def test_rts_takes_filled_poses_for_unmeasured():
    """They lie on a straight line, where a curve is likelier."""
    times = np.arange(30) / 30
    arc = 100 * times**2 * 9.8 / 2
    scenes = [(t, [] if 10 <= i < 16 else [(1, pose_at(arc[i]))]) for i, t in enumerate(times)]
    straight, curve = (
        np.array([people[0][1].keypoints[0, 0] for people in finish_tracks(scenes, Finish(kind, 0.5))])
        for kind in (None, "rts")
    )
    assert np.abs(curve - arc)[10:16].max() < np.abs(straight - arc)[10:16].max() / 3
