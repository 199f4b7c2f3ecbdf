"""Pictures of a synthetic satellite with eleven exact keypoints, and COCO annotations of it.

The pictures resemble those of the Satellite Pose Estimation Dataset, SPEED (Kisantal et al., IEEE
Transactions on Aerospace and Electronic Systems 2020), and the keypoints those chosen on its satellite (Chen
et al., ICCV Workshops 2019): corners of the body and the solar panel, tips of the antennas. The shape is
our own, and differs from its mirror image by the antennas and the marks on the faces. There are no shadows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import cv2
import numpy as np

from ppose.data.synthetic.facets import find_hidden, find_normals, project, rasterize
from ppose.data.synthetic.figure import HIDDEN, NOT_LABELLED, VISIBLE
from ppose.data.synthetic.space import paint_space, photograph
from ppose.data.synthetic.textures import get_noise_tiles
from ppose.errors import DataError
from ppose.geometry.pnp import to_quaternion

_CORNERS = ("front_left", "front_right", "back_right", "back_left")
NAMES = (
    *(f"panel_{corner}" for corner in _CORNERS),
    *(f"base_{corner}" for corner in _CORNERS),
    *("antenna_front", "antenna_left", "antenna_right"),
)
SKELETON = (
    *((0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4)),
    *((0, 4), (1, 5), (2, 6), (3, 7), (0, 8), (3, 9), (1, 10)),
)

# Metres; x to the right, y to the front, z up to the panel. Each antenna from its root to its tip.
_PANEL_HALF, _BODY_HALF = np.array([0.40, 0.36]), np.array([0.28, 0.32])
_PANEL_TOP, _PANEL_BOTTOM, _TOP, _BOTTOM = 0.175, 0.165, 0.161, -0.17  # no two facets in one plane
_ANTENNAS = np.array(
    [
        [(-0.18, 0.32, 0.08), (-0.18, 0.70, 0.08)],
        [(-0.28, -0.14, 0.02), (-0.60, -0.14, 0.14)],
        [(0.28, 0.10, -0.06), (0.56, 0.30, -0.20)],
    ]
)
_ROD = 0.014  # their radius
_RADIUS = 0.65  # of a ball around the origin that nearly holds all
_SIGNS = np.array([(-1, 1), (1, 1), (1, -1), (-1, -1)])  # of _CORNERS

_FOCAL_LENGTH = 1.56  # of SPEED's camera, in image widths: 17.6 mm over 1920 pixels of 5.86 um
_OVERSAMPLING = 2
_SIZE = (192, 160)  # of pictures, by default
_FEWEST_INSIDE = 6


def _turn(rotation_vector: Sequence[float]) -> np.ndarray:
    """The matrix (3, 3) of a rotation about a vector by its length in radians."""
    return cv2.Rodrigues(np.array(rotation_vector, np.float64))[0]


# Approaches lie in a cone around this view, of the panel from above and the front, with a random roll.
_APPROACH = _turn((np.deg2rad(130), 0, 0)) @ _turn((0, 0, np.deg2rad(155)))
_CONE, _ROLL = np.deg2rad(60), np.deg2rad(45)


@dataclass(frozen=True)
class _Satellite:
    """Facets (Q, 4, 3), each with the name of its surface, and keypoints (11, 3)."""

    corners: np.ndarray
    surfaces: tuple[str, ...]
    keypoints: np.ndarray


def render_satellite(
    seed: int, index: int, size: tuple[int, int] = _SIZE
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Return a picture (H, W, 3) uint8 RGB, grey, and the annotation of its satellite, in a list.

    The same ``seed`` and ``index`` (from 0) always give the same result; ``size`` is (width, height). The
    camera is on an approach to the panel and the front, at distances where the satellite is a third of the
    picture or larger, up to beyond its border; the sun is anywhere. The annotation is COCO's without ids, as
    in `render_scene`; flags: 2 visible, 1 hidden by the satellite itself, 0 outside of the image. Its
    ``pose`` in space is the ``quaternion`` (scalar first) and ``translation`` (metres) of p_camera = R p + t.
    Raises DataError for invalid arguments.
    """
    if seed < 0 or index < 0:
        raise DataError(f"got seed {seed} and index {index}, expected 0 or more")
    if min(size) < 32:
        raise DataError(f"got size {size}, expected sides of 32 or more")
    attempt = 0
    while True:  # nearly always once: draws again only if too little of it is inside
        rng = np.random.default_rng((seed, index, attempt))
        rotation, position = _sample_pose(size, rng)
        shown, keypoints, hidden = view(rotation, position, size)
        annotation = _annotate(shown, keypoints, hidden, size)
        if annotation["num_keypoints"] >= _FEWEST_INSIDE:
            quaternion = to_quaternion(rotation)
            annotation["pose"] = {"quaternion": quaternion.tolist(), "translation": position.tolist()}
            return _paint(shown, rotation, position, size, rng), [annotation]
        attempt += 1


