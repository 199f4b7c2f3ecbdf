"""A picture of synthetic people with COCO annotations, decided by a seed and an index."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ppose.data.synthetic.background import paint_background, paint_object
from ppose.data.synthetic.figure import CARRIERS, HIDDEN, NOT_LABELLED, VISIBLE, make_figure
from ppose.data.synthetic.paint import Light, PlacedFigure, paint_figure, place, project
from ppose.data.synthetic.textures import get_grain
from ppose.errors import DataError

# Fewer visible keypoints are not worth annotating; below this visible share of a silhouette annotators
# leave out hidden keypoints.
_FEWEST_VISIBLE, _GUESSABLE_SHARE = 3, 0.3
# More tries would leave nobody in front of another person, fewer hardly anyone alone.
_PLACES_TRIED = 3
# Which of the carriers' parts count for each keypoint, as a table (17, 256).
_CARRIES = np.zeros((len(CARRIERS), 256), bool)
for _row, _parts in zip(_CARRIES, CARRIERS, strict=True):
    _row[[int(part) for part in _parts]] = True


@dataclass(frozen=True)
class Scene:
    """A picture (H, W, 3) uint8 RGB before light and lens, and what covers each pixel of it.

    ``figures`` stand in the order they were painted, far to near. ``parts`` (H, W) uint8 is the `Part` of the
    nearest figure, 0 for no person; ``owners`` (H, W) uint8 its position in ``figures`` plus 1.
    ``silhouettes`` are each figure's pixels inside the image, covered or not.
    """

    image: np.ndarray
    parts: np.ndarray
    owners: np.ndarray
    figures: tuple[PlacedFigure, ...]
    silhouettes: tuple[int, ...]


def render_scene(
    seed: int,
    index: int,
    size: tuple[int, int] = (320, 256),
    people: tuple[int, int] = (1, 3),
    variety: float = 1.0,
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Return a picture (H, W, 3) uint8 RGB and the annotations of its people, nearest last; at least one.

    The same ``seed`` and ``index`` (from 0) always give the same scene, and different ones are independent.
    ``size`` is (width, height); ``people`` are the fewest and the most people placed, though some may be
    covered entirely. ``variety`` from 0 to 1 controls how much poses and views differ, and how often objects
    or the image's border hide people. An annotation is COCO's without ids: keypoints (x, y, flag of coco17),
    bbox (xywh) and area of the visible silhouette, num_keypoints, iscrowd, category_id. Flags: 2 visible, 1
    hidden by an object or by the person, 0 outside of the image or not labelled. As in COCO, the face of a
    person who looks away and the hidden keypoints of a person who hardly shows are not labelled.
    Raises DataError for invalid arguments.
    """
    if seed < 0 or index < 0:
        raise DataError(f"got seed {seed} and index {index}, expected 0 or more")
    if min(size) < 32 or not 1 <= people[0] <= people[1] <= 100:
        raise DataError(f"got size {size} and people {people}, expected sides of 32 or more, 1 to 100 people")
    if not 0 <= variety <= 1:
        raise DataError(f"got variety {variety}, expected a number from 0 to 1")
    attempt = 0
    while True:  # nearly always once: draws again only if nobody is visible enough
        rng = np.random.default_rng((seed, index, attempt))
        scene = draw_scene(rng, size, people, variety)
        annotations = annotate(scene)
        if annotations:
            return _photograph(scene.image, rng), annotations
        attempt += 1


def draw_scene(
    rng: np.random.Generator, size: tuple[int, int], people: tuple[int, int], variety: float = 1.0
) -> Scene:
    """Draw and paint a scene; see `render_scene`."""
    image = paint_background(size, rng)
    shape = image.shape[:2]
    parts, owners = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    angle, contrast = rng.uniform(0, 2 * np.pi), rng.uniform(0.05, 0.3)
    light = Light(
        np.array([np.cos(angle), np.sin(angle)]), (1 - contrast, 1 - 0.3 * contrast, 1 + 0.45 * contrast)
    )
    count = int(rng.integers(people[0], people[1] + 1))
    figures: list[PlacedFigure] = []
    for _ in range(count):
        figures.append(_place_at_random(size, count, figures, rng, variety))
    figures.sort(key=lambda placed: placed.scale)
    silhouettes = []
    for position, placed in enumerate(figures):
        own = np.zeros(shape, np.uint8)
        paint_figure(image, own, placed, light, rng)
        silhouettes.append(cv2.countNonZero(own))
        cv2.copyTo(own, own, parts)
        owners[own > 0] = position + 1
    for placed in figures:
        if rng.random() < 0.3 * variety:
            _paint_occluder(image, parts, owners, placed, rng)
    return Scene(image, parts, owners, tuple(figures), tuple(silhouettes))


