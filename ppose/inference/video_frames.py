"""The interface of video sources: frames, and the requested clip."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

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

    @property
    def is_cut(self) -> bool:
        """Whether frames at the end may be left out on request."""
        return self.end is not None


class Frames(Protocol):
    """Frames in order of their times, and the properties of a video made from them.

    ``size`` is width and height, ``rate`` the mean frames per second; times are multiples of ``time_base``
    (seconds). ``start`` is the time that becomes 0 in the new video. ``is_live``: frames come in real time,
    even if nobody reads them. ``sound`` is the audio stream, or None.
    """

    size: tuple[int, int]
    rate: Fraction
    time_base: Fraction
    start: float
    is_live: bool
    sound: Any

    def __iter__(self) -> Iterator[Frame]: ...

    def rest_of_sound(self) -> Sequence[Any]:
        """The audio packets after the last frame."""
        ...

    def check_whole(self) -> None:
        """After the last frame, raise DataError if a file clearly lacks some of its stated frames."""
        ...

    def close(self) -> None:
        """Close the file, camera or stream."""
        ...
