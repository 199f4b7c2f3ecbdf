"""How much these tests try, and which inputs: two variables of the environment, for all of them.

PPOSE_TRIES=3 makes three times as many of each kind; PPOSE_SEED=17 others, at other moments.
"""

import os
import zlib

import numpy as np

SEED = int(os.environ.get("PPOSE_SEED", "0"))
_TIMES = float(os.environ.get("PPOSE_TRIES", "1"))


def tries(count: int) -> int:
    """How many are made where the tests by themselves make ``count``."""
    return max(1, round(count * _TIMES))


def generator(what: str) -> np.random.Generator:
    """What decides all that is random about one kind of input."""
    return np.random.default_rng([SEED, zlib.crc32(what.encode())])
