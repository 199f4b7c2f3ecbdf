"""The parts of the output: parquet files with one row per image. Readers see only complete files."""

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from ppose.batch.place import Place, reaching
from ppose.errors import DataError
from ppose.inference.poses import Poses

if TYPE_CHECKING:
    import pyarrow

SCHEMA_VERSION = 1

_KEY = b"ppose"
_READERS = 16  # threads that read footers


@dataclass(frozen=True)
class Row:
    """An image: its name, its file and its index there; its size and people, or its error."""

    image: str
    file: str | None
    index: int
    width: int | None = None
    height: int | None = None
    error: str | None = None
    people: list[dict[str, Any]] = field(default_factory=list)

    def with_people(self, poses: Poses) -> "Row":
        """Return the row with each person's bbox (x, y, width, height), keypoints (x, y, score) and score."""
        return replace(self, people=[pose.to_record() for pose in poses])


@dataclass(frozen=True)
class Counts:
    """The number of images in parts, of unreadable ones (``bad``), and of people."""

    images: int = 0
    bad: int = 0
    people: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.images + other.images, self.bad + other.bad, self.people + other.people)


def count_rows(rows: Sequence[Row]) -> Counts:
    """Return the counts of a part with these rows."""
    bad = sum(row.error is not None for row in rows)
    return Counts(len(rows), bad, sum(len(row.people) for row in rows))


def name_part(number: int) -> str:
    """The file name of a chunk's part."""
    return f"part-{number:08d}.parquet"


def schema() -> "pyarrow.Schema":
    """The columns, which docs/batch.md explains. SCHEMA_VERSION changes with them."""
    import pyarrow as pa

    numbers = pa.list_(pa.float32())
    person = pa.struct({"bbox": numbers, "score": pa.float32(), "keypoints": numbers})
    return pa.schema(
        {
            "image": pa.string(), "file": pa.string(), "index": pa.int64(), "width": pa.int32(),
            "height": pa.int32(), "error": pa.string(), "people": pa.list_(person),
        }
    )  # fmt: skip


def write_part(
    place: Place, number: int, rows: Iterable[Row], *, job: str, keypoints: Sequence[str]
) -> Counts:
    """Write the part of a chunk atomically; OSError. ``job`` is the digest of its job."""
    import pyarrow as pa
    from pyarrow import parquet

    rows = list(rows)
    counts = count_rows(rows)
    about = {"schema": SCHEMA_VERSION, "job": job, "keypoints": list(keypoints), **asdict(counts)}
    table = pa.Table.from_pylist(
        [{each.name: getattr(row, each.name) for each in fields(Row)} for row in rows], schema=schema()
    )
    sink = pa.BufferOutputStream()
    parquet.write_table(
        table.replace_schema_metadata({_KEY: json.dumps(about).encode()}), sink, compression="zstd"
    )
    place.write(name_part(number), sink.getvalue().to_pybytes())
    return counts


def find_parts(place: Place) -> set[int]:
    """The numbers of the existing parts; DataError if the store cannot be reached."""
    found = set()
    for entry in place.list_files():
        stem, _, ending = entry.name.partition(".")
        if stem.startswith("part-") and ending == "parquet" and stem[5:].isdecimal():
            found.add(int(stem[5:]))
    return found


def count_parts(place: Place, numbers: Iterable[int], job: str) -> Counts:
    """The sum of the counts that these parts store; DataError for a damaged part or one of another job."""
    with ThreadPoolExecutor(_READERS) as pool:
        return sum(pool.map(lambda number: _read_counts(place, number, job), numbers), Counts())


def _read_counts(place: Place, number: int, job: str) -> Counts:
    import pyarrow
    from pyarrow import parquet

    name = name_part(number)
    try:
        with reaching(place), place.open(name) as file:
            footer = parquet.read_metadata(file)
        about = json.loads((footer.metadata or {})[_KEY])
        counts = Counts(**{each.name: int(about[each.name]) for each in fields(Counts)})
    except (pyarrow.ArrowInvalid, ValueError, KeyError, TypeError):
        raise DataError(
            f"{name} of {place} is damaged, or not written by ppose: delete it, and run again"
        ) from None
    if about.get("job") != job or footer.num_rows != counts.images:
        raise DataError(f"{name} of {place} is of another job: choose another --output_dir")
    return counts
