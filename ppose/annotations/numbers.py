"""Numbers of annotation files as arrays: quick where they are plain, one by one where they are not."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ppose.errors import DataError

LARGEST = 1e9  # in pixels; what is beyond is no coordinate


def to_numbers(value: Any) -> list[float]:
    """The numbers of a value, flat: of lists in lists and of texts such as "2" or "[1, 2]" too; null is NaN.

    Raises ValueError or TypeError for what is none.
    """
    return list(_flatten(value))


def _flatten(value: Any) -> Iterator[float]:
    if isinstance(value, list | tuple):
        for part in value:
            yield from _flatten(part)
    elif value is None:
        yield math.nan
    elif isinstance(value, str) and any(mark in value for mark in "[, "):
        text = value.strip()
        yield from _flatten(json.loads(text) if text.startswith("[") else text.replace(",", " ").split())
    elif isinstance(value, int | float | str):
        try:
            yield float(value)
        except OverflowError:
            raise ValueError("too large") from None
    else:
        raise TypeError("not a number")


def read_rows(
    values: Sequence[Any], width: int, read_row: Callable[[int], Sequence[float]], *, largest: float = LARGEST
) -> np.ndarray:
    """(N, width) float64 of N lists of plain numbers; ``read_row`` reads the others by their index.

    ``read_row(i)`` gives row i of what is not plain, or raises DataError that names its place; so it does for
    NaN and for numbers beyond ``largest``, which are read again.
    """
    try:
        rows = np.array(values, np.float64)
    except (ValueError, TypeError, OverflowError):
        rows = np.empty(0)
    if rows.shape != (len(values), width):
        rows = np.full((len(values), width), np.nan)
        for index, value in enumerate(values):
            if isinstance(value, list) and len(value) == width and set(map(type, value)) <= {int, float}:
                try:
                    rows[index] = value
                except OverflowError:
                    continue
    for odd in np.flatnonzero(~(np.abs(rows) <= largest).all(axis=1)).tolist():
        rows[odd] = read_row(odd)
    return rows


def read_plain_row(value: Any, width: int, problem: str, *, largest: float = LARGEST) -> list[float]:
    """The ``width`` finite numbers of a value; DataError with ``problem`` where it has others."""
    try:
        row = to_numbers(value)
    except (ValueError, TypeError, RecursionError):
        raise DataError(problem) from None
    if len(row) != width or not all(abs(number) <= largest for number in row):
        raise DataError(problem)
    return row
