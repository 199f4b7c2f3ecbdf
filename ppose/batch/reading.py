"""Reads the images of a chunk one by one: names first, files and pixels on demand."""

import gzip
import json
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import PurePath
from typing import IO, Any
from urllib.parse import urlsplit

import numpy as np

from ppose.batch.chunks import Chunk, Kind, check_image_type
from ppose.batch.fetch import fetch_url
from ppose.batch.place import LOCAL, OF_THE_FILE, Place, explain, open_place
from ppose.errors import DataError
from ppose.geometry import bbox_xywh_to_xyxy
from ppose.image_files import is_image_name, is_of_macos
from ppose.inference.pose_spec import check_boxes
from ppose.paths import hide_secrets, show_name, show_text
from ppose.transforms import decode_annotated

_TAR_BLOCK, _TAR_HEAD = 4 << 20, 512  # bytes per read, and at first
_MOST_BYTES = 256 << 20  # of an image file
_DAMAGES = (
    tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, LookupError,
)  # fmt: skip

Scene = tuple[np.ndarray, np.ndarray | None]


@dataclass(frozen=True)
class Item:
    """An image: its name, its index in its file, and what loads its pixels and bboxes_xyxy or None.

    ``load`` raises DataError for a fault of the image, and OSError for one of its store.
    """

    name: str
    index: int
    load: Callable[[], Scene]


def read_items(
    place: Place, kind: Kind, chunk: Chunk, image_column: str, boxes_column: str | None
) -> Iterator[Item]:
    """Yield the images of a chunk, in order; OSError if its file is temporarily unreadable."""
    if kind == "images":
        return _read_files(place, chunk)
    if kind == "tar":
        return _read_tar(place, chunk, boxes_column)
    return _read_rows(place, chunk, image_column, boxes_column)


def _read_files(place: Place, chunk: Chunk) -> Iterator[Item]:
    for row, name in enumerate(chunk.names):
        boxes = None if chunk.boxes_xyxy is None else np.reshape(chunk.boxes_xyxy[row], (-1, 4))
        width, height = chunk.sizes[row] if chunk.sizes else (0, 0)
        yield Item(
            show_name(name), chunk.start + row, partial(_load_file, place, name, boxes, (width, height))
        )


def _load_file(place: Place, name: str, boxes_xyxy: np.ndarray | None, size: tuple[int, int]) -> Scene:
    return decode_annotated(_read_image_file(place, name), name, size), boxes_xyxy


def _read_image_file(place: Place, name: str) -> bytes:
    try:
        return place.read(name)
    except OF_THE_FILE as error:
        raise DataError(f"cannot read {show_name(name)}: {explain(error)}") from None


class _Header(tarfile.TarInfo):
    """Notes whether the archive has an end marker; tarfile itself takes a damaged header for the end."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> "_Header":
        """See the class."""
        try:
            return super().fromtarfile(tar)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            tar.is_whole = True  # type: ignore[attr-defined]
            raise


def _read_tar(place: Place, chunk: Chunk, boxes_key: str | None) -> Iterator[Item]:
    """Yield the images of a WebDataset shard; an unreadable rest becomes one item with an error."""
    index = 0
    try:
        with place.open(chunk.file) as file, _unpack(file) as tar:
            for item in _read_samples(tar, boxes_key):
                yield item
                index = item.index + 1
            if not getattr(tar, "is_whole", False):
                yield _spoilt(chunk.file, index, "is cut short or damaged: the rest is lost")
            elif _has_more(tar):
                yield _spoilt(chunk.file, index, "goes on after its end: the rest is lost")
    except _DAMAGES as error:
        yield _spoilt(chunk.file, index, f"is damaged, the rest is lost: {explain(error)}")


def _unpack(file: IO[bytes]) -> tarfile.TarFile:
    head = file.read(_TAR_HEAD)
    source: Any = _Source(file.read, head)
    if head.startswith(b"\x1f\x8b"):  # tarfile itself reads only the first of several parts
        # In small steps, so that all before a damage can be read.
        source = _Source(gzip.GzipFile(fileobj=source).read1)
    return tarfile.open(fileobj=source, mode="r|*", bufsize=_TAR_BLOCK, tarinfo=_Header)


class _Source:
    """A file that cannot be sought: its ``head``, which is already read, and what ``read`` gives then."""

    def __init__(self, read: Callable[[int], bytes], head: bytes = b"") -> None:
        self._read, self._head = read, head

    def read(self, size: int) -> bytes:
        """The next bytes, at most ``size``."""
        head, self._head = self._head[:size], self._head[size:]
        return head or self._read(size)


def _has_more(tar: tarfile.TarFile) -> bool:
    """Whether something follows the end marker, such as a second archive."""
    rest: Any = tar.fileobj
    return any(block.strip(b"\0") for block in iter(partial(rest.read, _TAR_BLOCK), b""))


def _read_samples(tar: tarfile.TarFile, boxes_key: str | None) -> Iterator[Item]:
    members = (member for member in tar if not member.isdir() and not is_of_macos(member.name))
    index = 0
    # Without boxes each member stands alone, so that only one is in memory.
    for _, sample in groupby(
        members, lambda member: _sample_key(member.name) if boxes_key else member.offset
    ):
        images: list[tuple[str, bytes | str]] = []
        about: list[tuple[str, bytes]] = []
        for member in sample:
            if is_image_name(member.name):
                images.append((member.name, _read_member(tar, member)))
            elif boxes_key and member.name.endswith(".json"):
                content = _read_member(tar, member)
                about += [(member.name, content)] if isinstance(content, bytes) else []
        for name, data in images:
            load = partial(_load_member, name, data, about, boxes_key)
            yield Item(show_name(name), index, load)
            index += 1


def _read_member(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes | str:
    """A member's content, or why it has none."""
    if not member.isreg():
        return "is a link or no file"
    content = tar.extractfile(member) if member.size <= _MOST_BYTES else None
    return f"has more than {_MOST_BYTES:,} bytes" if content is None else content.read()


