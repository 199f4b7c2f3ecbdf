"""Writes videos, and lines about their frames, that stay usable after an interruption."""

import contextlib
import errno
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, TextIO

import av
import cv2
import numpy as np
from av.bitstream import BitStreamFilterContext

from ppose.errors import DataError
from ppose.paths import show_name

_logger = logging.getLogger(__name__)

Codec = Literal["h264", "hevc", "av1", "vp9", "mpeg4"]
# Encoders with fast options, since poses take most of the time. x264 still searches motion in fractions of
# pixels, which halves the files. No B-frames: an MP4 file's length is that of its decoding times, and readers
# skip a last frame beyond it.
_ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    "h264": ("libx264", {"preset": "ultrafast", "crf": "22", "x264-params": "subme=1"}),
    "hevc": ("libx265", {"preset": "superfast", "crf": "22", "x265-params": "bframes=0:log-level=none"}),
    "av1": ("libsvtav1", {"preset": "10", "crf": "30", "svtav1-params": "log-level=0"}),
    "vp9": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "6", "crf": "30", "b": "0", "row-mt": "1"}),
    "mpeg4": ("mpeg4", {"q": "3"}),
}
# Playable fragments while the file is written; a single piece with an index when it is closed.
_CONTAINER = {
    "movflags": "+hybrid_fragmented+frag_keyframe+delay_moov",
    "frag_duration": "1000000",
    "flush_packets": "1",
}
_KEY_SECONDS = 2  # between keyframes
_SHOWN = 40  # characters of the name in the temporary file's name, to limit its length
_MOST_AV1 = Fraction(240)  # frames per second that SVT-AV1 takes; it only plans with them
_FINEST = Fraction(1, 10**7)  # seconds; MP4 counts the time from a frame to the next in 31 bits
_RESERVE = 4 << 20  # bytes, for the index at a video's end
os.environ.setdefault("SVT_LOG", "0")  # errors are reported here
_BT601, _LIMITED = 6, 1  # the matrix and the range of OpenCV's I420, as FFmpeg numbers them


def to_picture(image: np.ndarray) -> Any:
    """Convert an image (H, W, 3) uint8, RGB, of the video's size, for the encoder."""
    height, width = image.shape[:2]
    if height % 2 or width % 2:  # encoders take even sizes
        image = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    planes: Any = cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420)
    return av.VideoFrame.from_ndarray(planes, format="yuv420p")


