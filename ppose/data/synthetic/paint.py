"""Paints figures into an image: projection, shading, patterns, and the map of what covers each pixel."""

from dataclasses import dataclass

import cv2
import numpy as np

from ppose.data.synthetic.figure import Figure
from ppose.data.synthetic.parts import Part
from ppose.data.synthetic.textures import colour_tones, get_pattern_tiles, lay_tiles

_SHIFT = 4
_ANGLES = np.linspace(0, 2 * np.pi, 14, endpoint=False)
_CIRCLE = np.column_stack([np.cos(_ANGLES), np.sin(_ANGLES)])
# Rounding by light: outlines shrunk to these shares and moved towards the light, each lighter than the last.
_SHRINKS = np.array([1.0, 0.78, 0.5])
_MOVES = np.array([0.0, 0.14, 0.32])
_TOP_IDS = [Part.CHEST, Part.LEFT_SLEEVE, Part.RIGHT_SLEEVE, Part.LEFT_CUFF, Part.RIGHT_CUFF]
_BOTTOM_IDS = [Part.PELVIS, Part.SKIRT, Part.LEFT_TROUSER, Part.RIGHT_TROUSER]


@dataclass(frozen=True)
class Light:
    """The direction of the light in the image (2,), and the tones of the dark, middle and light side."""

    direction: np.ndarray
    tones: tuple[float, float, float]


@dataclass(frozen=True)
class PlacedFigure:
    """A figure in image pixels: spheres (S, 2) with radii (S,), keypoints (17, 2), pixels per body height."""

    figure: Figure
    centers: np.ndarray
    radii: np.ndarray
    keypoints: np.ndarray
    scale: float
    outline_xyxy: np.ndarray


def project(figure: Figure, distance: float) -> PlacedFigure:
    """The figure seen from ``distance`` body heights away, at one pixel per body height around (0, 0)."""
    near = distance / (distance + figure.centers[:, 2])
    centers, radii = figure.centers[:, :2] * near[:, None], figure.radii * near
    depth = figure.keypoints[:, 2:]
    keypoints = figure.keypoints[:, :2] * (distance / (distance + depth))
    outline = np.concatenate([(centers - radii[:, None]).min(axis=0), (centers + radii[:, None]).max(axis=0)])
    return PlacedFigure(figure, centers, radii, keypoints, 1.0, outline)


def place(placed: PlacedFigure, scale: float, shift: np.ndarray) -> PlacedFigure:
    """The figure enlarged by ``scale``, then moved by ``shift`` (2,) pixels."""
    return PlacedFigure(
        placed.figure,
        placed.centers * scale + shift,
        placed.radii * scale,
        placed.keypoints * scale + shift,
        placed.scale * scale,
        placed.outline_xyxy * scale + np.tile(shift, 2),
    )


def paint_figure(
    image: np.ndarray, parts: np.ndarray, placed: PlacedFigure, light: Light, rng: np.random.Generator
) -> None:
    """Paint a figure over the image (H, W, 3) uint8 and each pixel's `Part` over ``parts`` (H, W) uint8."""
    figure = placed.figure
    radii = placed.radii[:, None] * _SHRINKS
    centers = placed.centers[:, None] + (placed.radii[:, None] * _MOVES)[..., None] * light.direction
    points = centers[:, :, None] + radii[..., None, None] * _CIRCLE
    points = np.round(points * (1 << _SHIFT)).clip(-(2**27), 2**27).astype(np.int32)
    tones = np.array([light.tones if hull.shaded else (1.0,) * 3 for hull in figure.hulls])
    colours = np.array([hull.colour for hull in figure.hulls])
    painted = (colours[:, None] * tones[..., None]).clip(0, 255).tolist()
    for hull, of_levels in zip(figure.hulls, painted, strict=True):
        for level in range(len(_SHRINKS) if hull.shaded else 1):
            outline = cv2.convexHull(points[hull.first : hull.last, level].reshape(-1, 2))
            cv2.fillConvexPoly(image, outline, of_levels[level], cv2.LINE_AA, _SHIFT)
            if level == 0:
                cv2.fillConvexPoly(parts, outline, int(hull.part), cv2.LINE_8, _SHIFT)
    _paint_patterns(image, parts, placed, rng)


def _paint_patterns(
    image: np.ndarray, parts: np.ndarray, placed: PlacedFigure, rng: np.random.Generator
) -> None:
    """Multiply patterned clothes by a tile's tones."""
    look = placed.figure.look
    clothes = ((look.pattern_top, _TOP_IDS), (look.pattern_bottom, _BOTTOM_IDS))
    for worn, ids in clothes:
        if not worn:
            continue
        covers = np.zeros((256, 1), np.uint8)
        covers[[int(part) for part in ids]] = 255
        low = np.floor(placed.outline_xyxy[:2]).clip(0, image.shape[1::-1]).astype(int)
        high = np.ceil(placed.outline_xyxy[2:]).clip(0, image.shape[1::-1]).astype(int)
        if (high <= low).any():
            continue
        region = image[low[1] : high[1], low[0] : high[0]]
        mask = cv2.LUT(parts[low[1] : high[1], low[0] : high[0]], covers)
        tiles = get_pattern_tiles()
        zoom = placed.scale / 230 * rng.uniform(0.35, 1.1)
        tones = lay_tiles(tiles[rng.integers(len(tiles))], mask.shape, zoom, rng)
        gain = colour_tones(tones, 128 * rng.uniform(0.35, 0.9, 3), 128 * rng.uniform(0.9, 1.5, 3))
        cv2.copyTo(cv2.multiply(region, gain, scale=1 / 128), mask, region)
