"""The One Euro filter: little jitter when slow, little lag when fast."""

import math

import numpy as np


class OneEuroFilter:
    """Smooths an array that is measured repeatedly (Casiez, Roussel, Vogel, CHI 2012).

    x' = a x + (1 - a) x'_last with a = 1 / (1 + 1 / (2 pi f dt)) and the cutoff f = min_cutoff + beta |v| in
    Hz, where v is the speed, filtered in the same way with speed_cutoff. Here v is in sizes of the person a
    second, so that near and far people are filtered alike. With the defaults and 30 frames a second, jitter
    of 1 % of the size falls to a third at rest, and motion up to 10 sizes a second lags by 3 % of the size.
    """

    def __init__(self, min_cutoff: float = 0.3, beta: float = 5.0, speed_cutoff: float = 1.0) -> None:
        self._min_cutoff, self._beta, self._speed_cutoff = min_cutoff, beta, speed_cutoff
        self._time: float | None = None
        self._value = self._speed = np.zeros(())

    def __call__(self, value: np.ndarray, time: float, size: float = 1.0) -> np.ndarray:
        """The filtered value at a time in seconds; a time not later than the last restarts the filter."""
        value = np.asarray(value, np.float64)
        if self._time is None or time <= self._time:
            self._time, self._value, self._speed = time, value, np.zeros_like(value)
            return value
        elapsed = time - self._time
        share = _share(self._speed_cutoff, elapsed)
        self._speed = share * (value - self._value) / elapsed + (1 - share) * self._speed
        share = _share(self._min_cutoff + self._beta * np.abs(self._speed) / size, elapsed)
        self._value = share * value + (1 - share) * self._value
        self._time = time
        return self._value


def _share(cutoff: np.ndarray | float, elapsed: float) -> np.ndarray | float:
    return 1 / (1 + 1 / (2 * math.pi * cutoff * elapsed))
