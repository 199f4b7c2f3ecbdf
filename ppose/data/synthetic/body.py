"""The body of a synthetic person: proportions, joint angles within their limits, and the points they lead to.

Frames: x to the person's left, y down, z to the person's back, in units of the body height. Seen from the
front with no rotation, these are x right, y down and z away from the camera. Sides are stored left, right.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

# Angles of a limb, in the order of every angle array below; degrees.
ANGLES = (
    *("shoulder_flexion", "shoulder_abduction", "shoulder_twist", "elbow_flexion"),
    *("hip_flexion", "hip_abduction", "hip_twist", "knee_flexion", "ankle_flexion"),
)
# Normal ranges of motion of the American Academy of Orthopaedic Surgeons, some kept narrower so that limbs
# seldom pass through the trunk. Twist is inwards.
ANGLE_LIMITS = np.array(
    [(-50, 175), (-8, 165), (-70, 75), (0, 145), (-25, 120), (-12, 45), (-40, 40), (0, 135), (-45, 20)], float
)
# Angles of the trunk, and of the head against it: forwards, to the left, turned left; degrees.
TRUNK_LIMITS = np.array([(-25, 80), (-25, 25), (-35, 35)], float)
HEAD_LIMITS = np.array([(-40, 45), (-30, 30), (-70, 70)], float)

# Postures: for each angle the mean, the swing (left +, right -, by a common phase) and the deviation; then
# the trunk's mean lean. Chosen by hand from ordinary photographs.
_HOLDS: dict[str, tuple[tuple[tuple[float, float, float], ...], float]] = {
    "stand": (
        ((2, 8, 14), (9, 2, 8), (15, 10, 25), (14, 6, 16))
        + ((2, 3, 4), (4, 1, 4), (-6, 0, 8), (4, 3, 5), (0, 0, 4)),
        2,
    ),
    "walk": (
        ((0, -28, 10), (7, 0, 5), (15, 0, 15), (20, 0, 12))
        + ((6, 26, 6), (3, 0, 3), (0, 0, 5), (20, -16, 10), (-2, 8, 6)),
        5,
    ),
    "run": (
        ((0, -45, 12), (12, 0, 8), (25, 0, 15), (85, 0, 18))
        + ((20, 45, 10), (4, 0, 4), (0, 0, 5), (60, -30, 22), (-10, 10, 10)),
        12,
    ),
    "sit": (
        ((32, 10, 20), (12, 0, 10), (25, 0, 25), (55, 10, 30))
        + ((84, 4, 12), (10, 4, 10), (0, 0, 10), (82, 10, 24), (0, 0, 8)),
        8,
    ),
    "crouch": (
        ((48, 10, 30), (15, 0, 15), (20, 0, 25), (60, 0, 35))
        + ((95, 15, 16), (16, 0, 12), (0, 0, 10), (108, 12, 20), (5, 0, 6)),
        28,
    ),
    "reach": (
        ((95, 50, 45), (45, 20, 45), (0, 10, 35), (35, 0, 35))
        + ((6, 10, 12), (6, 0, 7), (0, 0, 8), (10, 8, 12), (-4, 0, 8)),
        3,
    ),
    "bend": (
        ((70, 15, 30), (8, 0, 12), (10, 0, 25), (25, 0, 25))
        + ((20, 10, 18), (6, 0, 6), (0, 0, 8), (22, 10, 20), (0, 0, 8)),
        55,
    ),
    "hands": (
        ((20, 12, 18), (22, 6, 18), (48, 10, 22), (92, 15, 28))
        + ((4, 6, 6), (6, 2, 6), (-5, 0, 8), (6, 6, 8), (0, 0, 5)),
        4,
    ),
    "sport": (
        ((60, 40, 60), (55, 20, 45), (0, 20, 45), (55, 20, 40))
        + ((35, 35, 30), (14, 5, 16), (0, 0, 18), (45, 25, 35), (-8, 0, 14)),
        14,
    ),
}
HOLDS = tuple(_HOLDS)
_HOLD_WEIGHTS = np.array([0.2, 0.15, 0.1, 0.13, 0.05, 0.12, 0.05, 0.1, 0.1])
_HOLD_ANGLES = np.array([angles for angles, _ in _HOLDS.values()])
_HOLD_LEANS = np.array([lean for _, lean in _HOLDS.values()])
_SIDES = np.array([1.0, -1.0])
_IDENTITY = np.eye(3)
_X, _Y, _Z = _IDENTITY


@dataclass(frozen=True)
class Pose:
    """Joint angles in degrees: limbs (2, 9) by `ANGLES`, trunk (3,), head (3,) and the whole body's (3,).

    ``root`` is the turn to the person's left (0: towards the camera), then pitch and roll in the image.
    """

    hold: str
    limbs: np.ndarray
    trunk: np.ndarray
    head: np.ndarray
    root: np.ndarray


@dataclass(frozen=True)
class Shape:
    """Lengths in body heights and factors on thickness."""

    shoulder: float
    hip: float
    trunk: float
    head: float
    arms: float
    legs: float
    girth: float


@dataclass(frozen=True)
class Skeleton:
    """Points (3,) or, of both sides, (2, 3) and frames (3, 3) or (2, 3, 3), whose columns are the axes."""

    pelvis_frame: np.ndarray
    chest_frame: np.ndarray
    head_frame: np.ndarray
    foot_frames: np.ndarray
    pelvis: np.ndarray
    waist: np.ndarray
    neck: np.ndarray
    head: np.ndarray
    shoulders: np.ndarray
    elbows: np.ndarray
    wrists: np.ndarray
    hips: np.ndarray
    knees: np.ndarray
    ankles: np.ndarray


def sample_shape(rng: np.random.Generator) -> Shape:
    """Draw a body; one in eight is a child, with a larger head and shorter limbs.

    Means are the segment lengths of Drillis and Contini (1966) as Winter, Biomechanics and Motor Control of
    Human Movement, gives them: upper arm 0.186, forearm 0.146, thigh 0.245, shank 0.246, hip to shoulder
    0.288, biacromial breadth 0.259 of the height.
    """
    spread = 1 + 0.06 * rng.standard_normal(5)
    child = 0.7 * rng.random() if rng.random() < 0.125 else 0.0
    return Shape(
        shoulder=0.116 * spread[0] * (1 - 0.1 * child),
        hip=0.061 * spread[1],
        trunk=0.288 * spread[2],
        head=(1 + 0.04 * rng.standard_normal()) * (1.05 + 0.5 * child),
        arms=spread[3] * (1 - 0.08 * child),
        legs=spread[4] * (1 - 0.12 * child),
        girth=float(np.clip(1.02 + 0.16 * rng.standard_normal(), 0.78, 1.5)),
    )


def sample_pose(rng: np.random.Generator, variety: float = 1.0) -> Pose:
    """Draw a pose: one of `HOLDS`, varied, within the limits; two in three are turned by under 60 degrees.

    ``variety`` from 0 to 1 is the distance from standing still and facing the camera.
    """
    hold = int(rng.choice(len(HOLDS), p=_HOLD_WEIGHTS))
    mean, swing, deviation = _HOLD_ANGLES[hold].T
    phase = rng.uniform(-1, 1)
    limbs = mean + _SIDES[:, None] * swing * phase + deviation * rng.standard_normal((2, len(ANGLES)))
    noise = rng.standard_normal(8)
    trunk = np.array([_HOLD_LEANS[hold] + 8 * noise[0], 6 * noise[1], 9 * noise[2]])
    head = np.array([6 + 13 * noise[3] - 0.4 * trunk[0], 8 * noise[4], 26 * noise[5]])
    yaw = rng.normal(0, 38) if rng.random() < 0.6 else rng.uniform(-180, 180)
    lying = rng.random() < 0.05 * variety
    roll = rng.choice((-1, 1)) * rng.uniform(65, 110) if lying else 5 * noise[6]
    still = _HOLD_ANGLES[HOLDS.index("stand")][:, 0]
    return Pose(
        HOLDS[hold],
        (still + variety * (limbs - still)).clip(*ANGLE_LIMITS.T),
        (variety * trunk).clip(*TRUNK_LIMITS.T),
        (variety * head).clip(*HEAD_LIMITS.T),
        np.array([variety * ((yaw + 180) % 360 - 180), 4 * noise[7], roll]),
    )


def rotate(axis: np.ndarray, degrees: np.ndarray | float) -> np.ndarray:
    """Rodrigues' rotation matrices (..., 3, 3) about a unit axis (3,) by angles (...,) in degrees."""
    radians = np.deg2rad(np.asarray(degrees, float))[..., None, None]
    cross, square = _make_cross(*axis.tolist())
    return _IDENTITY + np.sin(radians) * cross + (1 - np.cos(radians)) * square


