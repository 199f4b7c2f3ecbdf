"""COCO-WholeBody's keypoints (Jin et al., ECCV 2020): of a hand, a face, and a whole person.

Names are mmpose's, sigmas those of the evaluation code published with the annotations.
"""

from ppose.keypoints.keypoint_set import KeypointSet
from ppose.keypoints.people import COCO17

_FINGERS = ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")
_FINGER_JOINTS = tuple(f"{finger}{joint}" for finger in _FINGERS for joint in range(1, 5))
_FINGER_LIMBS = tuple((joint - 1 if joint % 4 != 1 else 0, joint) for joint in range(1, 21))

# A mirrored left hand is a right one: all keypoints keep their names.
HAND21 = KeypointSet(
    name="hand21",
    names=("wrist", *_FINGER_JOINTS),
    flip_pairs=(),
    skeleton=_FINGER_LIMBS,
    sigmas=(
        *(0.029, 0.022, 0.035, 0.037, 0.047, 0.026, 0.025, 0.024, 0.035, 0.018, 0.024),
        *(0.022, 0.026, 0.017, 0.021, 0.021, 0.032, 0.02, 0.019, 0.022, 0.031),
    ),
    upper_body=(),
)

# The 68 points of 300-W faces: contour, eyebrows, nose, eyes, mouth; the right side of the face first.
FACE68 = KeypointSet(
    name="face68",
    names=tuple(f"face-{index}" for index in range(68)),
    flip_pairs=(
        *((index, 16 - index) for index in range(8)),
        *((index, 43 - index) for index in range(17, 22)),
        *((31, 35), (32, 34), (36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)),
        *((48, 54), (49, 53), (50, 52), (55, 59), (56, 58), (60, 64), (61, 63), (65, 67)),
    ),
    skeleton=(),
    sigmas=(
        *(0.042, 0.043, 0.044, 0.043, 0.040, 0.035, 0.031, 0.025, 0.020, 0.023, 0.029, 0.032, 0.037, 0.038),
        *(0.043, 0.041, 0.045, 0.013, 0.012, 0.011, 0.011, 0.012, 0.012, 0.011, 0.011, 0.013, 0.015, 0.009),
        *(0.007, 0.007, 0.007, 0.012, 0.009, 0.008, 0.016, 0.010, 0.017, 0.011, 0.009, 0.011, 0.009, 0.007),
        *(0.013, 0.008, 0.011, 0.012, 0.010, 0.034, 0.008, 0.008, 0.009, 0.008, 0.008, 0.007, 0.010, 0.008),
        *(0.009, 0.009, 0.009, 0.007, 0.007, 0.008, 0.011, 0.008, 0.008, 0.008, 0.01, 0.008),
    ),
    upper_body=(),
)

_FEET = ("big_toe", "small_toe", "heel")
_FACE, _LEFT_HAND, _RIGHT_HAND = 23, 91, 112  # their first indexes among the 133


def _hand_limbs(wrist: int, hand: int) -> tuple[tuple[int, int], ...]:
    """The limbs of a hand whose wrist is the body's."""
    return tuple((wrist if a == 0 else hand + a, hand + b) for a, b in _FINGER_LIMBS)


# Body, feet, face and both hands. Faces and hands go with the upper half of the body.
WHOLEBODY133 = KeypointSet(
    name="wholebody133",
    names=(
        *COCO17.names,
        *(f"{side}_{part}" for side in ("left", "right") for part in _FEET),
        *FACE68.names,
        *(f"{side}_{joint}" for side in ("left", "right") for joint in ("hand_root", *_FINGER_JOINTS)),
    ),
    flip_pairs=(
        *COCO17.flip_pairs,
        *((17, 20), (18, 21), (19, 22)),
        *((_FACE + a, _FACE + b) for a, b in FACE68.flip_pairs),
        *((_LEFT_HAND + joint, _RIGHT_HAND + joint) for joint in range(21)),
    ),
    skeleton=(
        *COCO17.skeleton,
        *((15, 17), (15, 18), (15, 19), (16, 20), (16, 21), (16, 22)),
        *_hand_limbs(9, _LEFT_HAND),
        *_hand_limbs(10, _RIGHT_HAND),
    ),
    sigmas=(
        *(*COCO17.sigmas, 0.068, 0.066, 0.066, 0.092, 0.094, 0.094),
        *(*FACE68.sigmas, *HAND21.sigmas, *HAND21.sigmas),
    ),
    upper_body=(*COCO17.upper_body, *range(_FACE, 133)),
)
