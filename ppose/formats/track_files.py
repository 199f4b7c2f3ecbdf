"""Tracks as a table with a row per keypoint, and as MOTChallenge's text with a row per person."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ppose.errors import DataError
from ppose.formats.tracks import Tracks, make_tracks
from ppose.paths import show_name

TABLE_ENDING, MOT_ENDING = ".tracks.csv", ".txt"
TABLE_COLUMNS = (
    *("frame", "time", "track", "box_x", "box_y", "box_width", "box_height", "score", "is_filled"),
    *("keypoint", "x", "y", "keypoint_score"),
)
_NUMBERS = tuple(column for column in TABLE_COLUMNS if column != "keypoint")
_MOT_COLUMNS = 6  # frame, track, left, top, width, height; then score and unused columns


def table_header() -> str:
    """The first line of the table."""
    return _to_lines([TABLE_COLUMNS])


def table_rows(frame: int, time: float, track: int, person: dict[str, Any], names: Sequence[str]) -> str:
    """The rows of a person (a `Pose.to_record`) in a frame, counted from 0, at a time in seconds."""
    points = np.reshape(person["keypoints"], (-1, 3)).tolist()
    start = [frame, time, track, *person["bbox"], person["score"], int(person.get("is_filled", False))]
    return _to_lines([[*start, name, *point] for name, point in zip(names, points, strict=True)])


def mot_row(frame: int, track: int, person: dict[str, Any]) -> str:
    """The row of a person in a frame, counted from 0.

    frame, track, left, top, width, height, score, -1, -1, -1. The file counts frames and pixels from 1 (Milan
    et al., MOT16, arXiv 1603.00831, section 4.1).
    """
    left, top, width, height = person["bbox"]
    numbers = [frame + 1, track, left + 1, top + 1, width, height, person["score"], -1, -1, -1]
    return _to_lines([numbers])


def read_track_table(path: Path) -> Tracks:
    """Read tracks from such a table; columns may have another order. DataError for an invalid row."""
    where = show_name(path)
    rows = _read_rows(path)
    header = rows[0] if rows else []
    if missing := [column for column in TABLE_COLUMNS if column not in header]:
        raise DataError(f"{where}: not a table of tracks: it has no column {', '.join(missing)}")
    places = [header.index(column) for column in _NUMBERS]
    keypoint = header.index("keypoint")
    names: dict[str, int] = {}
    people: dict[tuple[float, float], dict[str, Any]] = {}
    for number, row in enumerate(rows[1:], start=2):
        values = dict(zip(_NUMBERS, _read_numbers(row, places, f"{where}: line {number}"), strict=True))
        key = (values["frame"], values["track"])
        person = people.setdefault(key, {**values, "points": {}})
        place = names.setdefault(row[keypoint], len(names))
        if place in person["points"]:
            raise DataError(
                f"{where}: line {number}: track {key[1]:g} has this keypoint in frame {key[0]:g} twice"
            )
        person["points"][place] = [values["x"], values["y"], values["keypoint_score"]]
    keypoints = np.zeros((len(people), len(names), 3))
    for row_of, person in zip(keypoints, people.values(), strict=True):
        row_of[list(person["points"])] = list(person["points"].values())
    columns = {
        "frames": [frame for frame, _ in people],
        "tracks": [track for _, track in people],
        "bboxes_xywh": [[person[column] for column in _NUMBERS[3:7]] for person in people.values()],
        "scores": [person["score"] for person in people.values()],
        "is_filled": [person["is_filled"] for person in people.values()],
        "keypoints": keypoints,
    }
    return make_tracks(where, columns, tuple(names))


def read_mot(path: Path) -> Tracks:
    """Read the boxes of MOTChallenge's text, of results or of a `gt.txt`.

    Drops those with score 0, which do not count in a `gt.txt`. DataError for an invalid row.
    """
    where = show_name(path)
    rows = [row for row in _read_rows(path) if row]
    values = np.array(
        [
            [*_read_numbers(row, range(_MOT_COLUMNS), f"{where}: line {number}"), _score(row, where, number)]
            for number, row in enumerate(rows, start=1)
        ]
    ).reshape(-1, _MOT_COLUMNS + 1)
    if len(values) and values[:, 0].min() < 1:
        raise DataError(f"{where}: there is a frame {values[:, 0].min():g}, expected frames counted from 1")
    values = values[values[:, 6] != 0]
    columns = {
        "frames": values[:, 0] - 1,
        "tracks": values[:, 1],
        "bboxes_xywh": values[:, 2:6] - [1, 1, 0, 0],
        "scores": values[:, 6],
    }
    return make_tracks(where, columns, ())


def video_of(path: Path) -> str:
    """The video's name: the file's, or the folder's for MOTChallenge's `gt` and `det`."""
    name = path.name.removesuffix(TABLE_ENDING)
    name = name if name != path.name else path.stem
    if name in ("gt", "det"):
        return path.resolve().parent.parent.name
    return name


def _score(row: list[str], where: str, number: int) -> float:
    if len(row) <= _MOT_COLUMNS:
        return 1.0
    return _read_numbers(row, [_MOT_COLUMNS], f"{where}: line {number}")[0]


def _read_rows(path: Path) -> list[list[str]]:
    try:
        return list(csv.reader(path.read_text("utf-8-sig").splitlines()))
    except (UnicodeDecodeError, csv.Error):
        raise DataError(f"{show_name(path)}: not a file of text with commas") from None


def _read_numbers(row: list[str], places: Sequence[int], where: str) -> list[float]:
    try:
        numbers = [float(row[place]) for place in places]
    except (ValueError, IndexError):
        numbers = []
    if not numbers or not np.isfinite(numbers).all():
        raise DataError(f"{where}: got {','.join(row)[:80]!r}, expected numbers with commas between them")
    return numbers


def _to_lines(rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
