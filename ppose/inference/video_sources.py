"""Opens video sources: files, numbered images, cameras, streams."""

import logging
import math
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ppose.errors import ConfigError, DataError
from ppose.inference.live_frames import open_camera, open_stream
from ppose.inference.video_files import DEFAULT_RATE, VideoFile
from ppose.inference.video_frames import Clip, Frame, Frames
from ppose.paths import show_name
from ppose.transforms import read_image

_logger = logging.getLogger(__name__)

_NUMBER = re.compile(r"(%0?\d*d)")


def open_frames(source: Path | int | str, clip: Clip, rate: Fraction | None = None) -> Frames:
    """The frames of a video file, numbered images (`frame%04d.png`), a camera's number, or a stream's URL.

    ``rate`` is the frames per second of numbered images. Raises DataError or DeviceError if there are none.
    """
    if isinstance(source, int):
        return open_camera(source, clip)
    if isinstance(source, str):
        return open_stream(source, clip)
    if _NUMBER.search(source.name) and not source.exists():
        return NumberedImages(source, clip, rate or DEFAULT_RATE)
    if rate is not None:
        raise ConfigError(f"{show_name(source)} has times of its own; --fps is for numbered images")
    return VideoFile(source, clip)


def name_source(source: Path | int | str) -> str:
    """The name of a source's results, without an ending."""
    if isinstance(source, int):
        return f"camera{source}"
    if isinstance(source, str):
        parts = urlsplit(source)
        return re.sub(r"[^\w.-]+", "_", f"{parts.hostname or 'stream'}{parts.path}", flags=re.ASCII).strip(
            "_."
        )
    stem = source.stem if source.is_file() else _NUMBER.sub("", source.stem)
    return stem.strip("_-. ") or source.parent.name or "images"


class NumberedImages:
    """The image files that match a pattern with a number, in the order of numbers; `Frames`.

    Frames are evenly spaced, even if numbers are missing. Raises DataError if there are none.
    """

    is_live, sound, pixel_aspect = False, None, Fraction(1)

    def __init__(self, pattern: Path, clip: Clip, rate: Fraction) -> None:
        before, _, after = _NUMBER.split(pattern.name, maxsplit=1)
        name = re.compile(f"{re.escape(before)}([0-9]+){re.escape(after)}")
        files = pattern.parent.iterdir() if pattern.parent.is_dir() else ()
        numbered = sorted((int(match[1]), file) for file in files if (match := name.fullmatch(file.name)))
        self.rate, self.time_base, self.start = rate, 1 / rate, clip.start
        end = math.inf if clip.end is None else clip.end
        times = [(float(index / rate), file) for index, (_, file) in enumerate(numbered)]
        self._files = [(time, file) for time, file in times if clip.start <= time < end][:: clip.every]
        if not self._files:
            of_all = f" in the requested part, of {len(times)}" if times else ""
            raise DataError(f"no image {show_name(pattern)}{of_all}")
        height, width = read_image(self._files[0][1], use_exif=True).shape[:2]
        self.size = (width, height)
        numbers = {number for number, _ in numbered}
        self._gaps = max(numbers) - min(numbers) + 1 - len(numbers)
        self._pattern = pattern

    def __iter__(self) -> Iterator[Frame]:
        for time, file in self._files:
            yield Frame(time, partial(read_image, file, use_exif=True))

    def rest_of_sound(self) -> Sequence[Any]:
        """None."""
        return ()

    def check_whole(self) -> None:
        """Warn of numbers without an image."""
        if self._gaps:
            _logger.warning(
                "%s: %d numbers in between have no image: times are as if the images were consecutive",
                show_name(self._pattern),
                self._gaps,
            )

    def close(self) -> None:
        """Nothing is open."""
