"""Reads frames of video files in any FFmpeg format, with PyAV."""

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from functools import partial
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

import av
import cv2
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorTrc, VideoReformatter

from ppose.errors import DataError
from ppose.inference.video_frames import Clip, Frame
from ppose.paths import show_name
from ppose.pixel_limit import check_pixels, max_pixels
from ppose.processor import own_cores

_logger = logging.getLogger(__name__)

DEFAULT_RATE = Fraction(25)  # if a source states none
_MOST_RATE = 1000
# Do not open references, such as a playlist's files and addresses.
_NO_OTHER_FILES = {"protocol_whitelist": "none"}
_HDR = (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)  # PQ and HLG
_TURNS = {1: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_CLOCKWISE}
_EARLIER = 10.0  # seconds; x264's longest distance of keyframes at 25 frames per second
_MOST_DECODERS = 4  # threads, each of which holds a frame
_LOST_SECONDS, _LOST_FRAMES = 0.5, 1.5  # tolerances of a complete file's length


class VideoFile:
    """The frames of a video file; `Frames`.

    Times are the file's own, counted from its first frame, and may be uneven; without times they follow from
    the rate. 10 bits become 8, and HDR is mapped to standard range. Raises DataError for a file that is
    missing, empty or unreadable, has no frame in the clip, or too large frames.
    """

    is_live = False

    def __init__(self, path: Path, clip: Clip | None = None) -> None:
        self._path, self._clip = path, clip or Clip()
        self._file, self._container = _open(path)
        streams = self._container.streams
        stream = streams.best("video")
        if stream is None:
            raise DataError(f"no video in {show_name(path)}")
        self._stream: Any = stream
        context = stream.codec_context
        if context is None:
            raise DataError(f"the video in {show_name(path)} has an unknown codec, or its index was cut off")
        limit_decoder(context, path)
        context.thread_type, context.thread_count = "AUTO", min(own_cores(), _MOST_DECODERS)
        sound = streams.best("audio", related=stream)
        self.sound = None if sound is None or sound.codec_context is None else sound
        self.rate = sane_rate(stream.average_rate or stream.guessed_rate)
        self.time_base = stream.time_base or Fraction(1, 90000)
        self.start = self._clip.start
        self._stated = self._stated_end()
        self._zero = (stream.start_time or 0) * self.time_base
        self._sound: list[Any] = []
        self._end, self._last_end = 0.0, 0.0  # of all packets, and of the video's packets
        self._count, self._damaged = 0, 0
        self._cut: set[int] = set()  # streams whose last packet is incomplete
        self._to_standard_range = _StandardRange()
        self._frames = self._read_clip()
        first = next(self._frames, None)
        if first is None:
            raise DataError(self._say_empty())
        self._first: Frame = first
        height, width = first.read().shape[:2]
        self.size = (width, height)

    def __iter__(self) -> Iterator[Frame]:
        yield self._first
        yield from self._frames
        if self._damaged:
            _logger.warning("%s: %d damaged packets were skipped", show_name(self._path), self._damaged)

    def rest_of_sound(self) -> Sequence[Any]:
        """See `Frames`."""
        return self._sound

    def check_whole(self) -> None:
        """Raise DataError if the file ends within a frame, or before its stated length."""
        if self._clip.is_cut or not self._count:
            return
        stated, read = self._stated, self._end
        # Its length may count from 0, or from the first frame.
        if "matroska" in self._container.format.name:
            stated -= max(float(self._zero), 0.0)
        if self._cut or stated - read > max(_LOST_SECONDS, _LOST_FRAMES / self.rate):
            of_length = f", {read:.1f} of {stated:.1f} s," if stated > read else ""
            raise DataError(
                f"video is cut short: {show_name(self._path)} ({self._count} frames{of_length} could be read)"
            )

    def close(self) -> None:
        """Close the file."""
        self._container.close()
        self._file.close()

    def _stated_end(self) -> float:
        length = self._container.duration
        stated = length / av.time_base if length else 0.0
        if self._container.format.name == "avi":  # its frame count is right, its length may be a guess
            stated = max(stated, float(self._stream.frames / self.rate))
        return stated

    def _say_empty(self) -> str:
        shown = show_name(self._path)
        if self._count:
            return f"{shown} has no frame from {self._clip.start:g} s on: it has {self._last_end:.1f} s"
        return f"not a readable video: {shown} ({self._path.stat().st_size} bytes)"

    def _read_clip(self) -> Iterator[Frame]:
        clip, number = self._clip, 0
        for time, picture in self._decode_from(clip.start):
            if clip.end is not None and time >= clip.end:
                return
            if time < clip.start - float(self.time_base) / 2:
                continue
            if number % clip.every == 0:
                sound, self._sound = self._sound, []
                yield Frame(time, partial(self._to_image, picture), sound)
            number += 1

    def _decode_from(self, start: float) -> Iterator[tuple[float, Any]]:
        """Yield times and decoded pictures, from a keyframe at ``start`` or before.

        In formats without an index, such as MPEG-TS, a seek may end after it: it then seeks 10 s earlier, or
        to the beginning.
        """
        for place in (start, max(start - _EARLIER, 0), -_EARLIER) if start > 0 else ():
            with suppress(av.FFmpegError):
                self._container.seek(int((place + self._zero) / self.time_base), stream=self._stream)
            decoded = self._decode()
            time, picture = next(decoded, (math.inf, None))
            is_early = time <= start + float(self.time_base) / 2
            is_in_time = is_early and picture is not None and picture.key_frame
            if place < 0 or is_in_time:
                yield from () if picture is None else chain([(time, picture)], decoded)
                return
            self._forget()
        yield from self._decode()

    def _forget(self) -> None:
        """Reset the records of packets that are read again."""
        self._sound, self._end, self._last_end = [], 0.0, 0.0
        self._count, self._damaged = 0, 0
        self._cut.clear()

    def _decode(self) -> Iterator[tuple[float, Any]]:
        """Times and decoded pictures."""
        before, step = -1.0, float(1 / self.rate)
        for packet in self._demux():
            try:
                pictures = packet.decode()
            except av.FFmpegError:
                self._damaged += 1
                continue
            for picture in pictures:
                check_pixels(picture.width, picture.height, self._path)
                self._count += 1
                now = -1.0 if picture.pts is None else float(picture.pts * self.time_base - self._zero)
                before = now if now > before else max(before, -step) + step
                yield before, picture

    def _demux(self) -> Iterator[Any]:
        """Packets of the video; packets of its sound are kept for the next frame."""
        packets = self._container.demux()
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError):  # nothing can be read after the damage
                packet = None
                self._cut.add(self._stream.index)
            if packet is None:
                return
            if packet.size:  # only the last packet of a stream matters
                (self._cut.add if packet.is_corrupt else self._cut.discard)(packet.stream.index)
            if packet.pts is not None and packet.size:
                end = float((packet.pts + (packet.duration or 0)) * packet.time_base - self._zero)
                self._end = max(self._end, end)
                if packet.stream.index == self._stream.index:
                    self._last_end = max(self._last_end, end)
            if packet.stream.index == self._stream.index:
                yield packet
            elif self.sound is not None and packet.stream.index == self.sound.index and packet.size:
                self._keep_sound(packet)

    def _keep_sound(self, packet: Any) -> None:
        """Keep a packet if it lies in the clip; its time then counts from the clip's start."""
        if packet.pts is None or packet.dts is None:
            return
        clip, shift = self._clip, int((self._zero + Fraction(self._clip.start)) / packet.time_base)
        time = float(packet.pts * packet.time_base - self._zero)
        if time >= clip.start and (clip.end is None or time < clip.end):
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            self._sound.append(packet)

    def _to_image(self, picture: Any) -> np.ndarray:
        if picture.color_trc in _HDR:
            image = self._to_standard_range(picture)
        else:
            image = picture.to_ndarray(format="rgb24", threads=1)
        return turn_upright(image, picture.rotation)