def view(
    rotation: np.ndarray, position: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the camera sees of the satellite at an attitude (3, 3) and a position (3,) in metres.

    Returns the facet that each pixel shows, from 1, or 0, at twice the image's ``size``, (2 H, 2 W); the
    keypoints (11, 2) in pixels of the image itself; and which of them the satellite hides, (11,).
    """
    satellite = make_satellite()
    corners = satellite.corners @ rotation.T + position
    points = satellite.keypoints @ rotation.T + position
    focal_length, principal_point = _camera(size)
    large = (size[0] * _OVERSAMPLING, size[1] * _OVERSAMPLING)
    shown = rasterize(corners, *_camera(large), large)
    return shown, project(points, focal_length, principal_point), find_hidden(points, corners, 2 * _ROD)


@lru_cache(maxsize=1)
def make_satellite() -> _Satellite:
    """The body with its panel and antennas, around the origin."""
    cells, back = (_at_height(_SIGNS * _PANEL_HALF, z) for z in (_PANEL_TOP, _PANEL_BOTTOM))
    top, base = (_at_height(_SIGNS * _BODY_HALF, z) for z in (_TOP, _BOTTOM))
    facets = [cells[::-1], back, *_make_sides(cells, back), base, *_make_sides(top, base)]
    surfaces = ["cells", "back of cells", *["rim"] * 4, "adapter", "front", "right", "back", "left"]
    for root, tip in _ANTENNAS:
        rod = _make_rod(root, tip)
        facets += rod
        surfaces += ["rod"] * len(rod)
    keypoints = np.concatenate([(cells + back) / 2, base, _ANTENNAS[:, 1]])
    return _Satellite(np.stack(facets), tuple(surfaces), keypoints)


def describe_model() -> dict[str, Any]:
    """The satellite and the camera of pictures of the default size, as `read_object_model` reads them."""
    focal_length, (x, y) = _camera(_SIZE)
    matrix = [[focal_length, 0.0, float(x)], [0.0, focal_length, float(y)], [0.0, 0.0, 1.0]]
    points = make_satellite().keypoints.tolist()
    return {
        "keypoints": dict(zip(NAMES, points, strict=True)),
        "camera": {"cameraMatrix": matrix, "distCoeffs": [0.0] * 5},
    }


def _at_height(corners: np.ndarray, z: float) -> np.ndarray:
    return np.column_stack([corners, np.full(len(corners), z)])


def _make_sides(top: np.ndarray, base: np.ndarray) -> list[np.ndarray]:
    """The four facets between two squares: front, right, back, left."""
    after = np.roll(np.arange(4), -1)
    return list(np.stack([base[after], base, top, top[after]], axis=1))


def _make_rod(root: np.ndarray, tip: np.ndarray) -> list[np.ndarray]:
    """The long facets of a prism of six sides from ``root`` to ``tip``."""
    along = (tip - root) / np.linalg.norm(tip - root)
    across = np.cross(along, (0.0, 0.0, 1.0))
    across /= np.linalg.norm(across)
    angles = np.arange(7) * (np.pi / 3)
    circle = np.outer(np.cos(angles), across) + np.outer(np.sin(angles), np.cross(along, across))
    ring = _ROD * circle
    return [np.stack([root + a, root + b, tip + b, tip + a]) for a, b in pairwise(ring)]


def _camera(size: tuple[int, int]) -> tuple[float, np.ndarray]:
    """Focal length and principal point, the middle of the image, in its pixels."""
    return _FOCAL_LENGTH * size[0], (np.array(size) - 1) / 2


def _sample_pose(size: tuple[int, int], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Attitude (3, 3), its line of sight uniform in the cone of approaches, and position (3,) in metres."""
    way, cosine = rng.uniform(0, 2 * np.pi), rng.uniform(np.cos(_CONE), 1)
    roll = _turn((0, 0, rng.uniform(-_ROLL, _ROLL)))
    rotation = roll @ _turn(np.arccos(cosine) * np.array([np.cos(way), np.sin(way), 0])) @ _APPROACH
    focal_length, principal_point = _camera(size)
    share = rng.uniform(0.35, 1.15)
    distance = 2 * _RADIUS * focal_length / (share * min(size))
    slack = (np.array(size) - 0.8 * share * min(size)).clip(0) / 2
    pixel = principal_point + rng.uniform(-1, 1, 2) * slack
    return rotation, distance * np.append((pixel - principal_point) / focal_length, 1)


def _annotate(
    shown: np.ndarray, keypoints: np.ndarray, hidden: np.ndarray, size: tuple[int, int]
) -> dict[str, Any]:
    """A COCO annotation, without ids."""
    flags = np.where(hidden, HIDDEN, VISIBLE)
    flags[((keypoints < -0.5) | (keypoints >= np.array(size) - 0.5)).any(axis=1)] = NOT_LABELLED
    points = np.where(flags[:, None] > 0, keypoints.round(2), 0)
    inside = (shown > 0).view(np.uint8)
    silhouette = cv2.resize(inside * 255, size, interpolation=cv2.INTER_AREA)
    return {
        "category_id": 1,
        "iscrowd": 0,
        "num_keypoints": int((flags > 0).sum()),
        "keypoints": np.column_stack([points, flags]).ravel().tolist(),
        "bbox": [float(side) for side in cv2.boundingRect(silhouette)],
        "area": cv2.countNonZero(inside) / _OVERSAMPLING**2,
    }


def _paint(
    shown: np.ndarray,
    rotation: np.ndarray,
    position: np.ndarray,
    size: tuple[int, int],
    rng: np.random.Generator,
) -> np.ndarray:
    """The picture: the satellite lit by the sun and a little by the Earth, over space."""
    sun = rng.normal(size=3)
    sun[2] = -abs(sun[2]) if rng.random() < 0.85 else sun[2]  # mostly somewhere behind the camera
    sun /= np.linalg.norm(sun)
    background = paint_space(size, sun, rng)
    light = _shade(shown, rotation, position, sun, rng.uniform(0.05, 0.3))
    image = np.dstack([light, shown > 0]).astype(np.float32)
    # Exposure follows the satellite's brightness.
    gain = min(rng.uniform(0.5, 1.1) / max(np.percentile(light[shown > 0], 90), 1e-3), 6.0)
    light, cover = np.moveaxis(cv2.resize(image, size, interpolation=cv2.INTER_AREA), -1, 0)
    return photograph(gain * (background * (1 - cover) + light), rng)


def _shade(
    shown: np.ndarray, rotation: np.ndarray, position: np.ndarray, sun: np.ndarray, ambient: float
) -> np.ndarray:
    """The light (2 H, 2 W) from each visible facet: Lambert's law and a highlight (Blinn 1977)."""
    satellite, albedos = make_satellite(), _make_albedos()
    corners = satellite.corners @ rotation.T + position
    normals = find_normals(corners)
    middles = corners.mean(axis=1)
    halfway = sun - middles / np.linalg.norm(middles, axis=1, keepdims=True)
    halfway /= np.linalg.norm(halfway, axis=1, keepdims=True)
    facing = (normals @ sun).clip(0)
    shine = np.where(facing > 0, (normals * halfway).sum(axis=1).clip(0) ** 40, 0)
    outlines = project(corners, *_camera(shown.shape[::-1])).astype(np.float32)
    light = np.zeros(shown.shape, np.float32)
    for index in np.unique(shown[shown > 0]) - 1:
        albedo = albedos[satellite.surfaces[index]]
        height, width = albedo.shape
        # The texture's rows run down from the facet's last two corners to its first two.
        frame = np.array([(0, height), (width, height), (width, 0), (0, 0)], np.float32) - 0.5
        own = shown == index + 1
        x, y, w, h = cv2.boundingRect(own.view(np.uint8))
        window = slice(y, y + h), slice(x, x + w)
        warp = cv2.getPerspectiveTransform(frame, outlines[index] - np.array([x, y], np.float32))
        laid = cv2.warpPerspective(albedo, warp, (w, h), borderMode=cv2.BORDER_REPLICATE)
        lit = laid * (ambient + facing[index]) + 0.8 * shine[index]
        light[window][own[window]] = lit[own[window]]
    return light


@lru_cache(maxsize=1)
def _make_albedos() -> dict[str, np.ndarray]:
    """The share of light (64, 64) that each surface reflects, with the parts mounted on it."""
    foil = cv2.resize(get_noise_tiles()[1], (64, 64)).astype(np.float32) / 255
    plain = {"front": 0.75, "right": 0.6, "back": 0.45, "left": 0.6, "adapter": 0.5, "back of cells": 0.35}
    surfaces = {name: (tone + 0.3 * (foil - 0.5)).astype(np.float32) for name, tone in plain.items()}
    cells = np.full((64, 64), 0.14, np.float32)
    cells[::8], cells[:, ::16] = 0.5, 0.5
    cells[:10, :14] = 0.8  # a sensor at the panel's corner
    surfaces["cells"] = cells
    cv2.circle(surfaces["front"], (42, 34), 12, 0.08, -1)
    cv2.circle(surfaces["adapter"], (32, 32), 22, 0.95, 4)
    cv2.rectangle(surfaces["adapter"], (4, 4), (14, 12), 0.05, -1)
    cv2.rectangle(surfaces["right"], (6, 10), (26, 54), 0.1, -1)
    cv2.rectangle(surfaces["left"], (8, 8), (56, 22), 0.95, -1)
    for x in range(10, 60, 14):
        cv2.line(surfaces["back"], (x, 4), (x, 60), 0.9, 4)
    surfaces["rod"] = surfaces["rim"] = np.full((64, 64), 0.85, np.float32)
    return surfaces