def annotate(scene: Scene) -> list[dict[str, Any]]:
    """COCO annotations, without ids, of the people who are visible enough."""
    annotations = []
    height, width = scene.parts.shape
    for position, placed in enumerate(scene.figures):
        pixels = np.round(placed.keypoints).astype(int)
        inside = np.all((pixels >= 0) & (pixels < (width, height)), axis=1)
        x, y = np.where(inside[:, None], pixels, 0).T
        uncovered = (scene.owners[y, x] == position + 1) & _CARRIES[np.arange(len(x)), scene.parts[y, x]]
        flags = np.where(uncovered, placed.figure.turned, np.minimum(placed.figure.turned, HIDDEN))
        mask = (scene.owners == position + 1).view(np.uint8)
        area = cv2.countNonZero(mask)
        flags[~inside] = NOT_LABELLED
        if area < _GUESSABLE_SHARE * scene.silhouettes[position]:
            flags[flags == HIDDEN] = NOT_LABELLED
        if (flags == VISIBLE).sum() < _FEWEST_VISIBLE:
            continue
        points = np.where(flags[:, None] > 0, placed.keypoints.round(2), 0)
        annotations.append(
            {
                "category_id": 1,
                "iscrowd": 0,
                "num_keypoints": int((flags > 0).sum()),
                "keypoints": np.column_stack([points, flags]).ravel().tolist(),
                "bbox": [float(side) for side in cv2.boundingRect(mask)],
                "area": float(area),
            }
        )
    return annotations


def _place_at_random(
    size: tuple[int, int],
    count: int,
    others: list[PlacedFigure],
    rng: np.random.Generator,
    variety: float,
) -> PlacedFigure:
    """A new figure, one of ``count``: mostly whole in the image, one in five cut by its border."""
    placed = project(make_figure(rng, variety), rng.uniform(2.2, 9))
    low, high = placed.outline_xyxy[:2], placed.outline_xyxy[2:]
    fit = float((np.array(size) / (high - low)).min())
    crowding = 1 - 0.12 * min(count - 1, 4)
    scale = fit * rng.uniform(0.55, 0.98) * crowding
    if rng.random() < 0.22 * variety:
        scale *= rng.uniform(1.3, 2.2)
    slack = np.array(size) - (high - low) * scale
    shifts = slack * rng.uniform(-0.06, 1.06, (_PLACES_TRIED, 2))
    if slack[1] < 0 and rng.random() < 0.7:  # photographs rather cut the legs than the head
        shifts[:, 1] = rng.uniform(-0.03, 0.1) * size[1]
    choices = [place(placed, scale, shift - low * scale) for shift in shifts]
    return min(choices, key=lambda choice: sum(_find_overlap(choice, other) for other in others))


def _find_overlap(one: PlacedFigure, other: PlacedFigure) -> float:
    """The common area of two figures' boxes."""
    low = np.maximum(one.outline_xyxy[:2], other.outline_xyxy[:2])
    high = np.minimum(one.outline_xyxy[2:], other.outline_xyxy[2:])
    return float((high - low).clip(0).prod())


def _paint_occluder(
    image: np.ndarray, parts: np.ndarray, owners: np.ndarray, placed: PlacedFigure, rng: np.random.Generator
) -> None:
    """Paint an object in front of a person, at any keypoint except those of the face."""
    low, high = placed.outline_xyxy[:2], placed.outline_xyxy[2:]
    breadth = float(np.sqrt((high - low).prod()))
    center = placed.keypoints[rng.integers(5, len(placed.keypoints))] + rng.normal(0, 0.05, 2) * breadth
    extent = breadth * np.exp(rng.normal(-1.2, 0.45, 2))
    outline = paint_object(image, center, extent, rng)
    fixed = np.round(outline * 16).astype(np.int32)
    for of_pixel in (parts, owners):
        cv2.fillConvexPoly(of_pixel, fixed, 0, cv2.LINE_8, 4)


def _photograph(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Apply uneven light, exposure and colour, blur and sensor noise."""
    height, width = image.shape[:2]
    if rng.random() < 0.6:
        corners = rng.uniform(0.55, 1.25, (2, 3, 1)) * rng.uniform(0.93, 1.07, 3)
        field = cv2.resize(
            (corners * 128).clip(0, 255).astype(np.uint8), (width, height), interpolation=cv2.INTER_CUBIC
        )
        image = cv2.multiply(image, field, scale=1 / 128)
    gamma, gain = np.exp(rng.normal(0, 0.22)), rng.normal(1, 0.12) * rng.normal(1, 0.05, 3)
    tones = np.linspace(0, 1, 256)[:, None] ** gamma * gain + rng.normal(0, 0.03)
    image = cv2.LUT(image, (tones * 255).clip(0, 255).astype(np.uint8)[:, None])
    if rng.random() < 0.04:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if rng.random() < 0.3:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.3))
    elif rng.random() < 0.1:
        kernel = np.zeros((7, 7), np.float32)
        along = rng.uniform(0, 2 * np.pi)
        tip = np.array([np.cos(along), np.sin(along)]) * 3
        cv2.line(kernel, np.round(3 - tip).astype(int).tolist(), np.round(3 + tip).astype(int).tolist(), 1.0)
        image = cv2.filter2D(image, -1, kernel / kernel.sum())
    grain, strength = get_grain(), rng.gamma(1.2, 3.0) / 32
    repeats = -(-height // 1024), -(-width // 1024), 1
    if max(repeats) > 1:
        grain = np.tile(grain, repeats)
    y, x = rng.integers(0, (grain.shape[0] - height + 1, grain.shape[1] - width + 1))
    grain = grain[y : y + height, x : x + width]
    return cv2.addWeighted(image, 1, grain, strength, -128 * strength)
