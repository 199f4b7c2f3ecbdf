"""Reads frames of video files in any FFmpeg format, with PyAV."""

import logging
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import av
from av.stream import Disposition

from ppose.errors import DataError
from ppose.inference.video_frames import Clip, Frame
from ppose.inference.video_pictures import ToImage, limit_decoder
from ppose.paths import show_name
from ppose.pixel_limit import check_pixels
from ppose.processor import own_cores

_logger = logging.getLogger(__name__)

DEFAULT_RATE = Fraction(25)  # if a source states none
_MOST_RATE = 1000
# Do not open references, such as a playlist's files and addresses.
_NO_OTHER_FILES = {"protocol_whitelist": "none"}
_EARLIER = 10.0  # seconds; x264's longest distance of keyframes at 25 frames per second
_MOST_DECODERS = 4  # threads, each of which holds a frame
_MOST_DELAY = 3  # frames; some muxers write the time of decoding for that of showing
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
        if stream is None or _is_cover(stream):
            what = "no video" if stream is None else "a cover picture, but no video,"
            raise DataError(f"{what} in {show_name(path)}")
        self._stream: Any = stream
        context = stream.codec_context
        if context is None:
            raise DataError(f"the video in {show_name(path)} has an unknown codec, or its index was cut off")
        limit_decoder(context, path)
        context.thread_type, context.thread_count = "AUTO", min(own_cores(), _MOST_DECODERS)
        sound = streams.best("audio", related=stream)
        self.sound = None if sound is None or sound.codec_context is None else sound
        used = {stream.index, -1 if self.sound is None else self.sound.index}
        others = [each.type for each in streams if each.index not in used and not _is_cover(each)]
        self._others = {kind: others.count(kind) for kind in ("video", "audio")}
        self.rate = sane_rate(stream.average_rate or stream.guessed_rate)
        self.time_base = stream.time_base or Fraction(1, 90000)
        self.start = self._clip.start
        self._stated = self._stated_end()
        self._zero = (stream.start_time or 0) * self.time_base
        self._sound: list[Any] = []
        self._end, self._last_end = 0.0, 0.0  # of all packets, and of the video's packets
        self._count, self._odd = 0, Counter[str]()  # frames, and what is odd about them
        self._is_at_end = False  # of the clip
        self._cut: set[int] = set()  # streams whose last packet is incomplete
        self._to_image = ToImage()
        self._frames = self._read_clip()
        first = next(self._frames, None)
        if first is None:
            raise DataError(self._describe_empty())
        self._first: Frame = first
        height, width = first.read().shape[:2]
        self.size = (width, height)
        aspect = stream.sample_aspect_ratio or Fraction(1)
        is_turned = self.size != (context.width, context.height)
        self.pixel_aspect = 1 / aspect if is_turned else aspect

    def __iter__(self) -> Iterator[Frame]:
        yield self._first
        yield from self._frames

    def rest_of_sound(self) -> Sequence[Any]:
        """See `Frames`."""
        return self._sound

    def check_whole(self) -> None:
        """Warn of what was left out or guessed; DataError if the file ends before its stated length."""
        self._warn_of_oddities()
        if self._is_at_end or not self._count:
            return
        stated, read = self._stated, self._end
        # Its length may count from 0, or from the first frame.
        if "matroska" in self._container.format.name:
            stated -= max(float(self._zero), 0.0)
        if self._clip.end is not None:
            stated = min(stated, self._clip.end)
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

    def _warn_of_oddities(self) -> None:
        rate = f"{float(self.rate):g} per second"
        texts = {
            "damaged": "damaged packets were skipped",
            "untimed": f"frames without a time after the last one's, placed at {rate}",
            "interlaced": "frames are interlaced: people in motion have ragged edges; deinterlace first",
            "video": "other video streams were left out",
            "audio": "other audio streams were left out",
            "silent": "audio packets without a time were left out",
        }
        is_late = self._first.time > _MOST_DELAY / self.rate and self._container.format.name != "avi"
        if is_late and not self._clip.start:
            _logger.warning(
                "%s: nothing before %.1f s could be decoded", show_name(self._path), self._first.time
            )
        for kind, count in (self._odd + Counter(self._others)).items():
            _logger.warning("%s: %d %s", show_name(self._path), count, texts[kind])

    def _describe_empty(self) -> str:
        shown = show_name(self._path)
        if self._count:
            return f"{shown} has no frame from {self._clip.start:g} s on: it has {self._last_end:.1f} s"
        return f"not a readable video: {shown} ({self._path.stat().st_size} bytes)"

    def _read_clip(self) -> Iterator[Frame]:
        clip, number = self._clip, 0
        for time, picture in self._decode_from(clip.start):
            if clip.end is not None and time >= clip.end:
                self._is_at_end = True
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
        has_times = self._stream.start_time is not None  # else a seek leads to an unknown frame
        for place in (start, max(start - _EARLIER, 0), -_EARLIER) if start > 0 and has_times else ():
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
        self._count = 0
        self._odd.clear()
        self._cut.clear()

    def _decode(self) -> Iterator[tuple[float, Any]]:
        """Times and decoded pictures."""
        before, step = -1.0, float(1 / self.rate)
        for packet in self._demux():
            try:
                pictures = packet.decode()
            except av.FFmpegError:
                self._odd["damaged"] += 1
                continue
            for picture in pictures:
                check_pixels(picture.width, picture.height, self._path)
                self._count += 1
                now = -1.0 if picture.pts is None else float(picture.pts * self.time_base - self._zero)
                self._odd["interlaced"] += picture.interlaced_frame
                if now <= before:
                    self._odd["untimed"] += 1
                    now = max(before, -step) + step
                    self._last_end = max(self._last_end, now + step)
                before = now
                yield now, picture

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
            self._odd["silent"] += 1
            return
        clip, shift = self._clip, int((self._zero + Fraction(self._clip.start)) / packet.time_base)
        time = float(packet.pts * packet.time_base - self._zero)
        if time >= clip.start and (clip.end is None or time < clip.end):
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            self._sound.append(packet)


def _is_cover(stream: Any) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)


def sane_rate(stated: Fraction | None) -> Fraction:
    """The stated frames per second, or 25 if the value is impossible."""
    return stated if stated is not None and 0 < stated <= _MOST_RATE else DEFAULT_RATE


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
