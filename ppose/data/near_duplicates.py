"""Finds near-duplicate images: copies in another size or quality, consecutive frames."""

from collections.abc import Iterable

import cv2
import numpy as np

from ppose.transforms import read_image

# A difference hash records which of two neighbouring pixels of a thumbnail is brighter (Krawetz, "Kind of
# like that", 2013). Hashes of flat pictures mean little, so the thumbnails are compared too.
_HASH, _SMALL = 16, 16  # pixels a side
_BITS = 20  # of 256 that may differ
_GREY = 6.0  # mean difference of the small pictures, in grey values
_BLOCK = 1024


def find_near_duplicates(files: Iterable[str]) -> list[tuple[int, int]]:
    """Pairs of indexes of files whose images are nearly the same; DataError if one cannot be read."""
    described = [_describe(read_image(file, use_exif=True)) for file in files]
    if not described:
        return []
    hashes = np.stack([bits for bits, _ in described])
    small = np.stack([picture for _, picture in described])
    pairs = []
    for start in range(0, len(hashes), _BLOCK):
        block = hashes[start : start + _BLOCK]
        differing = np.zeros((len(block), len(hashes)), np.int16)
        for column in range(hashes.shape[1]):
            differing += np.bitwise_count(block[:, column, None] ^ hashes[None, :, column])
        for row, other in np.argwhere(differing <= _BITS):
            one = start + int(row)
            if one < other and np.abs(small[one] - small[other]).mean() <= _GREY:
                pairs.append((one, int(other)))
    return pairs


def _describe(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The hash (4,) uint64 and the small picture (16, 16) of an image (H, W, 3), RGB."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    wide = cv2.resize(grey, (_HASH + 1, _HASH), interpolation=cv2.INTER_AREA).astype(np.int16)
    bits = np.packbits(wide[:, 1:] > wide[:, :-1])
    return bits.view(np.uint64), cv2.resize(grey, (_SMALL, _SMALL), interpolation=cv2.INTER_AREA).astype(
        np.float32
    )