class VideoWriter:
    """Writes an MP4 file: pictures with their own times, and copies of audio packets.

    ``size`` is width and height of the images; times are rounded to ``time_base``. ``sound`` is the audio
    stream; audio that MP4 cannot hold is skipped with a warning. ``pixel_aspect`` is a pixel's width by its
    height. ``target`` is the file's name in messages.
    """

    def __init__(
        self,
        path: Path,
        target: Path,
        size: tuple[int, int],
        *,
        rate: Fraction,
        time_base: Fraction,
        codec: Codec = "h264",
        pixel_aspect: Fraction = Fraction(1),
        sound: Any = None,
    ) -> None:
        if codec == "mpeg4" and time_base.denominator > 65535:  # the standard's limit
            time_base = Fraction(1, 50000)
        time_base = max(time_base, _FINEST)
        if codec == "av1":
            rate = min(rate, _MOST_AV1)
        self._path, self._target, self._time_base = path, target, time_base
        self._count, self._last, self._lost_sound = 0, -1, 0
        encoder, options = _ENCODERS[codec]
        self._file = _Output(path)
        self._container = _open_mp4(self._file)
        self._video = self._container.add_stream(encoder, rate=rate, options=options)
        context = self._video.codec_context
        context.width, context.height = (side + side % 2 for side in size)
        context.pix_fmt, context.time_base = "yuv420p", time_base
        context.colorspace, context.color_range = _BT601, _LIMITED
        context.sample_aspect_ratio = pixel_aspect
        context.gop_size = max(round(_KEY_SECONDS * rate), 1)
        self._to_mp4: Callable[[Any], Sequence[Any]] = lambda packet: [packet]
        self._sound = self._add_sound(sound)
        try:
            self._container.start_encoding()
        except (av.FFmpegError, OSError) as error:
            self._file.close()
            path.unlink(missing_ok=True)  # an empty file would replace an earlier video
            if self._file.error is not None:
                raise self._file.error from None
            problem = f"cannot write a video of {size[0]}x{size[1]} pixels as {codec}: {show_name(target)}"
            raise DataError(f"{problem}: {error.strerror}") from None

    def write(self, picture: Any, time: float, sound: Sequence[Any] = ()) -> None:
        """Append the picture of `to_picture` at this time (seconds), and the audio packets before it.

        Raises OSError, which names the file, if the disk has too little space left for the index.
        """
        if shutil.disk_usage(self._path.parent).free < _RESERVE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._target))
        ticks = max(round(Fraction(time) / self._time_base), self._last + 1)
        gap = self._count and (ticks - self._last) * self._time_base
        if gap >= 2**31 * self._video.time_base:
            raise DataError(
                f"{show_name(self._target)} ends at {float(self._last * self._time_base):.1f} s: MP4 cannot "
                f"hold frames {float(gap):.0f} s apart, choose a part by --start and --end"
            )
        self._last = ticks
        picture.pts, picture.time_base = self._last, self._time_base
        self.write_sound(sound)
        self._mux(self._video.encode(picture))
        self._count += 1

    def write_sound(self, packets: Sequence[Any]) -> None:
        """Append audio packets."""
        for packet in packets if self._sound is not None else ():
            try:
                done = self._to_mp4(packet)
                for each in done:
                    each.stream = self._sound
                self._mux(done)
            except av.FFmpegError:  # such as for times that go back
                self._lost_sound += 1

    def close(self) -> None:
        """Flush the encoder and write the index; delete the file if it cannot be played."""
        if self._lost_sound:
            _logger.warning("%s lacks %d packets of audio", show_name(self._target), self._lost_sound)
        try:
            if self._count and self._file.error is None:
                self._mux(self._video.encode(None))
            with contextlib.suppress(*([av.FFmpegError, OSError] if self._file.error else [])):
                self._container.close()
        except av.FFmpegError as error:
            raise DataError(f"cannot finish {show_name(self._target)}: {error.strerror}") from None
        finally:
            self._file.close()
            if not _can_be_played(self._path):
                self._path.unlink(missing_ok=True)

    def _mux(self, packets: Sequence[Any]) -> None:
        try:
            self._container.mux(packets)
        except (av.FFmpegError, OSError):
            if self._file.error is not None:  # the cause, which FFmpeg's message hides
                raise self._file.error from None
            raise

    def _add_sound(self, sound: Any) -> Any:
        if sound is None:
            return None
        if sound.codec_context.name not in self._container.supported_codecs:
            _logger.warning(
                "%s has no audio: MP4 cannot contain %s", show_name(self._target), sound.codec_context.name
            )
            return None
        stream = self._container.add_stream_from_template(sound)
        layout = sound.codec_context.layout
        if any(channel.name == "NONE" for channel in layout.channels):  # as in AVI; MP4 must name them
            stream.codec_context.layout = f"{layout.nb_channels}c"
        if sound.codec_context.name == "aac" and not sound.codec_context.extradata:  # ADTS, from broadcasts
            self._to_mp4 = BitStreamFilterContext("aac_adtstoasc", sound).filter
        return stream


class _Output:
    """An unbuffered file; ``error`` is the error of a failed write."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        self.name = str(path)
        self.error: OSError | None = None
        self.seek, self.tell, self.close = self._file.seek, self._file.tell, self._file.close

    def write(self, data: bytes) -> int:
        """Write all the data."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self.error = error
            raise
        return len(data)


@contextlib.contextmanager
def writing_video(path: Path, size: tuple[int, int], **options: Any) -> Iterator[VideoWriter]:
    """A `VideoWriter` of an MP4 file, which is in place on exit, also after Ctrl-C or an error.

    Until then it is NAME.*.part.mp4 beside it, which can be played even if the process is killed.
    """
    with _keeping(path) as temporary:
        writer = VideoWriter(temporary, path, size, **options)
        try:
            yield writer
        finally:
            writer.close()


@contextlib.contextmanager
def writing_lines(path: Path) -> Iterator[TextIO]:
    """A text file; the lines so far are in place on exit, also after an error."""
    with _keeping(path) as temporary:
        try:
            with temporary.open("w", buffering=1) as file:
                yield file
        except OSError:  # a full disk: drop the incomplete line
            whole = temporary.read_bytes().rfind(b"\n") + 1
            os.truncate(temporary, whole)
            raise


@contextlib.contextmanager
def _keeping(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path``; its file replaces ``path`` on exit, also after an error.

    An OSError that names no file, or the temporary one, gets this path.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.stem[:_SHOWN]}.{secrets.token_hex(4)}.part{path.suffix}")
    try:
        yield temporary
    except OSError as error:
        if error.filename not in (None, str(temporary)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        if temporary.is_file():
            temporary.replace(path)


def _open_mp4(file: _Output) -> Any:
    return av.open(file, "w", format="mp4", options=_CONTAINER)


def _can_be_played(path: Path) -> bool:
    try:
        with path.open("rb") as file, av.open(file, "r") as container:
            return next(container.decode(video=0), None) is not None
    except (av.FFmpegError, IndexError):
        return False
