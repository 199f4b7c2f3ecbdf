"""A figure: a person's hulls and keypoints in the camera's frame, ready to be placed in an image."""

from dataclasses import dataclass

import numpy as np

from ppose.data.synthetic.body import Pose, Shape, Skeleton, build_skeleton, rotate, sample_pose, sample_shape
from ppose.data.synthetic.head import KEYPOINTS, NORMALS, add_head
from ppose.data.synthetic.look import Look, sample_look
from ppose.data.synthetic.parts import Hull, HullMaker, Part
from ppose.keypoints import get_keypoint_set

COCO17 = get_keypoint_set("coco17")

# Flags of COCO's keypoints.
NOT_LABELLED, HIDDEN, VISIBLE = 0, 1, 2


def _sides(*names: str) -> list[frozenset[Part]]:
    """The parts that carry a left keypoint, and those of its right one."""
    return [
        frozenset(Part[side + name[1:] if name.startswith("_") else name] for name in names)
        for side in ("LEFT_", "RIGHT_")
    ]


_HEAD = frozenset({Part.HEAD, Part.HAIR})
# Parts of a person that carry the keypoint; any other part there hides it. In the order of coco17.
CARRIERS: tuple[frozenset[Part], ...] = (
    *([_HEAD] * 5),
    *_sides("CHEST", "NECK", "_UPPER_ARM", "_SLEEVE"),
    *_sides("_UPPER_ARM", "_SLEEVE", "_FOREARM", "_CUFF"),
    *_sides("_FOREARM", "_CUFF", "_HAND"),
    *_sides("PELVIS", "CHEST", "SKIRT", "_THIGH", "_TROUSER"),
    *_sides("_THIGH", "_TROUSER", "_SHANK", "SKIRT"),
    *_sides("_SHANK", "_FOOT", "_TROUSER", "SKIRT"),
)


@dataclass(frozen=True)
class Figure:
    """Spheres (S, 3) and radii (S,), hulls of them, far to near, and keypoints (17, 3); body heights.

    ``turned`` (17,) is the state of each keypoint if nothing else covers it: `VISIBLE`, `HIDDEN` by the part
    that carries it, or `NOT_LABELLED` if an annotator would not guess it (a face from behind).
    """

    centers: np.ndarray
    radii: np.ndarray
    hulls: tuple[Hull, ...]
    keypoints: np.ndarray
    turned: np.ndarray
    look: Look


def make_figure(rng: np.random.Generator, variety: float = 1.0) -> Figure:
    """Draw a person, seen by a camera that looks slightly down, sometimes up; see `sample_pose`."""
    camera = rotate(np.array([1.0, 0, 0]), rng.normal(7, 9))
    return build_figure(sample_shape(rng), sample_pose(rng, variety), sample_look(rng), camera)


def build_figure(shape: Shape, pose: Pose, look: Look, camera: np.ndarray) -> Figure:
    """The figure of a person; ``camera`` (3, 3) turns the world into the view."""
    skeleton = build_skeleton(pose, shape, camera)
    maker = HullMaker()
    _add_trunk(maker, skeleton, shape, look)
    for side in (0, 1):
        _add_leg(maker, skeleton, shape, look, side)
        _add_arm(maker, skeleton, shape, look, side)
    if look.skirt:
        _add_skirt(maker, skeleton, shape, look)
    add_head(maker, skeleton, shape.head, look)
    face = skeleton.head + KEYPOINTS * shape.head @ skeleton.head_frame.T
    points = (
        skeleton.shoulders,
        skeleton.elbows,
        skeleton.wrists,
        skeleton.hips,
        skeleton.knees,
        skeleton.ankles,
    )
    return Figure(
        np.array(maker.centers),
        np.array(maker.radii),
        tuple(sorted(maker.hulls, key=lambda hull: -hull.depth)),
        np.concatenate([face, *points]),
        _find_turned(skeleton),
        look,
    )


def _find_turned(skeleton: Skeleton) -> np.ndarray:
    turned = np.full(COCO17.num_keypoints, VISIBLE)
    # z of the outward normals: below 0 they face the camera. Ears stand out and stay visible a little longer.
    away = NORMALS @ skeleton.head_frame[2] - np.array([0.15, 0.1, 0.1, 0.4, 0.4])
    turned[:5] = np.select([away < 0, away < 0.3], [VISIBLE, HIDDEN], NOT_LABELLED)
    # The far shoulder and hip of a person in profile lie behind the trunk.
    for frame, left in ((skeleton.chest_frame, 5), (skeleton.pelvis_frame, 11)):
        far = left if frame[2, 0] > 0 else left + 1
        if abs(frame[2, 0]) > 0.82:
            turned[far] = HIDDEN
    return turned


