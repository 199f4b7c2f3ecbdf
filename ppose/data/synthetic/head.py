"""The head: face, hair and hat, and where its five keypoints are."""

import numpy as np

from ppose.data.synthetic.body import Skeleton
from ppose.data.synthetic.look import Look
from ppose.data.synthetic.parts import HullMaker, Part

# Nose, eyes, ears in the head's frame (x left, y down, z back), in body heights at head size 1.
KEYPOINTS = np.array(
    [(0, 0.013, -0.066), (0.021, -0.006, -0.046), (-0.021, -0.006, -0.046)]
    + [(0.046, 0.004, 0.004), (-0.046, 0.004, 0.004)]
)
# Outward directions of these; in the same frame.
NORMALS = np.array([(0, 0.1, -1), (0.42, -0.1, -0.9), (-0.42, -0.1, -0.9), (1, 0, 0), (-1, 0, 0)])
NORMALS /= np.linalg.norm(NORMALS, axis=1, keepdims=True)

_LIP, _WHITE, _PUPIL, _DARK = (
    np.array(c, float) for c in ((165, 80, 80), (240, 238, 232), (35, 28, 25), (25, 25, 28))
)
_SKULL = np.array([(0, -0.010, 0.006), (0, 0.004, 0.014)])


def add_head(maker: HullMaker, skeleton: Skeleton, size: float, look: Look) -> None:
    """Add the head's hulls; what is at the back is painted first where the face looks at the camera."""
    frame = skeleton.head_frame
    head = _Head(maker, skeleton.head, frame, size)
    towards = frame[2, 2]  # 1: the face looks straight at the camera, -1: away
    if look.hair_style == "long":
        _add_long_hair(head, look)
    if look.hair_style == "tail":
        head.add(Part.HAIR, [(0, -0.025, 0.07), (0, 0.05, 0.085)], (0.02, 0.011), look.hair, own_depth=True)
    if look.hair_style == "bun":
        head.add(Part.HAIR, [(0, -0.045, 0.055)], (0.026,), look.hair, own_depth=True)
    if towards > -0.25:
        _add_back(head, look)
        _add_ears(head, look)
        _add_face(head, look)
        if towards > 0:
            _add_features(head, look)
    else:
        _add_face(head, look)
        _add_back(head, look)
        _add_ears(head, look)
    _add_top(head, look, towards)


class _Head:
    """Places hulls given in the head's own frame."""

    def __init__(self, maker: HullMaker, center: np.ndarray, frame: np.ndarray, size: float) -> None:
        self._maker, self._center, self._frame, self._size = maker, center, frame, size

    def looks_at_camera(self, normal: tuple[float, float, float], margin: float = 0.1) -> bool:
        return float(self._frame[2] @ normal) < -margin

    def add(
        self,
        part: Part,
        centers: np.ndarray | list[tuple[float, float, float]],
        radii: tuple[float, ...],
        colour: np.ndarray,
        shaded: bool = True,
        own_depth: bool = False,
    ) -> None:
        points = self._center + np.asarray(centers, float) * self._size @ self._frame.T
        depth = points[:, 2].mean() if own_depth else self._center[2]
        self._maker.add(part, points, [r * self._size for r in radii], colour, depth, shaded)


def _add_long_hair(head: _Head, look: Look) -> None:
    back = [(0.03, 0.0, 0.03), (-0.03, 0.0, 0.03), (0.042, 0.1, 0.05), (-0.042, 0.1, 0.05)]
    head.add(Part.HAIR, back, (0.035, 0.035, 0.022, 0.022), look.hair, own_depth=True)


def _add_back(head: _Head, look: Look) -> None:
    if look.hair_style == "bald":
        head.add(Part.HEAD, _SKULL, (0.054, 0.046), look.skin)
    else:
        thick = 0.004 if look.hair_style == "short" else 0.009
        head.add(Part.HAIR, _SKULL, (0.055 + thick, 0.048 + thick), look.hair)


