"""The interface of video sources: frames, and the requested clip."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import cv2
import numpy as np


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame at ``time`` (seconds in its source); ``sound`` are the audio packets read before it.

    ``read`` returns it as (H, W, 3) uint8, RGB, upright; threads may read different frames at once.
    """

    time: float
    read: Callable[[], np.ndarray]
    sound: Sequence[Any] = ()


@dataclass(frozen=True, kw_only=True)
class Clip:
    """The requested frames: every ``every``-th from ``start`` to before ``end`` (seconds)."""

    start: float = 0.0
    end: float | None = None
    every: int = 1


class Frames(Protocol):
    """Frames in order of their times, and the properties of a video made from them.

    ``size`` is width and height, ``rate`` the mean frames per second; times are multiples of ``time_base``
    (seconds). ``start`` is the time that becomes 0 in the new video. ``is_live``: frames come in real time,
    even if nobody reads them. ``sound`` is the audio stream, or None. ``pixel_aspect`` is a pixel's width by
    its height.
    """

    size: tuple[int, int]
    rate: Fraction
    time_base: Fraction
    start: float
    is_live: bool
    pixel_aspect: Fraction
    sound: Any

    def __iter__(self) -> Iterator[Frame]: ...

    def rest_of_sound(self) -> Sequence[Any]:
        """The audio packets after the last frame."""
        ...

    def check_whole(self) -> None:
        """After the last frame, warn of what was left out or guessed; DataError if the file was cut off."""
        ...

    def close(self) -> None:
        """Close the file, camera or stream."""
        ...


class Fitting:
    """Reads frames, and fits those of another size into ``size`` (width, height), with black beside them.

    So all keypoints of a video are in the same pixels. ``others`` are the times of such frames.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        self.others: set[float] = set()

    def read(self, frame: Frame) -> np.ndarray:
        """The frame's image (H, W, 3) uint8, RGB; threads may call it at once."""
        image = frame.read()
        (width, height), (old_width, old_height) = self.size, image.shape[1::-1]
        if (width, height) == (old_width, old_height):
            return image
        self.others.add(frame.time)
        factor = min(width / old_width, height / old_height)
        inner = max(round(factor * old_width), 1), max(round(factor * old_height), 1)
        left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
        fitted = np.zeros((height, width, 3), np.uint8)
        place = fitted[top : top + inner[1], left : left + inner[0]]
        place[:] = cv2.resize(image, inner, interpolation=cv2.INTER_AREA)
        return fitted