class _StandardRange:
    """Maps HDR to standard range, one frame at a time; keeps the tables, which take FFmpeg seconds."""

    def __init__(self) -> None:
        self._reformatter, self._one = VideoReformatter(), Lock()

    def __call__(self, picture: Any) -> np.ndarray:
        with self._one:
            done = self._reformatter.reformat(
                picture,
                format="rgb24",
                dst_color_trc=ColorTrc.BT709,
                dst_color_primaries=ColorPrimaries.BT709,
            )
            return done.to_ndarray()


def limit_decoder(context: Any, name: object) -> None:
    """Limit a decoder's pictures to the allowed pixels; DataError if it states larger ones."""
    check_pixels(context.width, context.height, name)
    context.options = {"max_pixels": str(max_pixels())}


def sane_rate(stated: Fraction | None) -> Fraction:
    """The stated frames per second, or 25 if the value is impossible."""
    return stated if stated is not None and 0 < stated <= _MOST_RATE else DEFAULT_RATE


def turn_upright(image: np.ndarray, rotation: int) -> np.ndarray:
    """Rotate the image counter-clockwise by ``rotation`` degrees, rounded to quarter turns."""
    quarters = round(rotation / 90) % 4
    return cv2.rotate(image, _TURNS[quarters]) if quarters else image


def _open(path: Path) -> tuple[BinaryIO, Any]:
    """The open video file, and its container."""
    if not path.is_file():
        raise DataError(f"video not found: {show_name(path)}")
    size = path.stat().st_size
    if size == 0:
        raise DataError(f"video is empty: {show_name(path)} (0 bytes)")
    file = path.open("rb")  # opened here, since names need not be UTF-8
    try:
        return file, av.open(file, options=_NO_OTHER_FILES, metadata_errors="replace")
    except (av.FFmpegError, ValueError):
        file.seek(4)
        has_no_index = file.read(4) == b"ftyp"
        file.close()
        cut = "; it was cut off: the index at its end is missing" if has_no_index else ""
        raise DataError(f"not a readable video: {show_name(path)} ({size} bytes{cut})") from None
