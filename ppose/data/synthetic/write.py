"""Writes scenes as a dataset in COCO's format."""

import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ppose.data.synthetic import satellite
from ppose.data.synthetic.figure import COCO17
from ppose.data.synthetic.satellite import render_satellite
from ppose.data.synthetic.scene import render_scene
from ppose.errors import DataError, DeviceError
from ppose.files import write_bytes, write_json
from ppose.interrupts import end_child
from ppose.processor import check_threads
from ppose.visualize import encode_picture

IMAGES, ANNOTATIONS, MODEL = "images", "annotations.json", "model.json"
_POOL_THREADS = 3
_JPEG_QUALITIES = (60, 96)

# index -> image (H, W, 3) uint8 RGB and its annotations
Render = Callable[[int], tuple[np.ndarray, list[dict[str, Any]]]]


def write_dataset(
    folder: str | Path,
    images: int,
    seed: int,
    *,
    size: tuple[int, int] = (320, 256),
    people: tuple[int, int] = (1, 3),
    first_index: int = 0,
    variety: float = 1.0,
    workers: int = 1,
) -> int:
    """Write ``folder``/images/*.jpg and ``folder``/annotations.json; return how many people were annotated.

    The scenes are those of ``seed`` from ``first_index`` on; see `render_scene` for ``size`` (w, h),
    ``people`` (fewest, most) and ``variety``. Equal arguments write equal bytes, whatever the number of
    ``workers`` (processes). An old annotation file is deleted first and the new one is written last, whole,
    so that it never describes other images than those beside it. Raises DataError for invalid arguments,
    OSError, which names the file, if it cannot be written.
    """
    category = _make_category("person", COCO17.names, COCO17.skeleton)
    render = partial(render_scene, seed, size=size, people=people, variety=variety)
    return _write_scenes(folder, images, seed, first_index, category, render, workers)


def write_satellites(
    folder: str | Path, images: int, seed: int, *, first_index: int = 0, workers: int = 1
) -> int:
    """Write pictures of a satellite as `write_dataset` does of people; return how many were annotated.

    The annotations have the pose in space; beside them it writes `model.json`, see `read_object_model`.
    """
    category = _make_category("satellite", satellite.NAMES, satellite.SKELETON)
    write_json(Path(folder) / MODEL, satellite.describe_model())
    return _write_scenes(
        folder, images, seed, first_index, category, partial(render_satellite, seed), workers
    )


def _write_scenes(
    folder: str | Path,
    images: int,
    seed: int,
    first_index: int,
    category: dict[str, Any],
    render: Render,
    workers: int,
) -> int:
    if images < 1 or workers < 1:
        raise DataError(
            f"got {images} images to make for {folder} by {workers} processes, expected 1 or more"
        )
    folder = Path(folder)
    (folder / ANNOTATIONS).unlink(missing_ok=True)
    content: dict[str, Any] = {"images": [], "annotations": [], "categories": [category]}
    draw = partial(_write_image, folder / IMAGES, render, seed)
    with _mapping(workers) as apply:
        for image_id, (entry, annotations) in enumerate(
            apply(draw, range(first_index, first_index + images)), 1
        ):
            content["images"].append({"id": image_id, **entry})
            for annotation in annotations:
                annotation_id = len(content["annotations"]) + 1
                content["annotations"].append({"id": annotation_id, "image_id": image_id, **annotation})
    write_json(folder / ANNOTATIONS, content)
    return len(content["annotations"])


def _write_image(
    folder: Path, render: Render, seed: int, index: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Draw and write a scene; return COCO's image entry, without id, and its annotations."""
    image, annotations = render(index)
    name = f"{index:012d}.jpg"
    write_bytes(folder / name, _encode_jpeg(image, seed, index))
    return {"file_name": name, "width": image.shape[1], "height": image.shape[0]}, annotations


def _end_quietly() -> None:
    """Let a pool's process end with its parent, and leave no half file and no crash report of Paddle.

    The parent sends SIGTERM, but not if it is killed, or interrupted just when it starts the process.
    """
    signal.signal(signal.SIGTERM, end_child)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
    end_child(signal.SIGTERM)


@contextmanager
def _mapping(workers: int) -> Iterator[Callable]:
    """Yield a `map` that keeps the order: the built-in one, or that of a pool of processes."""
    if workers == 1:
        yield map
        return
    # Otherwise those it could start stay for ever.
    check_threads(2 * workers + _POOL_THREADS, "a pool of processes")
    threads = cv2.getNumThreads()
    cv2.setNumThreads(0)  # a forked process would wait forever for threads that it does not inherit
    try:
        context = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(workers, context, _end_quietly) as pool:
            yield partial(pool.map, chunksize=16)
    except BrokenProcessPool:
        raise DeviceError(
            "a process that draws images has ended; was it killed for its memory? Fewer workers need less"
        ) from None
    finally:
        cv2.setNumThreads(threads)


def _encode_jpeg(image: np.ndarray, seed: int, index: int) -> bytes:
    quality = int(np.random.default_rng((index, seed)).integers(*_JPEG_QUALITIES))
    return encode_picture(image, ".jpg", quality)


def _make_category(
    name: str, keypoints: Sequence[str], skeleton: Sequence[tuple[int, int]]
) -> dict[str, Any]:
    """COCO's entry for the one category; its skeleton counts keypoints from 1."""
    limbs = [[a + 1, b + 1] for a, b in skeleton]
    return {"id": 1, "name": name, "keypoints": list(keypoints), "skeleton": limbs}
