"""Reads the tracks of videos from files of any known format."""

from collections.abc import Callable, Mapping
from pathlib import Path

from ppose.errors import DataError
from ppose.formats.posetrack_tracks import read_posetrack_tracks
from ppose.formats.track_files import read_mot, read_track_table, video_of
from ppose.formats.tracks import Tracks
from ppose.paths import show_name

_READERS: Mapping[str, Callable[[Path], Mapping[str, Tracks]]] = {
    ".json": read_posetrack_tracks,
    ".csv": lambda path: {video_of(path): read_track_table(path)},
    ".txt": lambda path: {video_of(path): read_mot(path)},
}


def read_tracks(path: Path) -> dict[str, Tracks]:
    """The tracks of each video by name, from a file, or from all files in a folder.

    `.json` is PoseTrack18's, or any in COCO's format with track_id, where an image's folder is its video;
    `.csv` is the table of `ppose predict --save_tracks csv`, `.txt` MOTChallenge's text. Raises DataError.
    """
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in _READERS)
        if not files:
            raise DataError(f"{show_name(path)} has no tracks: expected {', '.join(_READERS)} files in it")
    videos: dict[str, Tracks] = {}
    for file in files:
        if file.suffix.lower() not in _READERS:
            raise DataError(
                f"{show_name(file)}: not a file of tracks: expected .json (PoseTrack18), .csv or .txt (MOT)"
            )
        if not file.is_file():
            raise DataError(f"file of tracks not found: {show_name(file)}")
        for name, tracks in _READERS[file.suffix.lower()](file).items():
            if name in videos:
                raise DataError(f"{show_name(file)}: the video {show_name(name)} is in another file too")
            videos[name] = tracks
    return videos
