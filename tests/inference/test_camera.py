"""The shift of a camera between two frames."""

import numpy as np

from ppose.inference.tracking.camera import find_shift

RNG = np.random.default_rng(0)
PLACES = RNG.uniform(0, 1000, (8, 2))
SIZES = np.full(8, 100.0)


def test_what_most_people_agree_on():
    """One of eight goes elsewhere, one is not found, and somebody new is there; in any order."""
    moved = PLACES + [30, -20] + RNG.normal(0, 1, (8, 2))
    moved[0] += [-40, 50]
    found = RNG.permutation(np.concatenate([moved[:7], [[5.0, 5.0]]]))
    np.testing.assert_allclose(find_shift(PLACES, found, SIZES), [30, -20], atol=2)


def test_nothing_moved():
    assert find_shift(PLACES, PLACES + RNG.normal(0, 2, (8, 2)), SIZES).tolist() == [0, 0]


def test_people_who_go_where_they_like():
    away = RNG.uniform(0, 2 * np.pi, 8)
    found = PLACES + 40 * np.stack([np.cos(away), np.sin(away)], axis=1)
    assert find_shift(PLACES, found, SIZES).tolist() == [0, 0]


def test_two_are_too_few():
    assert find_shift(PLACES[:2], PLACES[:2] + 30, SIZES[:2]).tolist() == [0, 0]
    assert find_shift(PLACES, np.zeros((0, 2)), SIZES).tolist() == [0, 0]
    assert find_shift(np.zeros((0, 2)), PLACES, np.zeros(0)).tolist() == [0, 0]