@lru_cache(maxsize=8)
def _make_cross(x: float, y: float, z: float) -> tuple[np.ndarray, np.ndarray]:
    """The matrix (3, 3) of the cross product with an axis, and its square."""
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return cross, cross @ cross


def build_skeleton(pose: Pose, shape: Shape, camera: np.ndarray) -> Skeleton:
    """Forward kinematics, the pelvis at the origin; ``camera`` (3, 3) turns the world into the view."""
    yaw, pitch, roll = pose.root
    pelvis_frame = camera @ rotate(_Z, roll) @ rotate(_X, -pitch) @ rotate(_Y, -yaw)
    chest_frame = pelvis_frame @ _bend(pose.trunk)
    head_frame = chest_frame @ _bend(pose.head)
    waist = pelvis_frame @ (0, -0.34 * shape.trunk, 0)
    collar = waist + chest_frame @ (0, -0.66 * shape.trunk, 0)
    neck = collar + chest_frame @ (0, -0.012, 0)
    across = _SIDES[:, None] * np.array([1.0, 0, 0])
    shoulders = collar + (across * shape.shoulder) @ chest_frame.T
    hips = (across * shape.hip) @ pelvis_frame.T
    arms = chest_frame @ _limb_frames(*pose.limbs[:, :3].T)
    forearms = arms @ rotate(_X, -pose.limbs[:, 3])
    thighs = pelvis_frame @ _limb_frames(*pose.limbs[:, 4:7].T)
    shanks = thighs @ rotate(_X, pose.limbs[:, 7])
    elbows = shoulders + 0.186 * shape.arms * arms[:, :, 1]
    knees = hips + 0.245 * shape.legs * thighs[:, :, 1]
    return Skeleton(
        pelvis_frame=pelvis_frame,
        chest_frame=chest_frame,
        head_frame=head_frame,
        foot_frames=shanks @ rotate(_X, -pose.limbs[:, 8]),
        pelvis=np.zeros(3),
        waist=waist,
        neck=neck,
        head=neck + chest_frame @ (0, -0.035, -0.004) + head_frame @ (0, -0.068 * shape.head, -0.006),
        shoulders=shoulders,
        elbows=elbows,
        wrists=elbows + 0.146 * shape.arms * forearms[:, :, 1],
        hips=hips,
        knees=knees,
        ankles=knees + 0.246 * shape.legs * shanks[:, :, 1],
    )


def _bend(angles: np.ndarray) -> np.ndarray:
    """The rotation (3, 3) of a trunk or head: turned left, leaned to the left, then forwards."""
    forwards, sideways, turn = angles
    return rotate(_X, forwards) @ rotate(_Z, sideways) @ rotate(_Y, -turn)


def _limb_frames(flexion: np.ndarray, abduction: np.ndarray, twist: np.ndarray) -> np.ndarray:
    """Frames (2, 3, 3) of upper arms or thighs, whose y axis runs along the limb, left and right mirrored."""
    return rotate(_Z, -_SIDES * abduction) @ rotate(_X, -flexion) @ rotate(_Y, _SIDES * twist)
