"""A frame of a video, and what part of the video is wanted."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame at ``time`` (seconds in its source); ``sound`` are the packets of audio read before it.

    ``read`` gives it as (H, W, 3) uint8, RGB, upright; threads may read different frames at once.
    """

    time: float
    read: Callable[[], np.ndarray]
    sound: Sequence[Any] = ()


@dataclass(frozen=True, kw_only=True)
class Clip:
    """The frames wanted: from ``start`` up to before ``end`` (seconds), and of these each ``every``-th."""

    start: float = 0.0
    end: float | None = None
    every: int = 1

    @property
    def is_cut(self) -> bool:
        """Whether frames at the end may be left out on purpose."""
        return self.end is not None


class Frames(Protocol):
    """Frames, in order of their times, and what a video of them is like.

    ``size`` is width and height, ``rate`` frames a second, on average, ``time_base`` that of which times are
    multiples. ``start`` is the time that is 0 in a video made of them. ``is_live``: they come as they are
    taken, whether somebody reads them or not. ``sound`` is the stream of audio that goes with them.
    """

    size: tuple[int, int]
    rate: Fraction
    time_base: Fraction
    start: float
    is_live: bool
    sound: Any

    def __iter__(self) -> Iterator[Frame]: ...

    def rest_of_sound(self) -> Sequence[Any]:
        """The packets of audio behind the last frame."""
        ...

    def check_whole(self) -> None:
        """Raise DataError, after the last frame, where a file clearly lacks some of those that it states."""
        ...

    def close(self) -> None:
        """Leave the file, camera or stream."""
        ...
