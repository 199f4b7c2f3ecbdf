"""Splits the input into chunks; each gives one part of the output."""

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from ppose.batch.place import Entry, Place, reaching
from ppose.errors import DataError
from ppose.image_files import is_image_name, read_boxes_and_sizes
from ppose.paths import show_name

if TYPE_CHECKING:
    import pyarrow

_logger = logging.getLogger(__name__)

Kind = Literal["images", "tar", "parquet"]

_TAR_ENDINGS = (".tar", ".tar.gz", ".tgz")
_TABLE_ENDINGS = (".parquet", ".pq")
_READERS = 16  # threads that read the tables' footers


@dataclass(frozen=True)
class Chunk:
    """Images processed as one: image files by ``names``, a tar ``file``, or rows of a parquet ``file``.

    ``rows`` are the first row and the end within a row group, ``start`` is the first row's number in the
    file. ``boxes_xyxy`` and ``sizes`` hold those of each image file, if a box file gives them.
    """

    number: int
    file: str = ""
    names: Sequence[str] = ()
    boxes_xyxy: Sequence[Sequence[Sequence[float]]] | None = None
    sizes: Sequence[tuple[int, int]] = ()
    row_group: int = 0
    rows: tuple[int, int] = (0, 0)
    start: int = 0

    def to_json(self) -> str:
        """Return the chunk as JSON, for another process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Chunk":
        """Return the chunk from the text of `to_json`."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Input:
    """The chunks of files of one kind, the number of files, and a digest of their names, sizes and stamps."""

    kind: Kind
    chunks: Sequence[Chunk]
    files: int
    digest: str


def find_chunks(
    place: Place,
    images_per_part: int,
    *,
    box_file: str | None,
    classes: Sequence[int | str] | None,
    threshold: float,
    columns: Sequence[str],
) -> Input:
    """Split the images of a folder, tar shards or parquet files into chunks of ``images_per_part`` images.

    A tar shard is one chunk. The first of ``columns`` holds the images, the second, if given, the boxes.
    ``box_file``, ``classes`` and ``threshold`` are as in `read_people_boxes`. Raises DataError if there are
    no files or several kinds, or if a table lacks a column, and what `read_people_boxes` raises.
    """
    kind, entries = _choose_kind(place, place.list_files())
    if box_file is not None and kind != "images":
        raise DataError(f"--boxes is for image files, {place} holds {kind} files: give --boxes_column")
    if kind == "images":
        names = [entry.name for entry in entries]
        boxes = None if box_file is None else _read_boxes(box_file, names, classes, threshold)
        chunks = list(_cut_images(names, boxes, images_per_part))
    elif kind == "tar":
        chunks = [Chunk(number, entry.name) for number, entry in enumerate(entries)]
    else:
        chunks = list(_cut_tables(place, entries, images_per_part, columns))
        if not chunks:
            raise DataError(f"no rows in the parquet files of {place}")
    return Input(kind, chunks, len(entries), _digest(entries))


def _choose_kind(place: Place, entries: Sequence[Entry]) -> tuple[Kind, list[Entry]]:
    found: dict[Kind, list[Entry]] = {"images": [], "tar": [], "parquet": []}
    for entry in entries:
        name = entry.name.lower()
        # Such as Spark's _metadata; cameras call photos _DSC0001.jpg.
        is_hidden = name.rpartition("/")[2].startswith((".", "_"))
        if is_image_name(name):
            found["images"].append(entry)
        elif name.endswith(_TAR_ENDINGS) and not is_hidden:
            found["tar"].append(entry)
        elif name.endswith(_TABLE_ENDINGS) and not is_hidden:
            found["parquet"].append(entry)
    kinds = [kind for kind, files in found.items() if files]
    if not kinds:
        reason = "no image, tar or parquet file in it" if entries else "not found, or empty"
        raise DataError(f"{place}: {reason}")
    if len(kinds) > 1:
        raise DataError(
            f"{place} holds {' and '.join(kinds)} files: choose by a pattern, as in '{place}/*.tar'"
        )
    others = len(entries) - len(found[kinds[0]])
    if others:
        _logger.info("%s: left out %d files of another kind", place, others)
    return kinds[0], found[kinds[0]]


