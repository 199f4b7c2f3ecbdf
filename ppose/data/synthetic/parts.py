"""The parts of a figure: hulls of spheres, with a colour, a name and a place in depth."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, auto

import numpy as np


class Part(IntEnum):
    """What covers a pixel of a person; left is one less than right."""

    PELVIS = auto()
    CHEST = auto()
    SKIRT = auto()
    BAG = auto()
    NECK = auto()
    HAIR = auto()
    HEAD = auto()
    LEFT_UPPER_ARM = auto()
    RIGHT_UPPER_ARM = auto()
    LEFT_SLEEVE = auto()
    RIGHT_SLEEVE = auto()
    LEFT_FOREARM = auto()
    RIGHT_FOREARM = auto()
    LEFT_CUFF = auto()
    RIGHT_CUFF = auto()
    LEFT_HAND = auto()
    RIGHT_HAND = auto()
    LEFT_THIGH = auto()
    RIGHT_THIGH = auto()
    LEFT_TROUSER = auto()
    RIGHT_TROUSER = auto()
    LEFT_SHANK = auto()
    RIGHT_SHANK = auto()
    LEFT_FOOT = auto()
    RIGHT_FOOT = auto()


@dataclass(frozen=True)
class Hull:
    """The convex hull of spheres ``first`` to ``last`` (exclusive) of a figure.

    Hulls of one figure are painted by falling ``depth``, those of equal depth in the order they were made.
    ``shaded`` ones are rounded by light; the others, such as eyes and prints, lie flat.
    """

    part: Part
    first: int
    last: int
    colour: np.ndarray
    depth: float
    shaded: bool


class HullMaker:
    """Gathers spheres (centers (3,), body heights, camera frame) and the hulls that they span."""

    def __init__(self) -> None:
        self.centers: list[np.ndarray] = []
        self.radii: list[float] = []
        self.hulls: list[Hull] = []

    def add(
        self,
        part: Part,
        centers: Sequence[np.ndarray] | np.ndarray,
        radii: Sequence[float],
        colour: np.ndarray,
        depth: float,
        shaded: bool = True,
    ) -> None:
        """Add the hull of spheres at ``centers`` (n, 3) with ``radii`` (n,)."""
        first = len(self.radii)
        self.centers.extend(centers)
        self.radii.extend(radii)
        self.hulls.append(Hull(part, first, len(self.radii), colour, depth, shaded))
