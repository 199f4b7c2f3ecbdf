"""Live frames of cameras and of streams; lost streams are reconnected."""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import av
import cv2
import numpy as np

from ppose.errors import DataError, DeviceError
from ppose.inference.video_files import DEFAULT_RATE, sane_rate
from ppose.inference.video_frames import Clip, Frame
from ppose.inference.video_pictures import ToImage, limit_decoder
from ppose.paths import hide_secrets

_logger = logging.getLogger(__name__)

SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "srt", "udp", "tcp")
# What a stream, such as a playlist, may refer to: no files of this machine.
_PROTOCOLS = ",".join((*SCHEMES, "rtp", "tls", "crypto", "httpproxy", "rtmpt"))
_TIMEOUT = 10.0  # seconds for a stream to answer
_PATIENCE = 60.0  # seconds that a stream may be lost
_PAUSES = (0.5, 1.0, 2.0, 5.0)  # before each reconnection; the last one repeats
_TO_END = 1.0  # seconds for the thread to end
_CLOCK = Fraction(1, 1000)

Take = Callable[[], np.ndarray | None]


class LiveFrames:
    """Yields the newest frame on request, and drops older ones; `Frames`.

    ``take`` waits for the next frame, (H, W, 3) uint8, RGB, or returns None at the end. A thread of its own
    calls it, starting with the iteration. Times are seconds since then.
    """

    is_live, sound, time_base, pixel_aspect = True, None, _CLOCK, Fraction(1)

    def __init__(
        self, take: Take, clip: Clip, *, name: str, rate: Fraction, close: Callable[[], Any]
    ) -> None:
        self._take, self._clip, self._name, self._close = take, clip, name, close
        first = take()
        if first is None:
            close()
            raise DeviceError(f"{name} gives no picture: is it there, and free?")
        self.rate, self.start = rate, clip.start
        self.size = (first.shape[1], first.shape[0])
        self._changed = threading.Condition()
        self._newest: Frame | None = None
        self._error: Exception | None = None
        self._is_over, self._left_out = False, 0
        self._thread = threading.Thread(target=self._work, args=(first,), name="ppose live", daemon=True)

    def __iter__(self) -> Iterator[Frame]:
        self._thread.start()
        while True:
            with self._changed:
                while self._newest is None and not self._is_over:
                    self._changed.wait(1.0)  # with a timeout, so that Ctrl-C works on every system
                frame, self._newest = self._newest, None
            if frame is None:
                break
            yield frame
        if self._error is not None:
            raise self._error

    def rest_of_sound(self) -> Sequence[Any]:
        """None."""
        return ()

    def check_whole(self) -> None:
        """A live source has no stated length."""

    def close(self) -> None:
        """End, and warn of dropped frames."""
        self._is_over = True
        if self._thread.is_alive():
            self._thread.join(_TO_END)
        if not self._thread.is_alive():  # else it waits for the source, and ends with the process
            self._close()
        if self._left_out:
            _logger.warning("%s: dropped %d frames that came too fast", self._name, self._left_out)

    def _work(self, image: np.ndarray | None) -> None:
        began, number, clip = time.monotonic(), 0, self._clip
        try:
            while image is not None and not self._is_over:
                now = time.monotonic() - began
                if clip.end is not None and now >= clip.end:
                    break
                if now >= clip.start:
                    if number % clip.every == 0:
                        self._put(Frame(now, partial(np.asarray, image)))
                    number += 1
                image = self._take()
        except Exception as error:  # raised in the thread that iterates
            self._error = error
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def _put(self, frame: Frame) -> None:
        with self._changed:
            self._left_out += self._newest is not None
            self._newest = frame
            self._changed.notify_all()


def open_camera(number: int, clip: Clip) -> LiveFrames:
    """Open a camera by its number, by OpenCV; DeviceError if it gives no picture."""
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    capture = cv2.VideoCapture(number)
    cv2.utils.logging.setLogLevel(level)
    stated = capture.get(cv2.CAP_PROP_FPS)
    rate = sane_rate(Fraction(stated).limit_denominator(1001) if math.isfinite(stated) else None)

    def take() -> np.ndarray | None:
        is_there, image = capture.read()
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if is_there else None

    return LiveFrames(take, clip, name=f"camera {number}", rate=rate, close=capture.release)


def open_stream(url: str, clip: Clip) -> LiveFrames:
    """Open a stream by its URL, by FFmpeg; DeviceError if it gives no picture, DataError if it is a file.

    A lost stream is reconnected for up to a minute.
    """
    stream = _Stream(url)
    stream.open()
    return LiveFrames(stream.take, clip, name=stream.name, rate=stream.rate, close=stream.close)


class _Stream:
    """The pictures of a stream over successive connections."""

    def __init__(self, url: str) -> None:
        self.name, self._url = hide_secrets(url), url
        if urlsplit(url).scheme.lower() not in SCHEMES:
            raise DataError(f"{self.name} is no stream: expected {'://, '.join(SCHEMES)}://")
        self._container: Any = None
        self._pictures: Iterator[Any] = iter(())
        self.rate, self._to_image = DEFAULT_RATE, ToImage()

    def open(self) -> None:
        """Connect; DeviceError with the reason if that fails."""
        options = {"protocol_whitelist": _PROTOCOLS, "fflags": "nobuffer"}
        if self._url.lower().startswith("rtsp"):
            options["rtsp_transport"] = "tcp"  # UDP gives damaged pictures
        try:
            self._container = av.open(self._url, options=options, timeout=_TIMEOUT, metadata_errors="replace")
        except (av.FFmpegError, OSError, ValueError) as error:
            raise DeviceError(f"{self.name} gives no picture: {getattr(error, 'strerror', error)}") from None
        stream = self._container.streams.best("video")
        if stream is None or stream.codec_context is None:
            raise DeviceError(f"{self.name} has no video")
        if self._container.duration:
            length = self._container.duration / av.time_base
            raise DataError(
                f"{self.name} is a file of {length:.0f} s: download it, and give --video_file its path"
            )
        limit_decoder(stream.codec_context, self.name)
        self.rate = sane_rate(stream.average_rate or stream.guessed_rate)
        self._pictures = self._decode(stream)

    def take(self) -> np.ndarray | None:
        """The next picture, over a new connection if needed; DeviceError if none comes for a minute."""
        gone, tries = time.monotonic(), 0
        while True:
            try:
                picture = next(self._pictures, None)
                if picture is not None:
                    return self._to_image(picture)
                reason = "it ended"
            except (av.FFmpegError, OSError) as error:
                reason = getattr(error, "strerror", None) or str(error)
            if time.monotonic() - gone > _PATIENCE:
                raise DeviceError(f"{self.name} is lost for {_PATIENCE:.0f} s now: {reason}")
            if not tries:
                _logger.warning("%s is lost: %s; reconnecting", self.name, reason)
            time.sleep(_PAUSES[min(tries, len(_PAUSES) - 1)])
            tries += 1
            self._open_again()

    def close(self) -> None:
        """Leave the stream."""
        if self._container is not None:
            self._container.close()

    def _open_again(self) -> None:
        self.close()
        self._pictures = iter(())
        try:
            self.open()
        except DeviceError:  # not yet
            return

    def _decode(self, stream: Any) -> Iterator[Any]:
        for packet in self._container.demux(stream):
            try:
                yield from packet.decode()
            except av.InvalidDataError:  # such as after a lost packet
                continue
