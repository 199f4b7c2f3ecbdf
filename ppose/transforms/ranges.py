"""Checks the numbers that a config gives to random transforms."""

from collections.abc import Sequence

from ppose.errors import ConfigError


def check_probability(name: str, value: float) -> None:
    """Raise ConfigError unless the value is from 0 to 1; ``name`` is the config key."""
    if not 0 <= value <= 1:
        raise ConfigError(f"{name}: got {value}, expected a probability from 0 to 1")


def check_range(name: str, pair: Sequence[float], low: float, high: float) -> None:
    """Raise ConfigError unless the pair is [smallest, largest] within low to high, both included."""
    if len(pair) != 2 or not low <= pair[0] <= pair[1] <= high:
        raise ConfigError(f"{name}: got {list(pair)}, expected [smallest, largest] from {low:g} to {high:g}")
