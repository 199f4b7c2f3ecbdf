"""Writes scenes as a dataset in COCO's format."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ppose.data.synthetic import satellite
from ppose.data.synthetic.figure import COCO17
from ppose.data.synthetic.satellite import render_satellite
from ppose.data.synthetic.scene import render_scene
from ppose.errors import DataError
from ppose.files import write_bytes, write_json

IMAGES, ANNOTATIONS = "images", "annotations.json"
_JPEG_QUALITIES = (60, 96)


def write_dataset(
    folder: str | Path,
    images: int,
    seed: int,
    *,
    size: tuple[int, int] = (320, 256),
    people: tuple[int, int] = (1, 3),
    first_index: int = 0,
    variety: float = 1.0,
) -> int:
    """Write ``folder``/images/*.jpg and ``folder``/annotations.json; return how many people were annotated.

    The scenes are those of ``seed`` from ``first_index`` on; ``size`` (w, h), ``people`` (fewest, most) and
    ``variety`` are theirs, see `render_scene`. Equal arguments write equal bytes. An annotation file that is
    there goes first and the new one comes last, whole, so that it never speaks of other images than those
    beside it.
    Raises DataError for impossible arguments, OSError, which names the file, where it cannot be written.
    """
    category = _make_category("person", COCO17.names, COCO17.skeleton)
    return _write_scenes(
        folder,
        images,
        seed,
        first_index,
        category,
        lambda index: render_scene(seed, index, size, people, variety),
    )


def write_satellites(folder: str | Path, images: int, seed: int, *, first_index: int = 0) -> int:
    """Write pictures of a satellite as `write_dataset` does of people; return how many were annotated."""
    category = _make_category("satellite", satellite.NAMES, satellite.SKELETON)
    return _write_scenes(
        folder, images, seed, first_index, category, lambda index: render_satellite(seed, index)
    )


def _write_scenes(
    folder: str | Path,
    images: int,
    seed: int,
    first_index: int,
    category: dict[str, Any],
    render: Callable[[int], tuple[np.ndarray, list[dict[str, Any]]]],
) -> int:
    if images < 1:
        raise DataError(f"got {images} images to make for {folder}, expected at least 1")
    folder = Path(folder)
    (folder / ANNOTATIONS).unlink(missing_ok=True)
    content: dict[str, Any] = {"images": [], "annotations": [], "categories": [category]}
    for image_id in range(1, images + 1):
        index = first_index + image_id - 1
        image, annotations = render(index)
        name = f"{index:012d}.jpg"
        write_bytes(folder / IMAGES / name, _encode_jpeg(image, seed, index))
        entry = {"id": image_id, "file_name": name, "width": image.shape[1], "height": image.shape[0]}
        content["images"].append(entry)
        for annotation in annotations:
            annotation_id = len(content["annotations"]) + 1
            content["annotations"].append({"id": annotation_id, "image_id": image_id, **annotation})
    write_json(folder / ANNOTATIONS, content)
    return len(content["annotations"])


def _encode_jpeg(image: np.ndarray, seed: int, index: int) -> bytes:
    quality = int(np.random.default_rng((index, seed)).integers(*_JPEG_QUALITIES))
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data.tobytes()


def _make_category(
    name: str, keypoints: Sequence[str], skeleton: Sequence[tuple[int, int]]
) -> dict[str, Any]:
    """COCO's entry for the one category; its skeleton counts keypoints from 1."""
    limbs = [[a + 1, b + 1] for a, b in skeleton]
    return {"id": 1, "name": name, "keypoints": list(keypoints), "skeleton": limbs}
