"""Seamless tiles, and surfaces made of them."""

from functools import lru_cache

import cv2
import numpy as np

_SIZE = 128
_RAMP = np.linspace(0, 1, 256)[:, None]


@lru_cache(maxsize=1)
def get_noise_tiles() -> tuple[np.ndarray, ...]:
    """Tiles (128, 128) uint8 of cloudy, grainy and streaky noise, identical in every process."""
    rng = np.random.default_rng(7)
    tiles = []
    for first_octave, last_octave, stretch in (
        (2, 5, 1),
        (2, 7, 1),
        (3, 6, 1),
        (5, 7, 1),
        (3, 7, 8),
        (2, 6, 4),
    ):
        total = np.zeros((_SIZE, _SIZE), np.float32)
        for octave in range(first_octave, last_octave):
            cells = rng.standard_normal((2**octave, max(2, 2**octave // stretch))).astype(np.float32)
            wrapped = np.pad(cells, 2, mode="wrap")
            factor_y, factor_x = _SIZE // cells.shape[0], _SIZE // cells.shape[1]
            large = cv2.resize(wrapped, None, fx=factor_x, fy=factor_y, interpolation=cv2.INTER_CUBIC)
            total += large[2 * factor_y :, 2 * factor_x :][:_SIZE, :_SIZE] * 0.62 ** (octave - first_octave)
        tiles.append(_to_uint8(total))
    return tuple(tiles)


@lru_cache(maxsize=1)
def get_pattern_tiles() -> tuple[np.ndarray, ...]:
    """Tiles (128, 128) uint8 of cloth and walls: stripes, checks, plaid, dots, bricks, flowers."""
    y, x = np.mgrid[:_SIZE, :_SIZE].astype(np.float32) * (2 * np.pi / _SIZE)
    stripes = np.sin(8 * x)
    checks = np.sin(4 * x) * np.sin(4 * y)
    plaid = np.sin(4 * x) + np.sin(4 * y) + 0.4 * np.sin(16 * x) + 0.4 * np.sin(16 * y)
    dots = np.cos(6 * x) + np.cos(6 * y) - 1.1
    row = np.floor(y * 8 / (2 * np.pi))
    bricks = np.minimum(np.abs(np.sin(4 * y)), np.abs(np.sin(2 * x + (row % 2) * np.pi / 2))) - 0.18
    flowers = np.sin(3 * x + 2 * np.sin(4 * y)) * np.cos(4 * y + 2 * np.sin(3 * x))
    sharp = [np.tanh(6 * tile) for tile in (stripes, checks, dots, flowers)]
    return tuple(_to_uint8(tile) for tile in (*sharp, plaid, np.tanh(9 * bricks), stripes))


@lru_cache(maxsize=1)
def get_grain() -> np.ndarray:
    """Noise of a sensor, (1024, 1024, 3) uint8 around 128 with a deviation of 32."""
    rng = np.random.default_rng(11)
    return rng.normal(128, 32, (1024, 1024, 3)).clip(0, 255).astype(np.uint8)


def lay_tiles(
    tile: np.ndarray, shape: tuple[int, int], zoom: float, rng: np.random.Generator, tilt: float = 0.0
) -> np.ndarray:
    """Cover an area of ``shape`` (h, w) with a tile, ``zoom`` pixels per tile pixel, randomly rotated.

    ``tilt`` makes the tile's rows shrink towards the top, as on a floor.
    """
    angle, shift = rng.uniform(0, 2 * np.pi), rng.uniform(0, _SIZE, 2)
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    height, width = shape
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    if not tilt:
        matrix = np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]]])
        return cv2.warpAffine(tile, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_WRAP)
    floor = np.array([[1, 0, -width / 2], [0, 1.5, 0], [0, 1 / height, tilt]])
    turn = np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]], [0, 0, 1]])
    return cv2.warpPerspective(tile, turn @ floor, (width, height), flags=flags, borderMode=cv2.BORDER_WRAP)


def colour_tones(tones: np.ndarray, dark: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Turn tones (h, w) uint8 into an RGB image between two colours (3,)."""
    table = (dark + _RAMP * (light - dark)).clip(0, 255).astype(np.uint8)
    return cv2.LUT(cv2.merge([tones, tones, tones]), table[:, None])


def _to_uint8(values: np.ndarray) -> np.ndarray:
    return cv2.normalize(values, np.empty_like(values), 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
