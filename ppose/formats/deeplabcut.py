"""DeepLabCut's labels: CollectedData_NAME.csv, or the .h5 beside it."""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ppose.errors import DataError
from ppose.files import read_bytes, write_bytes
from ppose.formats.hdf5 import open_hdf5, read_texts
from ppose.formats.labels import ContentBuilder, Labels
from ppose.keypoints import KeypointSet
from ppose.paths import is_text, show_name

_SCORER = "ppose"
_LEVELS = ("scorer", "individuals", "bodyparts", "coords")
# (individual, keypoint, coordinate) of each column, names of the images, values (images, columns)
_Table = tuple[list[tuple[str, str, str]], list[str], np.ndarray]


def read_deeplabcut(path: Path, keypoint_set: KeypointSet | None, image_dir: Path | None) -> dict[str, Any]:
    """Read a table with one row per image, of one or several animals; an individual's number is its track.

    Images are named labeled-data/VIDEO/NAME. Empty values are not labelled.
    """
    read = _read_h5 if path.suffix.lower() in (".h5", ".hdf5") else _read_csv
    columns, names, values = read(path)
    _check_columns(columns, path)
    builder = ContentBuilder()
    builder.add_names(list(dict.fromkeys(point for _, point, _ in columns)))
    individuals = list(dict.fromkeys(individual for individual, _, _ in columns))
    numbers = _number_individuals(individuals)
    place = {column: index for index, column in enumerate(columns)}
    for name, row in zip(names, values, strict=True):
        image = builder.add_image(name.replace("\\", "/"))
        for individual in individuals:
            points = {}
            for own, point, coordinate in columns:
                if own != individual or coordinate != "x":
                    continue
                x, y = row[place[own, point, "x"]], row[place[own, point, "y"]]
                if np.isfinite([x, y]).all():
                    points[point] = (x, y, 2)
            if points:
                builder.add_person(image, points, track_id=numbers[individual])
    return builder.finish()


def _check_columns(columns: Sequence[tuple[str, str, str]], path: Path) -> None:
    """Raise DataError for columns other than labels': predictions, x without y, duplicates."""
    kinds = {column[2] for column in columns}
    if "likelihood" in kinds:
        raise DataError(
            f"{show_name(path)}: has a likelihood beside x and y: predictions of a video, not labels"
        )
    pairs = {column[:2] for column in columns}
    if kinds - {"x", "y"} or len(set(columns)) < len(columns) or 2 * len(pairs) != len(columns):
        raise DataError(f"{show_name(path)}: expected one x and one y per keypoint")


def _number_individuals(individuals: Sequence[str]) -> dict[str, int | None]:
    """The number at the end of each name; if some have none, or the same, the position."""
    found = [re.search(r"\d{1,9}$", individual) for individual in individuals]
    numbers = [int(number[0]) for number in found if number is not None]
    if len(set(numbers)) < len(individuals):
        numbers = list(range(len(individuals)))
    return {name: number if name else None for name, number in zip(individuals, numbers, strict=True)}


def _read_csv(path: Path) -> _Table:
    content = read_bytes(path, "label file")
    try:
        rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{show_name(path)}: not a table in CSV: {error}") from None
    rows = [row for row in rows if any(row)]
    header = {row[0]: row for row in rows[:4] if row[0] in _LEVELS}
    is_even = len({len(row) for row in header.values()}) == 1
    if not {"bodyparts", "coords"} <= header.keys() or not is_even:
        raise DataError(
            f"{show_name(path)}: not DeepLabCut's: its first lines are not scorer, bodyparts, coords"
        )
    coords = header["coords"]
    start = next((n for n, text in enumerate(coords) if text in ("x", "y")), len(coords))
    width = len(coords)
    individuals = header.get("individuals", [""] * width)
    columns = list(zip(individuals[start:], header["bodyparts"][start:], coords[start:], strict=False))
    names, values = [], []
    for number, row in enumerate(rows[len(header) :], len(header) + 1):
        if len(row) != width:
            raise DataError(f"{show_name(path)}:{number}: got {len(row)} values, the header has {width}")
        try:
            values.append([float(text) if text.strip() else np.nan for text in row[start:]])
        except ValueError:
            raise DataError(f"{show_name(path)}:{number}: expected numbers after the image's name") from None
        names.append("/".join(text for text in row[:start] if text))
    return columns, names, np.reshape(values, (len(names), len(columns)))