def _add_trunk(maker: HullMaker, skeleton: Skeleton, shape: Shape, look: Look) -> None:
    girth, chest, pelvis = shape.girth, skeleton.chest_frame, skeleton.pelvis_frame
    depth = float((skeleton.waist[2] + skeleton.neck[2] + skeleton.pelvis[2]) / 3)
    loose = 0.5 + 0.5 * look.looseness
    hem = [skeleton.pelvis + pelvis @ (x, 0.012, 0) for x in (0.045, -0.045)]
    waist = [skeleton.waist + pelvis @ (x, 0, 0) for x in (0.035 * girth, -0.035 * girth)]
    ribs = [skeleton.waist + chest @ (x, -0.45 * shape.trunk, 0) for x in (0.045, -0.045)]
    slope = 0.86 * skeleton.shoulders + 0.14 * skeleton.neck + chest @ (0, 0.012, 0)
    thick = 0.056 * girth * loose
    collar = skeleton.neck + chest @ (0, 0.02, 0)
    maker.add(Part.PELVIS, [*hem, *waist], (0.056 * girth,) * 2 + (0.05 * girth,) * 2, look.bottom, depth)
    maker.add(
        Part.CHEST,
        [*waist, *(0.6 * h + 0.4 * w for h, w in zip(hem, waist, strict=True))],
        (thick,) * 4,
        look.top,
        depth,
    )
    maker.add(
        Part.CHEST,
        [*slope, collar, *ribs, *waist],
        (0.034, 0.034, 0.036, 0.058 * loose, 0.058 * loose, thick, thick),
        look.top,
        depth,
    )
    up = 0.5 * (skeleton.neck + skeleton.head)
    maker.add(
        Part.NECK, [skeleton.neck, up], (0.031 * girth**0.5, 0.028), look.skin * 0.93, float(up[2]) + 0.012
    )
    _add_front_or_back(maker, skeleton, shape, look, depth)


def _add_front_or_back(maker: HullMaker, skeleton: Skeleton, shape: Shape, look: Look, depth: float) -> None:
    """Add details on one side of the chest only, which tell front from back."""
    chest = skeleton.chest_frame
    towards = chest[2, 2]
    surface = 0.055 * shape.girth

    def at(x: float, down: float, z: float = -surface) -> np.ndarray:
        """Points on the chest, ``down`` from the collar (0) to the waist (1)."""
        return skeleton.waist + chest @ (x, -0.66 * shape.trunk * (1 - down), z)

    def mark(points: list[np.ndarray], radius: float, colour: np.ndarray) -> None:
        maker.add(Part.CHEST, points, (radius,) * len(points), colour, depth, shaded=False)

    if look.backpack:
        pack = [at(x, down, 0.095) for x in (0.045, -0.045) for down in (0.15, 0.85)]
        maker.add(Part.BAG, pack, (0.04,) * 4, look.bag_colour, float(np.mean(pack, axis=0)[2]))
    if towards > 0.25:
        if look.backpack:
            for x in (0.06, -0.06):
                mark([at(x, 0.0), at(x, 0.6)], 0.009, look.bag_colour)
        if look.front in ("vneck", "open"):
            mark([at(0.03, -0.02), at(-0.03, -0.02), at(0, 0.3)], 0.006, look.skin * 0.97)
        if look.front == "open":
            mark([at(0.012, 0.25), at(-0.012, 0.25), at(0.02, 1.2), at(-0.02, 1.2)], 0.008, look.second)
        elif look.front == "print":
            mark([at(x, down) for x in (0.03, -0.03) for down in (0.35, 0.6)], 0.006, look.second)
        elif look.front == "buttons":
            mark([at(0, 0.02), at(0, 1.25)], 0.004, 0.6 * look.top)
            for down in (0.2, 0.45, 0.7, 0.95):
                mark([at(0, down)], 0.006, 0.5 * look.second + 100)
    elif towards < -0.25 and look.front == "open":
        mark([at(0.04, 0.02, surface), at(-0.04, 0.02, surface), at(0, 0.2, surface)], 0.02, 0.8 * look.top)


