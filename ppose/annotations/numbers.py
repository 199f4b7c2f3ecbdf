"""Reads numbers of annotation files into arrays: plain ones all at once, others one by one."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ppose.errors import DataError

LARGEST = 1e9  # in pixels; larger values are no coordinates


def to_numbers(value: Any) -> list[float]:
    """Flatten the numbers of a value: also nested lists, and texts such as "2" or "[1, 2]"; null is NaN.

    Raises ValueError or TypeError for anything else.
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
    """(N, width) float64 of N lists of plain numbers; ``read_row`` reads the other rows.

    ``read_row(i)`` returns row i, or raises DataError that names its place. It is called for rows that are
    not plain, and for rows with NaN or numbers beyond ``largest``.
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
    """The ``width`` finite numbers of a value; DataError with ``problem`` if it has anything else."""
    try:
        row = to_numbers(value)
    except (ValueError, TypeError, RecursionError):
        raise DataError(problem) from None
    if len(row) != width or not all(abs(number) <= largest for number in row):
        raise DataError(problem)
    return row
