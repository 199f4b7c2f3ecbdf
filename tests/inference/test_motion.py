"""The Kalman filter of boxes."""

import numpy as np

from ppose.inference.tracking import motion
from ppose.inference.tracking.motion import Motion

RNG = np.random.default_rng(0)


def boxes_at(centers, size=(40.0, 100.0)):
    return np.concatenate([centers - np.array(size) / 2, centers + np.array(size) / 2], axis=1)


def test_it_is_the_textbooks_filter():
    """One box's x: F, Q, H and R as matrices, in loops (Kalman 1960), of a box of constant size."""
    times, places = np.cumsum(RNG.uniform(0.02, 0.3, 12)), np.cumsum(RNG.normal(0, 5, 12))
    scores = RNG.uniform(0.2, 1, 12)
    moving = Motion.begin(boxes_at(np.array([[places[0], 0.0]])), scores[:1])
    noise = (100 * motion._NOISE[0] / scores) ** 2
    state = np.array([[places[0]], [0.0]])
    covariance = np.diag([noise[0], (100 * motion._FIRST_SPEED[0]) ** 2])
    look = np.array([[1.0, 0.0]])
    for index in range(1, 12):
        dt = times[index] - times[index - 1]
        step = np.array([[1, dt], [0, 1]])
        drift = motion._DRIFT[0] * 100**2 * np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
        state, covariance = step @ state, step @ covariance @ step.T + drift
        moving = moving.predict(dt)
        np.testing.assert_allclose(moving.mean[0, 0], state[:, 0])
        gain = covariance @ look.T / (look @ covariance @ look.T + noise[index])
        state = state + gain * (places[index] - look @ state)
        covariance = (np.eye(2) - gain @ look) @ covariance
        moving = moving.correct(boxes_at(np.array([[places[index], 0.0]])), scores[index : index + 1])
        np.testing.assert_allclose(moving.mean[0, 0], state[:, 0])
        np.testing.assert_allclose(moving.covariance[0, 0], covariance)


def test_costs_are_of_a_gaussian():
    """-log of the density of four independent Gaussians, in sizes, but for 2 log(2 pi)."""
    moving = Motion.begin(boxes_at(RNG.uniform(0, 500, (3, 2))), np.array([1.0, 0.5, 0.8])).predict(0.1)
    others, scores = boxes_at(RNG.uniform(0, 500, (2, 2)), (50.0, 90.0)), np.array([0.9, 0.4])
    costs = moving.costs(others, scores)
    for row in range(3):
        for column in range(2):
            box = others[column]
            seen = np.array([*(box[:2] + box[2:]) / 2, *(box[2:] - box[:2])])
            deviation = np.sqrt(moving.covariance[row, :, 0, 0] + (100 * motion._NOISE / scores[column]) ** 2)
            z = (seen - moving.mean[row, :, 0]) / deviation
            density = np.exp(-(z**2) / 2) / (np.sqrt(2 * np.pi) * deviation / 100)
            expected = -np.log(np.maximum(density, 1e-300)).sum() - 2 * np.log(2 * np.pi)
            if (density > 1e-280).all():
                np.testing.assert_allclose(costs[row, column], expected)
            else:
                assert costs[row, column] > 600


def test_who_is_twice_as_large_moves_twice_as_far():
    centers = RNG.uniform(0, 500, (2, 2))
    small = (
        Motion.begin(boxes_at(centers[:1]), np.ones(1))
        .predict(0.2)
        .correct(boxes_at(centers[1:]), np.ones(1))
    )
    large = Motion.begin(2 * boxes_at(centers[:1]), np.ones(1)).predict(0.2)
    large = large.correct(2 * boxes_at(centers[1:]), np.ones(1))
    np.testing.assert_allclose(large.mean, 2 * small.mean)
    np.testing.assert_allclose(large.covariance, 4 * small.covariance)


def test_nobody():
    none = Motion.begin(np.zeros((0, 4)), np.zeros(0))
    assert len(none.predict(1.0).correct(np.zeros((0, 4)), np.zeros(0))) == 0
    assert none.costs(boxes_at(np.zeros((2, 2))), np.ones(2)).shape == (0, 2)