def _read_h5(path: Path) -> _Table:
    """Read pandas' "fixed" form of a table, in which DeepLabCut stores labels, without its pickled parts."""
    with open_hdf5(path, "DeepLabCut's labels") as file:
        table: Any = next(iter(file.values()), None)
        try:
            levels = table.attrs["axis0_nlevels"]
            columns = _read_tuples(table, "axis0", levels)
            names = _read_index(table)
            blocks = [n for n in table if re.fullmatch(r"block\d+_values", n)]
            if len(blocks) != 1:
                raise KeyError("block0_values")
            values = np.asarray(table["block0_values"][()], np.float64)
            order = _read_tuples(table, "block0_items", levels)
            values = values[:, [order.index(column) for column in columns]]
        except (KeyError, TypeError, IndexError, AttributeError, ValueError):
            raise DataError(
                f"{show_name(path)}: not labels in DeepLabCut's .h5 form: convert the .csv beside it"
            ) from None
    return [(c[1] if len(c) > 3 else "", c[-2], c[-1]) for c in columns], names, values


def _read_index(table: Any) -> list[str]:
    if "axis1" in table:
        return read_texts(table["axis1"])
    return list(map("/".join, _read_tuples(table, "axis1", table.attrs["axis1_nlevels"])))


def _read_tuples(table: Any, name: str, count: int) -> list[tuple[str, ...]]:
    """pandas' index of ``count`` levels: the texts of each level, and for each entry a number per level."""
    levels = [read_texts(table[f"{name}_level{n}"]) for n in range(count)]
    codes = [table[f"{name}_label{n}"][()] for n in range(count)]
    return [
        tuple(level[code] for level, code in zip(levels, row, strict=True))
        for row in zip(*codes, strict=True)
    ]


def write_deeplabcut(path: Path, labels: Labels) -> None:
    """Write a CSV with three header lines (four if an image has several animals), for `convertcsv2h5`."""
    if strange := next((n for n in labels.annotations.images.file_names if not is_text(n)), None):
        raise DataError(f"{labels.annotations.where}: UTF-8 has no letters for the name {show_name(strange)}")
    people = labels.people
    each = [rows for _, _, _, rows in labels.by_image()]
    most = max(map(len, each), default=0)
    tracks = people.tracks.tolist()
    by_track = min(tracks, default=-1) >= 0 and all(
        len({tracks[r] for r in rows}) == len(rows) for rows in each
    )
    is_single = most < 2 and not by_track
    known = sorted(set(tracks)) if by_track else list(range(most))
    individuals = [""] if is_single else [f"individual{number}" for number in known]
    columns = [(who, name, c) for who in individuals for name in labels.keypoint_set.names for c in "xy"]
    levels: Sequence[tuple[str, Sequence[str]]] = [
        ("scorer", [_SCORER] * len(columns)),
        ("individuals", [column[0] for column in columns]),
        ("bodyparts", [column[1] for column in columns]),
        ("coords", [column[2] for column in columns]),
    ]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    for name, values in levels:
        if name != "individuals" or not is_single:
            writer.writerow([name, *values])
    for _, name, _, rows in labels.by_image():
        cells = dict.fromkeys(columns, "")
        for number, row in enumerate(rows):
            who = "" if is_single else f"individual{tracks[row] if by_track else number}"
            for point, x, y, _ in labels.points(row):
                cells[who, point, "x"], cells[who, point, "y"] = repr(x), repr(y)
        writer.writerow([name, *cells.values()])
    write_bytes(path, text.getvalue().encode())
