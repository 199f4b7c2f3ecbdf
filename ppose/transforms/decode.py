"""Reads images, rotated as displayed or as annotated."""

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ppose.archives import DAMAGED
from ppose.errors import DataError
from ppose.files import read_bytes
from ppose.paths import show_name
from ppose.pixel_limit import check_pixels, max_pixels
from ppose.transforms import jpeg
from ppose.transforms.image_size import ISO_START, find_stated_size
from ppose.transforms.transform import Transform
from ppose.workspace import register

_logger = logging.getLogger(__name__)

_PNG_START, _PNG_END = b"\x89PNG", b"IEND"
# Even an empty scan costs a pass over all pixels; editors write about ten.
_MOST_SCANS = 100
_MOST_BYTES = 16  # of a file, per pixel of the limit: four channels of floats


def read_image(path: str | Path, *, use_exif: bool = False) -> np.ndarray:
    """Read an image file as (H, W, 3) uint8, RGB; grey and transparent images become RGB.

    Reads the formats of `find_stated_size`; HEIC if pillow-heif is installed. ``use_exif`` rotates a photo by
    its EXIF orientation; for annotated images see `read_annotated`. Raises DataError that names a missing,
    truncated or unreadable file, and, before decoding, one with more pixels than `max_pixels`.
    """
    return _decode(_read_whole_file(path), path, use_exif)


def read_annotated(
    path: str | Path, size: tuple[int, int] = (0, 0), *, use_exif: bool = True
) -> tuple[np.ndarray, bool]:
    """Read an image as annotated, (H, W, 3) uint8, RGB, and tell whether it has the annotated size.

    ``size`` is width and height as annotated, 0 if unknown. A photo is rotated by its EXIF orientation,
    unless only the stored form has that size, or, if neither has, that size's orientation (portrait or
    landscape); without ``use_exif`` it is never rotated. Raises as `read_image`.
    """
    return _decode_annotated(_read_whole_file(path), path, size, use_exif)


def decode_annotated(data: bytes, name: str, size: tuple[int, int] = (0, 0)) -> np.ndarray:
    """The image of `read_annotated`, from a file's content; ``name`` is for messages."""
    _check_whole(data, name)
    return _decode_annotated(data, name, size, use_exif=True)[0]


def _decode_annotated(
    data: bytes, path: str | Path, size: tuple[int, int], use_exif: bool
) -> tuple[np.ndarray, bool]:
    shown = _decode(data, path, use_exif)
    if not all(size) or _size(shown) == size:
        return shown, True
    stored = _decode(data, path)
    if _size(stored) == size:
        return stored, True
    is_wide = size[0] > size[1]
    is_turned_right = (_size(shown)[0] > _size(shown)[1]) == is_wide
    return shown if is_turned_right else stored, False


def read_image_size(path: str | Path, *, use_exif: bool = True) -> tuple[int, int]:
    """Width and height that `read_image` would return; does not decode a JPEG. Raises as `read_image`."""
    data = _read_whole_file(path)
    orientation = jpeg.find_orientation(data) if data.startswith(jpeg.START) else None
    size = jpeg.find_size(data) if orientation else (0, 0)
    if not orientation or not all(size):
        return _size(_decode(data, path, use_exif))
    return size[::-1] if use_exif and orientation in jpeg.QUARTER_TURNS else size


def _size(image: np.ndarray) -> tuple[int, int]:
    return image.shape[1], image.shape[0]


class ImageReader:
    """Reads the images of a dataset by `read_annotated`; warns once if a size differs from the annotated one.

    People of one image are consecutive, so the last image read serves them all.
    """

    def __init__(self, *, use_exif: bool) -> None:
        self.use_exif = use_exif
        self._read = lru_cache(maxsize=1)(self._read_file)
        self._has_warned = False

    def __call__(self, path: str, size: tuple[int, int] = (0, 0)) -> np.ndarray:
        """The image (H, W, 3) uint8, RGB, of a file with this annotated size; 0 if unknown."""
        return self._read(path, size)

    def _read_file(self, path: str, size: tuple[int, int]) -> np.ndarray:
        image, agrees = read_annotated(path, size, use_exif=self.use_exif)
        if not agrees and not self._has_warned:
            self._has_warned = True
            _logger.warning(
                "%s has %d x %d pixels, its annotations say %d x %d: `ppose check` lists all such images",
                show_name(path), *_size(image), *size,
            )  # fmt: skip
        return image


