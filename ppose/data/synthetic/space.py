"""The background of a camera in orbit: stars, or the lit Earth and its limb."""

import cv2
import numpy as np

from ppose.data.synthetic.textures import get_noise_tiles, lay_tiles

_ATMOSPHERE = 0.012  # height at which its glow falls to 1 / e, in Earth radii


def paint_space(size: tuple[int, int], sun: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A new grey image (H, W) float32, 0 black to 1 white: the Earth in half of them, else stars.

    ``sun`` (3,) is the unit vector to the sun: x right, y down, z away from the camera.
    """
    width, height = size
    image = np.full((height, width), rng.uniform(0, 0.03), np.float32)
    if rng.random() < 0.5:
        return _paint_earth(image, sun, rng)
    count = int(rng.integers(0, 40))
    x, y = rng.integers(0, width, count), rng.integers(0, height, count)
    image[y, x] += rng.exponential(0.25, count)
    return image


def _paint_earth(image: np.ndarray, sun: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A sphere, larger than the image, with clouds, its night side and the air above its limb."""
    height, width = image.shape
    radius = width * rng.uniform(1.2, 5)
    # The image's middle lies between far inside the disc and on its limb.
    angle, inset = rng.uniform(0, 2 * np.pi), rng.uniform(-0.25, 0.9) * width
    distance = max(radius - inset, 0.0)
    center = np.array([width, height]) / 2 + distance * np.array([np.cos(angle), np.sin(angle)])
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x, y = (x - center[0]) / radius, (y - center[1]) / radius
    from_center = np.hypot(x, y)
    lit = (x * sun[0] + y * sun[1] - np.sqrt((1 - from_center**2).clip(0)) * sun[2]).clip(0)
    tiles = get_noise_tiles()
    zoom = np.exp(rng.uniform(np.log(0.8), np.log(3.0)))
    clouds = lay_tiles(tiles[rng.integers(2)], image.shape, zoom, rng).astype(np.float32) / 255
    detail = lay_tiles(tiles[2], image.shape, zoom / 2, rng).astype(np.float32) / 255
    cover = ((clouds - rng.uniform(0.3, 0.6)) * 4).clip(0, 1)
    ground = rng.uniform(0.05, 0.3) + 0.15 * (detail - 0.5)
    disc = lit * (ground + cover * (rng.uniform(0.4, 0.9) - ground))
    glow = 0.5 * lit * np.exp((1 - from_center.clip(1)) / _ATMOSPHERE)
    edge = ((1 - from_center) * radius + 0.5).clip(0, 1)  # of the disc, one pixel wide
    return image * (1 - edge) + disc * edge + glow * (1 - edge)


def photograph(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A grey image (H, W) of light, 1 being white -> (H, W, 3) uint8 RGB: tone, blur, sensor noise.

    Blur and noise go up to those of SPEED's pictures, a deviation of one pixel and a variance of 0.0022
    (Kisantal et al., IEEE Transactions on Aerospace and Electronic Systems 2020).
    """
    image = cv2.GaussianBlur(image.astype(np.float32), (0, 0), rng.uniform(0.3, 1.0))
    image = image.clip(0, 1) ** rng.uniform(0.6, 1.1)
    image = image + rng.normal(0, rng.uniform(0.005, 0.0469), image.shape)
    return cv2.cvtColor((image * 255).round().clip(0, 255).astype(np.uint8), cv2.COLOR_GRAY2RGB)
