"""What is behind and in front of synthetic people: walls, floors, landscapes, clutter and objects."""

import cv2
import numpy as np

from ppose.data.synthetic.look import sample_look
from ppose.data.synthetic.textures import colour_tones, get_noise_tiles, get_pattern_tiles, lay_tiles

_SHIFT = 4  # fractional bits of the points given to OpenCV
_SQUARE = np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)])
_ANGLES = np.linspace(0, 2 * np.pi, 24, endpoint=False)
_CIRCLE = np.column_stack([np.cos(_ANGLES), np.sin(_ANGLES)])


def paint_background(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A new image (H, W, 3) uint8 RGB without people."""
    if rng.random() < 0.35:  # out of focus, without detail
        small = _paint_place((-(-size[0] // 2), -(-size[1] // 2)), rng)
        small = cv2.GaussianBlur(small, (0, 0), rng.uniform(0.4, 1.2))
        return cv2.resize(small, size, interpolation=cv2.INTER_CUBIC)
    return _paint_place(size, rng)


def _paint_place(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Walls, ground and objects."""
    width, height = size
    image = np.empty((height, width, 3), np.uint8)
    horizon = int(height * rng.uniform(0.25, 0.9)) if rng.random() < 0.75 else height
    image[:horizon] = _paint_surface((horizon, width), rng)
    if horizon < height:
        image[horizon:] = _paint_surface((height - horizon, width), rng, tilt=rng.uniform(0.15, 0.6))
    for _ in range(int(rng.integers(2, 22))):
        extent = np.array(size) * rng.uniform(0.03, 0.4, 2)
        paint_object(image, rng.uniform(0, 1, 2) * size, extent, rng)
    for _ in range(int(rng.integers(0, 4))):
        _paint_limb_alike(image, rng)
    return image


def paint_object(
    image: np.ndarray, center: np.ndarray, extent: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Paint one object, flat or textured, into the image; return its outline (n, 2) in pixels."""
    kind = rng.random()
    if kind < 0.5:
        corners = _SQUARE + rng.normal(0, 0.08, (4, 2))
    elif kind < 0.75:
        corners = _CIRCLE
    else:
        angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 8)))
        corners = np.column_stack([np.cos(angles), np.sin(angles)])
    turn = rng.normal(0, 0.12) if rng.random() < 0.7 else rng.uniform(0, np.pi)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    outline = cv2.convexHull(((corners * extent / 2) @ rotation.T + center).astype(np.float32))[:, 0]
    base = rng.uniform(15, 240) + rng.normal(0, 12 if rng.random() < 0.6 else 45, 3)
    fixed = np.round(outline * (1 << _SHIFT)).astype(np.int32)
    cv2.fillConvexPoly(image, fixed, base.clip(0, 255).tolist(), cv2.LINE_AA, _SHIFT)
    if rng.random() < 0.3:
        _texture_inside(image, fixed, base, rng)
    if rng.random() < 0.4:
        edge = (base * rng.uniform(0.4, 1.3)).clip(0, 255).tolist()
        cv2.polylines(image, [fixed], True, edge, int(rng.integers(1, 3)), cv2.LINE_AA, _SHIFT)
    return outline


def _texture_inside(image: np.ndarray, fixed: np.ndarray, base: np.ndarray, rng: np.random.Generator) -> None:
    low = np.maximum(fixed.min(axis=0) >> _SHIFT, 0)
    high = np.minimum((fixed.max(axis=0) >> _SHIFT) + 1, image.shape[1::-1])
    if (high - low).min() < 4:
        return
    region = image[low[1] : high[1], low[0] : high[0]]
    mask = np.zeros(region.shape[:2], np.uint8)
    cv2.fillConvexPoly(mask, fixed - (low << _SHIFT).astype(np.int32), 255, cv2.LINE_8, _SHIFT)
    surface = _paint_surface(region.shape[:2], rng, base=base)
    cv2.copyTo(surface, mask, region)


def _paint_surface(
    shape: tuple[int, int], rng: np.random.Generator, tilt: float = 0.0, base: np.ndarray | None = None
) -> np.ndarray:
    """A textured area, lighter or darker towards one side."""
    patterns = rng.random() < 0.25
    tiles = get_pattern_tiles() if patterns else get_noise_tiles()
    tile = tiles[rng.integers(len(tiles))]
    zoom = np.exp(rng.uniform(np.log(0.35), np.log(3.0)))
    tones = lay_tiles(tile, shape, zoom, rng, tilt)
    if base is None:
        base = rng.uniform(30, 225) + rng.normal(0, 16, 3)
    spread = rng.normal(0, 6, 3) + rng.choice((-1, 1)) * rng.gamma(2.0, 18 if not patterns else 14)
    surface = colour_tones(tones, base - spread, base + spread)
    if rng.random() < 0.6:
        slope = np.linspace(rng.uniform(0.6, 1), rng.uniform(0.75, 1.25), shape[0])
        field = (slope * 128).clip(0, 255).astype(np.uint8)
        fields = cv2.cvtColor(cv2.resize(field[:, None], shape[::-1]), cv2.COLOR_GRAY2RGB)
        surface = cv2.multiply(surface, fields, scale=1 / 128)
    return surface


def _paint_limb_alike(image: np.ndarray, rng: np.random.Generator) -> None:
    """Something in the colour of skin, hair or clothes that is no limb."""
    look = sample_look(rng)
    colour = (look.skin, look.top, look.hair)[rng.integers(3)].clip(0, 255).tolist()
    height, width = image.shape[:2]
    start = rng.uniform(0, 1, 2) * (width, height)
    stop = start + rng.normal(0, 0.2, 2) * height
    thickness = int(rng.integers(2, max(4, height // 16)))
    cv2.line(image, start.astype(int).tolist(), stop.astype(int).tolist(), colour, thickness, cv2.LINE_AA)