def read_image_part(
    path: str | Path, rows: int, reduction: int, size: tuple[int, int] | None = None
) -> tuple[np.ndarray, int] | None:
    """Read at least the first ``rows`` rows of an image file; of a JPEG at 1 / ``reduction`` (1, 2, 4, 8).

    Returns the image (h, w, 3 or 4) uint8, RGB first, in the stored orientation, and its reduction: from
    `jpeg.decode_part`, which documents where its pixels are, or in full from `read_image`. With ``size``, the
    annotated one (see `read_annotated`), returns None for an image that `read_annotated` would rotate or must
    examine. Raises as `read_image`.
    """
    data = _read_whole_file(path)
    if size is not None and not jpeg.is_upright(data, size):
        return None
    part = None
    if data.startswith(jpeg.START):
        _check_cost(data, path)
        part = jpeg.decode_part(data, rows, reduction)
    return (_decode(data, path), 1) if part is None else (part, reduction)


def _read_whole_file(path: str | Path) -> bytes:
    data = read_bytes(path, "image", most=_MOST_BYTES * max_pixels())
    _check_whole(data, path)
    return data


def _check_whole(data: bytes, path: str | Path) -> None:
    if _is_truncated(data):
        raise DataError(f"image is truncated: {show_name(path)} ({len(data)} bytes)")


def _decode(data: bytes, path: str | Path, use_exif: bool = False) -> np.ndarray:
    flags = cv2.IMREAD_COLOR_RGB | (0 if use_exif else cv2.IMREAD_IGNORE_ORIENTATION)
    image = None
    if _check_cost(data, path):
        with suppress(cv2.error):  # larger than OpenCV's limit on pixels, for instance
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None and data[4:8] == ISO_START:
        image = _decode_heif(data, path)
    if image is None:
        raise DataError(f"not a readable image: {show_name(path)} ({len(data)} bytes)")
    return image


def _check_cost(data: bytes, path: str | Path) -> bool:
    """Whether the image's size is known; DataError if decoding would take too much memory or time."""
    size = find_stated_size(data)
    if size is None:
        return False
    check_pixels(*size, path)
    scans = jpeg.count_scans(data) if data.startswith(jpeg.START) else 1
    if scans > _MOST_SCANS:
        raise DataError(
            f"{show_name(path)} is a JPEG of {scans} scans, expected {_MOST_SCANS} at most: save it again"
        )
    return True


def _decode_heif(data: bytes, path: str | Path) -> np.ndarray | None:
    """Decode a photo in HEIC or HEIF, as phones write it, rotated as the format itself says."""
    try:
        import pillow_heif
    except ImportError:
        raise DataError(
            f"{show_name(path)} is HEIC or the like, which OpenCV does not read: pip install 'ppose[heif]'"
        ) from None
    try:
        heif = pillow_heif.open_heif(data, convert_hdr_to_8bit=True)
        width, height = heif.size
        check_pixels(width, height, path)
        image = np.asarray(heif)
    except DataError:
        raise
    except (*DAMAGED, OSError, MemoryError):
        return None
    to_rgb = {"RGBA": cv2.COLOR_RGBA2RGB, "L": cv2.COLOR_GRAY2RGB}.get(heif.mode)
    return np.ascontiguousarray(image) if to_rgb is None else cv2.cvtColor(image, to_rgb)


def _is_truncated(data: bytes) -> bool:
    """Whether the end marker, which compressed data never holds, is missing; decoders then fill in grey."""
    if data.startswith(jpeg.START):
        # Searched from the end, where it nearly always is.
        return data.rfind(jpeg.END, jpeg.find_segment(data, (jpeg.SCAN,))) < 0
    return data.startswith(_PNG_START) and _PNG_END not in data


class LazySample(dict[str, Any]):
    """A sample whose image is read on first access; ``"image" in sample`` tells whether it has been read.

    So a warp that comes first may read only the part it needs of image_file. ``read`` gives the whole image.
    """

    def __init__(self, read: Callable[[str], np.ndarray], **items: Any) -> None:
        super().__init__(items)
        self._read = read

    def __missing__(self, key: str) -> np.ndarray:
        if key != "image":
            raise KeyError(key)
        self["image"] = self._read(self["image_file"])
        return self["image"]


@register(Transform)
class Decode:
    """Reads the image of a sample that has none yet, rotated by its EXIF orientation.

    Reads image_file; adds image. People of one image are consecutive, so the last image read serves them all.
    A `LazySample` reads its own image, in the orientation of its dataset's annotations.
    """

    def __init__(self) -> None:
        self._read = lru_cache(maxsize=1)(partial(read_image, use_exif=True))

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        """See the class."""
        if "image" not in sample and not isinstance(sample, LazySample):
            sample["image"] = self._read(sample["image_file"])
        return sample
