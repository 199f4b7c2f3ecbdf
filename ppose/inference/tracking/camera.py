"""Estimates a camera's shift between two frames from the people in them."""

import numpy as np

# People who must agree: at least so many; this share of all; so many more than agree on no shift.
_FEWEST, _MAJORITY, _MORE = 3, 2 / 3, 2
_FARTHEST, _NEAR = 0.6, 0.06  # in sizes: the largest shift; the tolerance of a vote for it


def find_shift(expected: np.ndarray, found: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The shift (2,) in pixels that moves most of the ``expected`` centers (T, 2) onto ``found`` ones (N, 2).

    It is zero unless at least three people, two thirds of all, and two more than agree on zero agree on it.
    ``sizes`` (T,) are the people's, in pixels.
    """
    nothing = np.zeros(2)
    if len(expected) < _FEWEST or len(found) < _FEWEST:
        return nothing
    off = found - expected[:, None]
    shifts = off[np.linalg.norm(off, axis=2) <= _FARTHEST * sizes[:, None]]
    candidates = np.concatenate([nothing[None], shifts])
    near = np.linalg.norm(off - candidates[:, None, None], axis=3).min(axis=2) <= _NEAR * sizes
    votes = near.sum(axis=1)
    best = int(votes.argmax())  # row 0 is no shift
    enough = max(_FEWEST, _MAJORITY * min(len(expected), len(found)), votes[0] + _MORE)
    if best == 0 or votes[best] < enough:
        return nothing
    rows = np.flatnonzero(near[best])
    nearest = np.linalg.norm(off[rows] - candidates[best], axis=2).argmin(axis=1)
    return np.median(off[rows, nearest], axis=0)
