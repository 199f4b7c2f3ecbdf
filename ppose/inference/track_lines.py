"""Writes a video's tracks to files for analysis and evaluation, frame by frame."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from ppose.formats.track_files import MOT_ENDING, TABLE_ENDING, mot_row, table_header, table_rows
from ppose.inference.tracking import Found
from ppose.inference.video_writing import writing_lines

TrackFormat = Literal["csv", "mot"]
ENDINGS = {"csv": TABLE_ENDING, "mot": MOT_ENDING}


def open_track_lines(
    files: ExitStack, kind: TrackFormat | None, video: Path, names: Sequence[str]
) -> Callable[[int, float, Found], None]:
    """A function that writes a frame's number (from 0), time and people to a file beside ``video``.

    csv: `NAME.tracks.csv`, see `table_rows`; mot: `NAME.txt`, see `mot_row`; None writes nothing. ``files``
    closes the file; ``names`` are the keypoints' names.
    """
    if kind is None:
        return lambda frame, time, found: None
    file = files.enter_context(writing_lines(video.with_suffix(ENDINGS[kind])))
    if kind == "csv":
        file.write(table_header())

    def write(frame: int, time: float, found: Found) -> None:
        for track, pose in found:
            person = pose.to_record()
            if kind == "csv":
                file.write(table_rows(frame, time, track, person, names))
            else:
                file.write(mot_row(frame, track, person))

    return write
