"""Ids of images, people and categories as files write them: numbers, floats, texts, zero-padded."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from ppose.errors import DataError

Id = int | str

_NUMBER = re.compile(r"\s*([+-]?\d{1,300})(?:\.0*)?\s*", re.ASCII)


def match_key(value: Id) -> Id:
    """The key to compare ids of two files by: texts of digits are numbers, so '000000000036' is 36."""
    if isinstance(value, str):
        number = _NUMBER.fullmatch(value)
        return value if number is None else int(number[1])
    return value


def read_id(value: Any, where: str) -> Id:
    """An id as the file has it, 36.0 as 36; DataError for a value that cannot be an id."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise DataError(f"{where}: the id {value!r} is no whole number and no text")
    return value


def read_ids(values: Sequence[Any], kind: str, where: str) -> list[Id]:
    """The ids of a whole list: all texts, unchanged, or all numbers.

    Raises DataError if a list of numbers has a text that is no number, since no two files would agree on it.
    """
    if set(map(type, values)) <= {int}:
        return list(values)
    for index, value in enumerate(values):
        if not isinstance(value, int | str | float) or isinstance(value, bool):
            raise DataError(f"{where}: {kind} ids are not all numbers, nor all texts: {value!r} at {index}")
    ids = [read_id(value, f"{where}: {kind} {index}") for index, value in enumerate(values)]
    if all(isinstance(value, str) for value in ids):
        return ids
    keys = [match_key(value) for value in ids]
    strange = next((key for key in keys if isinstance(key, str)), None)
    if strange is not None:
        raise DataError(f"{where}: {kind} ids are not all numbers, nor all texts: {strange!r}")
    return keys


def id_array(ids: Sequence[Id]) -> np.ndarray:
    """Ids (N,) as int64, or as objects if they are texts or larger numbers."""
    if all(isinstance(value, int) and abs(value) < 2**62 for value in ids):
        return np.array(ids, np.int64)
    array = np.empty(len(ids), object)
    array[:] = ids
    return array
