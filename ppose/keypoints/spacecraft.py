"""The keypoints of two spacecraft, named by numbers, which cannot flip.

Counts and skeletons are those of HRNet for spacecraft (kuldeepbrd1/HRNet-spacecraft-pose), which has no
skeleton for Envisat's 12. All have the same sigma, since the spread of their labels was never measured.
"""

from ppose.keypoints.keypoint_set import DEFAULT_SIGMA, KeypointSet


def _make(name: str, count: int, skeleton: tuple[tuple[int, int], ...]) -> KeypointSet:
    return KeypointSet(
        name=name,
        names=tuple(map(str, range(count))),
        flip_pairs=(),
        skeleton=skeleton,
        sigmas=(DEFAULT_SIGMA,) * count,
        upper_body=(),
        can_flip=False,
    )


# SPEED's Tango (Kisantal et al., 2020) with the 11 points of Chen et al., ICCV Workshops 2019.
TANGO11 = _make(
    "tango11",
    11,
    (
        *((0, 1), (1, 2), (2, 3), (3, 0), (0, 4), (1, 5), (2, 6), (3, 7)),
        *((4, 5), (5, 6), (6, 7), (7, 4), (0, 8), (1, 9), (3, 10)),
    ),
)

ENVISAT16 = _make(
    "envisat16",
    16,
    (
        *((0, 1), (1, 3), (3, 2), (2, 0), (4, 5), (5, 6), (6, 7), (7, 4)),
        *((8, 9), (9, 11), (10, 11), (10, 8), (12, 13), (13, 15), (15, 14), (14, 12)),
        *((0, 10), (1, 11), (2, 8), (3, 9), (9, 12), (11, 13)),
    ),
)

ENVISAT12 = _make("envisat12", 12, ())
