"""Checks fields of annotation files."""

from typing import Any, TypeGuard

from ppose.annotations.numbers import LARGEST


def are_numbers(value: Any, count: int) -> TypeGuard[list[float]]:
    """Whether a value is a list of ``count`` numbers, none of them NaN or too large for pixels."""
    return (
        isinstance(value, list)
        and len(value) == count
        and all(isinstance(number, int | float) and abs(number) <= LARGEST for number in value)
    )