def _sample_key(name: str) -> str:
    """The part of the name that members of a sample share: up to the first point after the folders."""
    folder, slash, base = name.rpartition("/")
    return folder + slash + base.partition(".")[0]


def _load_member(
    name: str, data: bytes | str, about: Sequence[tuple[str, bytes]], boxes_key: str | None
) -> Scene:
    if isinstance(data, str):
        raise DataError(f"{show_name(name)} {data}")
    boxes = None if boxes_key is None else _to_xyxy(_find_boxes(name, about, boxes_key))
    return decode_annotated(data, show_name(name)), boxes


def _find_boxes(name: str, about: Sequence[tuple[str, bytes]], key: str) -> Any:
    """The value of ``key`` in the .json of an image's name, else of its sample; DataError unless in one."""
    own = [text for of, text in about if PurePath(of).stem == PurePath(name).stem]
    found = []
    for text in own or [text for _, text in about]:
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            raise DataError(f"the .json beside {show_name(name)} is not valid JSON") from None
        if isinstance(content, dict) and key in content:
            found.append(content[key])
    if len(found) > 1:
        raise DataError(f"several .json beside {show_name(name)} have the key {show_text(key)}")
    if not found:
        has_key = f" has the key {show_text(key)}" if about else ""
        raise DataError(f"no .json beside {show_name(name)}{has_key}")
    return found[0]


def _read_rows(place: Place, chunk: Chunk, image_column: str, boxes_column: str | None) -> Iterator[Item]:
    import pyarrow
    import pyarrow.parquet

    columns = [image_column, *([boxes_column] if boxes_column else [])]
    first, end = chunk.rows
    try:
        with place.open(chunk.file) as file:
            group = pyarrow.parquet.ParquetFile(file).read_row_group(chunk.row_group, columns=columns)
    except (pyarrow.ArrowInvalid, OSError) as error:
        # Pyarrow also raises OSError without errno for damage; stores may raise the same.
        if isinstance(error, OSError) and (error.errno is not None or not place.is_local):
            raise
        for index in range(chunk.start, chunk.start + end - first):
            yield _spoilt(chunk.file, index, f"cannot be read: {explain(error)}")
        return
    images = group.column(image_column).slice(first, end - first)
    kind = check_image_type(images.type, chunk.file)
    boxes = group.column(boxes_column).slice(first, end - first) if boxes_column else None
    for index, value in enumerate(images, start=chunk.start):
        data, url = _split(kind, value.as_py())
        known = None if boxes is None else (boxes[index - chunk.start].as_py(),)
        name = show_name(hide_secrets(url or f"{chunk.file}#{index}"))
        yield Item(name, index, partial(_load_row, place, chunk.file, name, data, url, known))


def _split(kind: str, value: Any) -> tuple[bytes | None, str | None]:
    """The bytes and the URL of an image in a table's cell."""
    if kind == "struct":
        return (value or {}).get("bytes"), (value or {}).get("path")
    return (value, None) if kind == "bytes" else (None, value)


def _load_row(
    place: Place, file: str, name: str, data: bytes | None, url: str | None, boxes: tuple[Any] | None
) -> Scene:
    if data is None:
        if url is None:
            raise DataError(f"{name} has no image")
        data = _read_url(place, file, name, url)
    return decode_annotated(data, name), None if boxes is None else _to_xyxy(boxes[0])


def _read_url(place: Place, file: str, name: str, url: str) -> bytes:
    """Return the file that a table names by a URL, or by a path relative to the table; DataError, OSError."""
    scheme = urlsplit(url).scheme if "://" in url else ""
    if scheme in ("http", "https"):
        return fetch_url(url, _MOST_BYTES)
    if "::" in url:  # fsspec would open one store within another, including this machine's files
        raise DataError(f"{name} is a chain of stores, which tables may not contain")
    if scheme not in ("", *LOCAL):
        return _read_image_file(open_place(url), "")
    path = PurePath(url.removeprefix(f"{scheme}://"))
    if path.is_absolute():
        if not place.is_local:  # a table from elsewhere must not read this machine's files
            raise DataError(f"{name} is a local path, but {place} is not on this machine")
        return _read_image_file(open_place(str(path)), "")
    if ".." in path.parts:
        raise DataError(f"{name} lies outside the table's folder")
    return _read_image_file(place, str(PurePath(file).parent / path))


def _to_xyxy(boxes_xywh: Any) -> np.ndarray:
    """Boxes (N, 4) from a cell, N = 0 for a missing value; DataError if it is not a list of boxes."""
    try:
        boxes = np.atleast_2d(np.asarray([] if boxes_xywh is None else boxes_xywh, np.float64))
    except (ValueError, TypeError):
        boxes = np.zeros((1, 0, 0))
    if boxes.shape == (1, 0):
        boxes = boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise DataError("its boxes are not a list of [x, y, width, height]")
    return check_boxes(bbox_xywh_to_xyxy(boxes))


def _spoilt(file: str, index: int, reason: str) -> Item:
    def load() -> Scene:
        raise DataError(f"{show_name(file)} {reason}")

    return Item(show_name(file), index, load)