def _add_arm(maker: HullMaker, skeleton: Skeleton, shape: Shape, look: Look, side: int) -> None:
    shoulder, elbow, wrist = skeleton.shoulders[side], skeleton.elbows[side], skeleton.wrists[side]
    girth, loose = shape.girth**0.8, look.looseness
    hand = wrist + (wrist - elbow) * 0.42
    upper = float(0.5 * (shoulder[2] + elbow[2])) - 0.02
    lower = float(0.5 * (elbow[2] + hand[2])) - 0.025
    skin, cover = look.skin, look.top
    maker.add(
        Part(Part.LEFT_UPPER_ARM + side), [shoulder, elbow], (0.032 * girth, 0.024 * girth), skin, upper
    )
    if look.sleeve:
        end = shoulder + min(look.sleeve, 1.0) * (elbow - shoulder)
        radii = (0.035 * girth, (0.034 - 0.006 * min(look.sleeve, 1.0)) * girth * loose)
        maker.add(Part(Part.LEFT_SLEEVE + side), [shoulder, end], radii, cover, upper)
    palm = wrist + (hand - wrist) * 0.45
    maker.add(Part(Part.LEFT_HAND + side), [wrist, palm, hand], (0.015, 0.021, 0.012), skin, lower)
    middle = elbow + 0.3 * (wrist - elbow)
    maker.add(
        Part(Part.LEFT_FOREARM + side),
        [elbow, middle, wrist],
        (0.023 * girth, 0.024 * girth, 0.016 * girth),
        skin,
        lower,
    )
    if look.sleeve > 1:
        end = elbow + (look.sleeve - 1) * (wrist - elbow)
        radii = (0.027 * girth * loose, 0.021 * girth * loose)
        maker.add(Part(Part.LEFT_CUFF + side), [elbow, end], radii, cover, lower)


def _add_leg(maker: HullMaker, skeleton: Skeleton, shape: Shape, look: Look, side: int) -> None:
    hip, knee, ankle = skeleton.hips[side], skeleton.knees[side], skeleton.ankles[side]
    girth, loose, skin, cover = shape.girth**0.8, look.looseness, look.skin, look.bottom
    upper = float(0.5 * (hip[2] + knee[2])) + 0.002
    lower = float(0.5 * (knee[2] + ankle[2]))
    thick = (0.053 * girth, 0.038 * girth)
    maker.add(Part(Part.LEFT_THIGH + side), [hip, knee], thick, skin, upper)
    if look.trouser:
        share = min(look.trouser, 1.0)
        radii = (0.057 * girth, (thick[0] + share * (thick[1] - thick[0])) * loose)
        maker.add(Part(Part.LEFT_TROUSER + side), [hip, hip + share * (knee - hip)], radii, cover, upper)
    calf = knee + 0.3 * (ankle - knee)
    maker.add(
        Part(Part.LEFT_SHANK + side),
        [knee, calf, ankle],
        (0.035 * girth, 0.037 * girth, 0.021 * girth),
        skin,
        lower,
    )
    if look.trouser > 1:
        end = knee + (look.trouser - 1) * (ankle - knee)
        radii = (0.039 * girth * loose**0.5, 0.033 * girth * loose)
        maker.add(Part(Part.LEFT_TROUSER + side), [knee, end], radii, cover, lower)
    foot = skeleton.foot_frames[side]
    heel, toe, tip = (ankle + foot @ at for at in ((0, 0.02, 0.014), (0, 0.024, -0.07), (0, 0.03, -0.095)))
    depth = float(0.4 * ankle[2] + 0.6 * toe[2]) - 0.01
    widths = (0.02, 0.02, 0.019, 0.013)
    maker.add(Part(Part.LEFT_FOOT + side), [ankle, heel, toe, tip], widths, look.shoe, depth)


def _add_skirt(maker: HullMaker, skeleton: Skeleton, shape: Shape, look: Look) -> None:
    girth, share = shape.girth, min(look.skirt, 1.0)
    waist = [skeleton.waist + skeleton.pelvis_frame @ (x, 0.03, 0) for x in (0.035 * girth, -0.035 * girth)]
    hem = skeleton.hips + share * (skeleton.knees - skeleton.hips)
    if look.skirt > 1:
        hem = skeleton.knees + (look.skirt - 1) * (skeleton.ankles - skeleton.knees)
    middles = 0.5 * (skeleton.hips + skeleton.knees)
    depth = float(min(skeleton.hips[:, 2].min(), middles[:, 2].min())) - 0.004
    flare = 0.052 * girth * (1 + 0.25 * share) * look.looseness
    radii = (0.05 * girth,) * 2 + (0.06 * girth,) * 2 + (flare,) * 2
    maker.add(Part.SKIRT, [*waist, *skeleton.hips, *hem], radii, look.bottom, depth)
