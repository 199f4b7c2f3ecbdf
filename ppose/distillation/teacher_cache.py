"""Caches a teacher's maps on disk, for images that come again."""

import hashlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from ppose.archives import DAMAGED, read_npz
from ppose.files import write_npz

_logger = logging.getLogger(__name__)

Maps = dict[str, paddle.Tensor]  # by name: output, backbone


class TeacherCache:
    """Keeps maps of single images, float32, under a checksum of the image and of the teacher.

    So changed images or teachers never get wrong maps; images that differ in each epoch (random crops, flips)
    are never found again. Maps are those of the batch in which the image came first; another batch's differ
    by rounding. The folder grows up to ``limit`` bytes; ``writers`` processes may fill it at once. A damaged
    file, or one of other maps, is rewritten.
    """

    def __init__(self, folder: Path, *, limit: int, writers: int = 1) -> None:
        self._folder = folder
        held = sum(file.stat().st_size for file in folder.rglob("*.npz"))
        self._room = max(0, limit - held) // writers
        self._is_first = True
        self._layout: dict[str, tuple[int, ...]] | None = None  # of an image's maps, once known
        self.hits = self._asked = 0

    def look_up(
        self, image: paddle.Tensor, kind: tuple[str, ...], ask: Callable[[paddle.Tensor], Maps]
    ) -> Maps:
        """The maps of images (N, 3, h, w); ``kind`` identifies the teacher, ``ask`` computes missing maps."""
        files = [self._file(one, kind) for one in image.numpy()]
        known = [_read(file) for file in files]
        found = {n: maps for n, maps in enumerate(known) if maps is not None and self._fits(maps)}
        if len({str(_layout(maps)) for maps in found.values()}) > 1:
            found = {}
        self._asked += len(files)
        self.hits += len(files)
        while missing := [n for n in range(len(files)) if n not in found]:
            self.hits -= len(missing)
            answers = {key: maps.numpy() for key, maps in ask(image[paddle.to_tensor(missing)]).items()}
            for row, n in enumerate(missing):
                found[n] = {key: maps[row] for key, maps in answers.items()}
                self._write(files[n], found[n])
            self._layout = _layout(found[missing[0]])
            found = {n: maps for n, maps in found.items() if self._fits(maps)}
        return {
            key: paddle.to_tensor(np.stack([found[n][key] for n in range(len(files))])) for key in found[0]
        }

    def end_epoch(self) -> None:
        """Log the number of hits; warn, and stop filling the cache, if it is useless.

        It is useless if it had no hit, unless this is the first epoch: the folder may hold maps of another
        teacher, or of other data.
        """
        _logger.info("the teacher's cache had %d of the %d images of this epoch", self.hits, self._asked)
        if self.hits == 0 and self._room and not self._is_first:
            _logger.warning(
                "the teacher's cache had no hit in this epoch and is no longer filled: it helps only if the "
                "same images come again, without random crops, flips or colours"
            )
            self._room = 0
        self.hits, self._asked, self._is_first = 0, 0, False

    def _file(self, image: np.ndarray, kind: tuple[str, ...]) -> Path:
        digest = hashlib.sha256(repr((kind, image.shape, str(image.dtype))).encode())
        digest.update(np.ascontiguousarray(image).data)
        name = digest.hexdigest()
        return self._folder / name[:2] / f"{name}.npz"

    def _fits(self, maps: Mapping[str, np.ndarray]) -> bool:
        return self._layout is None or _layout(maps) == self._layout

    def _write(self, file: Path, maps: dict[str, Any]) -> None:
        size = sum(array.nbytes for array in maps.values())
        if size > self._room:
            return
        try:
            write_npz(file, maps)
            self._room -= size
        except OSError as error:
            _logger.warning("the teacher's cache is no longer filled: %s: %s", error.filename, error.strerror)
            self._room = 0


def _layout(maps: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    return {key: maps[key].shape for key in sorted(maps)}


def _read(file: Path) -> dict[str, np.ndarray] | None:
    try:
        maps = read_npz(file)
    except (*DAMAGED, MemoryError, OSError):  # or missing
        return None
    is_sound = maps and all(one.dtype == np.float32 and np.isfinite(one).all() for one in maps.values())
    return maps if is_sound else None
