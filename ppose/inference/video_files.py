"""Frames from video files and cameras, and results that stay usable wherever the work ends."""

import contextlib
import errno
import math
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import cv2
import numpy as np

from ppose.errors import DataError, DeviceError
from ppose.inference.video_container import stated_size
from ppose.paths import show_name

# FFmpeg reports about broken files itself, and read once, before the first file.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

_DEFAULT_FPS = 25.0
# Seconds. A whole file too may state more frames than it shows: as an estimate from its length, which may be
# that of its sound, or where a clip was cut without coding it anew: then up to a group of pictures (10 s by
# x264's default) is in it but not shown.
_CLEARLY_LOST = 10.0
_CODEC = "mp4v"
_SHOWN = 40  # characters of a name in the temporary one, which is not to become too long
_DESCRIPTORS = Path("/proc/self/fd")
_RESERVE = 4 << 20  # bytes, for the index at a video's end


class Frames:
    """Iterates over (time in seconds, frame (H, W, 3) uint8, RGB) of a video file or of a camera's number.

    Times are a file's own, which need not be evenly apart; where it has none, as of ``fps``. That is the
    file's or the camera's, 25 where it does not say. Raises DataError for a file that is missing, empty or
    unreadable, DeviceError for a camera that gives nothing.
    """

    def __init__(self, source: Path | int) -> None:
        if isinstance(source, Path):
            if not source.is_file():
                raise DataError(f"video not found: {show_name(source)}")
            if source.stat().st_size == 0:
                raise DataError(f"video is empty: {show_name(source)} (0 bytes)")
        log_level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        with _plain_path(source) if isinstance(source, Path) else contextlib.nullcontext(source) as opened:
            self._capture = cv2.VideoCapture(opened)
        seen, self._first = self._capture.read()
        cv2.utils.logging.setLogLevel(log_level)
        if not seen:
            self._capture.release()
            if not isinstance(source, Path):
                raise DeviceError(f"camera {source} gives no picture: is it there, and free?")
            size, stated = source.stat().st_size, stated_size(source)
            cut = f" of {stated}: it was cut off" if size < stated else ""
            raise DataError(f"not a readable video: {show_name(source)} ({size} bytes{cut})")
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        is_known = math.isfinite(fps) and 0 < fps <= 1000
        self.fps = fps if is_known else _DEFAULT_FPS
        self._source, self._read, self._end = source, 0, 0.0
        self._stated = self._capture.get(cv2.CAP_PROP_FRAME_COUNT) if is_known else 0

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        height, width = self._first.shape[:2]
        return width, height

    def __iter__(self) -> Iterator[tuple[float, np.ndarray]]:
        is_file = isinstance(self._source, Path)
        frame, self._read, start, now = self._first, 0, time.monotonic(), 0.0
        seen = True
        while seen:
            stated = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000  # of this frame
            now = stated if stated > now or not self._read else now + 1 / self.fps
            self._read, self._end = self._read + 1, max(self._end, stated)
            yield now if is_file else time.monotonic() - start, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            seen, frame = self._capture.read()
        self._capture.release()

    def check_whole(self) -> None:
        """Raise DataError, after the last frame, where a file clearly lacks some of those that it states.

        That is where it ends before the size that it states, or where by its own time it lacks more than half
        and more than 10 s.
        """
        if not isinstance(self._source, Path) or self._read >= self._stated:
            return
        length = self._stated / self.fps
        lost = length - self._end if self._end else 0  # not all containers have times
        is_cut = stated_size(self._source) > self._source.stat().st_size
        if is_cut or lost > max(_CLEARLY_LOST, length / 2):
            raise DataError(
                f"video is cut short: {show_name(self._source)} "
                f"({self._read} of {self._stated:.0f} frames could be read)"
            )


@contextlib.contextmanager
def _plain_path(path: Path) -> Iterator[str]:
    """A path of plain letters to an existing file or folder, for OpenCV to open something by.

    OpenCV ends the process where a name is not UTF-8, takes `%03d` in it for many files, and a colon for a
    protocol. Only on Linux can names be no text; elsewhere it is the path itself.
    """
    if not _DESCRIPTORS.is_dir():
        yield str(path)
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield str(_DESCRIPTORS / str(descriptor))
    finally:
        os.close(descriptor)


class _VideoWriter:
    """Writes frames (H, W, 3) uint8, RGB, all of one size; in the end it will be the file ``target``."""

    def __init__(self, path: Path, target: Path, fps: float, size: tuple[int, int]) -> None:
        self._path, self._target, self._count = path, target, 0
        with _plain_path(path.parent) as folder:
            self._writer = cv2.VideoWriter(
                f"{folder}/{path.name}", cv2.VideoWriter.fourcc(*_CODEC), fps, size
            )
        if not self._writer.isOpened():
            raise DataError(f"cannot write a video of {size[0]}x{size[1]} pixels: {show_name(target)}")

    def write(self, frame: np.ndarray) -> None:
        """Append a frame; OSError where too little room is left for what makes the file playable."""
        if shutil.disk_usage(self._path.parent).free < _RESERVE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._target))
        self._writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        self._count += 1

    def release(self) -> None:
        """Write what makes the file playable; what is not goes, with an OSError where there were frames.

        OpenCV itself reports no error of writing.
        """
        self._writer.release()
        with _plain_path(self._path) as path:
            video = cv2.VideoCapture(path)
        is_whole = video.isOpened() and video.get(cv2.CAP_PROP_FRAME_COUNT) >= self._count
        video.release()
        if self._count and is_whole:
            return
        self._path.unlink(missing_ok=True)
        if self._count:
            problem = "the video could not be written whole (is the disk full?)"
            raise OSError(errno.EIO, problem, str(self._target))


@contextlib.contextmanager
def writing_video(path: Path, fps: float, size: tuple[int, int]) -> Iterator[_VideoWriter]:
    """A writer of an MP4 file, which is complete and in place when it is left, by Ctrl-C or an error too."""
    with _keeping(path, "video.mp4") as temporary:
        writer = _VideoWriter(temporary, path, fps, size)
        try:
            yield writer
        finally:
            writer.release()


@contextlib.contextmanager
def writing_lines(path: Path) -> Iterator[TextIO]:
    """A text file whose lines so far are in place when it is left, however that comes."""
    with _keeping(path, "lines.jsonl") as temporary:
        try:
            with temporary.open("w") as file:
                yield file
        except OSError:  # a full disk, in the middle of a line
            whole = temporary.read_bytes().rfind(b"\n") + 1
            os.truncate(temporary, whole)
            raise


@contextlib.contextmanager
def _keeping(path: Path, name: str) -> Iterator[Path]:
    """A temporary path of that name that replaces ``path`` in any case; nobody reads it half-written.

    An OSError that names no file gets this one's name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name[:_SHOWN]}.", dir=path.parent) as folder:
        temporary = Path(folder) / name
        try:
            yield temporary
        except OSError as error:
            if error.filename is not None:
                raise
            raise OSError(error.errno, error.strerror, str(path)) from error
        finally:
            if temporary.is_file():
                temporary.replace(path)