def _add_ears(head: _Head, look: Look) -> None:
    if look.hair_style == "long":
        return
    for side in (1, -1):
        if head.looks_at_camera((side * 0.9, 0, -0.3), -0.35):
            ear = [(side * 0.047, -0.002, 0.004), (side * 0.045, 0.012, 0.002)]
            head.add(Part.HEAD, ear, (0.011, 0.008), look.skin * 0.9)


def _add_face(head: _Head, look: Look) -> None:
    jaw = [(0.014, -0.006, -0.014), (-0.014, -0.006, -0.014), (0.008, 0.038, -0.020), (-0.008, 0.038, -0.020)]
    head.add(Part.HEAD, jaw, (0.037, 0.037, 0.024, 0.024), look.skin)
    if look.beard and head.looks_at_camera((0, 0, -1), -0.25):
        beard = [(0.022, 0.030, -0.018), (-0.022, 0.030, -0.018), (0, 0.043, -0.022)]
        head.add(Part.HEAD, beard, (0.016, 0.016, 0.024), look.hair)
    head.add(Part.HEAD, [(0, -0.006, -0.047), (0, 0.013, -0.058)], (0.005, 0.009), look.skin * 0.96)


def _add_features(head: _Head, look: Look) -> None:
    for side in (1, -1):
        if not head.looks_at_camera((side * 0.42, -0.1, -0.9)):
            continue
        if look.glasses:
            head.add(Part.HEAD, [(side * 0.021, -0.006, -0.048)], (0.015,), _DARK, shaded=False)
            head.add(Part.HEAD, [(side * 0.021, -0.006, -0.049)], (0.011,), look.skin * 0.8, shaded=False)
        eye = [(side * 0.016, -0.006, -0.047), (side * 0.026, -0.006, -0.045)]
        head.add(Part.HEAD, eye, (0.005, 0.004), _WHITE, shaded=False)
        head.add(Part.HEAD, [(side * 0.021, -0.006, -0.048)], (0.0052,), _PUPIL, shaded=False)
        brow = [(side * 0.011, -0.020, -0.048), (side * 0.031, -0.020, -0.042)]
        head.add(Part.HEAD, brow, (0.003, 0.003), look.hair * 0.7, shaded=False)
    if head.looks_at_camera((0, 0.1, -1)):
        mouth = [(0.013, 0.034, -0.046), (-0.013, 0.034, -0.046)]
        head.add(Part.HEAD, mouth, (0.0042, 0.0042), 0.5 * (_LIP + look.skin * 0.8), shaded=False)
        head.add(Part.HEAD, [(0, 0.013, -0.065)], (0.008,), look.skin * 0.86, shaded=False)


def _add_top(head: _Head, look: Look, towards: float) -> None:
    """Add the fringe or the hat, over the existing hulls."""
    if look.hat != "none":
        if look.hat == "cap" and towards <= 0.1:
            _add_brim(head, look)
        crown = [(0.016, -0.036, 0.004), (-0.016, -0.036, 0.004), (0, -0.03, 0.014)]
        head.add(Part.HAIR, crown, (0.044, 0.044, 0.047), look.hat_colour)
        if look.hat == "cap" and towards > 0.1:
            _add_brim(head, look)
    elif look.hair_style != "bald":
        fringe = [(0.02, -0.046, -0.012), (-0.02, -0.046, -0.012), (0, -0.034, 0.016)]
        head.add(Part.HAIR, fringe, (0.021, 0.021, 0.034), look.hair)


def _add_brim(head: _Head, look: Look) -> None:
    brim = [
        (0.026, -0.034, -0.05),
        (-0.026, -0.034, -0.05),
        (0.018, -0.032, -0.082),
        (-0.018, -0.032, -0.082),
    ]
    head.add(Part.HAIR, brim, (0.006,) * 4, look.hat_colour * 0.75)
