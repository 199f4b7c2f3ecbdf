"""Two environment variables set the number of tries and the seed of all these tests.

PPOSE_TRIES=3 makes three times as many inputs of each kind; PPOSE_SEED=17 makes others, at other moments.
"""

import os
import zlib

import numpy as np

SEED = int(os.environ.get("PPOSE_SEED", "0"))
_TIMES = float(os.environ.get("PPOSE_TRIES", "1"))


def tries(count: int) -> int:
    """The number of inputs to make instead of the default ``count``."""
    return max(1, round(count * _TIMES))


def generator(what: str) -> np.random.Generator:
    """The random generator of one kind of input."""
    return np.random.default_rng([SEED, zlib.crc32(what.encode())])