def _read_boxes(
    box_file: str, names: Sequence[str], classes: Sequence[int | str] | None, threshold: float
) -> tuple[list[list[list[float]]], list[tuple[int, int]]]:
    boxes, sizes = read_boxes_and_sizes(box_file, names, classes=classes, threshold=threshold)
    return [each.tolist() for each in boxes], sizes


def _cut_images(
    names: Sequence[str],
    boxes: tuple[Sequence[Any], Sequence[tuple[int, int]]] | None,
    count: int,
) -> Iterator[Chunk]:
    for number, first in enumerate(range(0, len(names), count)):
        part = slice(first, first + count)
        chunk = Chunk(number, names=names[part], start=first)
        yield chunk if boxes is None else replace(chunk, boxes_xyxy=boxes[0][part], sizes=boxes[1][part])


def _cut_tables(
    place: Place, entries: Sequence[Entry], count: int, columns: Sequence[str]
) -> Iterator[Chunk]:
    """Yield row groups as chunks; split those with more than ``count`` rows."""
    number = 0
    with ThreadPoolExecutor(_READERS) as pool:
        for entry, groups in zip(
            entries, pool.map(lambda entry: _read_groups(place, entry.name, columns), entries), strict=True
        ):
            start = 0
            for group, rows in enumerate(groups):
                for first in range(0, rows, count):
                    last = min(first + count, rows)
                    yield Chunk(number, entry.name, row_group=group, rows=(first, last), start=start + first)
                    number += 1
                start += rows


def _read_groups(place: Place, name: str, columns: Sequence[str]) -> list[int]:
    """Check the columns of a table, and return the number of rows of each row group."""
    import pyarrow
    import pyarrow.parquet

    with reaching(place), place.open(name) as file:
        try:
            about = pyarrow.parquet.read_metadata(file)
        except pyarrow.ArrowInvalid as error:
            raise DataError(f"{show_name(name)} of {place} is not a parquet file: {error}") from None
    schema = about.schema.to_arrow_schema()
    for column in columns:
        if schema.names.count(column) != 1:
            has = "several columns" if column in schema.names else "no column"
            raise DataError(
                f"{show_name(name)} of {place} has {has} '{column}', it has {', '.join(schema.names)}: "
                "choose by --image_column and --boxes_column"
            )
    check_image_type(schema.field(columns[0]).type, name)
    for column in columns[1:]:
        _check_boxes_type(schema.field(column).type, column, name)
    return [about.row_group(group).num_rows for group in range(about.num_row_groups)]


def check_image_type(kind: "pyarrow.DataType", name: str) -> Literal["bytes", "url", "struct"]:
    """The kind of a column of images: bytes, URLs, or both (Hugging Face datasets); DataError for others."""
    from pyarrow import types

    if types.is_dictionary(kind):  # such as categories of pandas
        kind = kind.value_type
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind):
        return "bytes"
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "url"
    if types.is_struct(kind) and {"bytes", "path"} <= {field.name for field in kind}:
        return "struct"
    raise DataError(
        f"{show_name(name)}: the images' column is {kind}, expected the files' bytes, or URLs as text"
    )


def _check_boxes_type(kind: "pyarrow.DataType", column: str, name: str) -> None:
    from pyarrow import types

    def is_list(kind: "pyarrow.DataType") -> bool:
        return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)

    is_number = False
    if is_list(kind) and is_list(kind.value_type):
        number = kind.value_type.value_type
        is_number = types.is_floating(number) or types.is_integer(number)
    if not is_number:
        raise DataError(
            f"{show_name(name)}: the column '{column}' is {kind}, expected lists of [x, y, width, height]"
        )


def _digest(entries: Sequence[Entry]) -> str:
    digest = hashlib.sha256()
    for entry in entries:
        line = f"{entry.name}\0{entry.size}\0{entry.stamp}\n"
        digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest()
