"""Which GPUs a command of another pose code uses."""

import argparse
from collections.abc import Sequence

from ppose import options
from ppose.errors import ConfigError

_VISIBLE = "CUDA_VISIBLE_DEVICES="


def choose_gpus(text: str) -> list[int]:
    """Parse the value of their --gpu: 0, 0,1 or 0-3."""
    try:
        return options.read_gpus(text)
    except argparse.ArgumentTypeError as error:
        raise ConfigError(f"--gpu: {error}") from None


def apply_visible(
    gpus: Sequence[int], variables: Sequence[str], *, sees_all: bool
) -> tuple[list[int], list[str]]:
    """The machine's numbers of the GPUs, and the variables without CUDA_VISIBLE_DEVICES.

    Our flags take the machine's numbers. So do those of codes that ``see all`` GPUs and set the variable
    themselves; other codes count within the visible ones.
    """
    rest = [word for word in variables if not word.startswith(_VISIBLE)]
    texts = [word.removeprefix(_VISIBLE) for word in variables if word.startswith(_VISIBLE)]
    if sees_all or not texts:
        return list(gpus), rest
    visible = choose_visible(texts[-1])
    if max(gpus) >= len(visible):
        raise ConfigError(f"{_VISIBLE}{texts[-1]}: has no GPU number {max(gpus)}, counted from 0")
    return [visible[gpu] for gpu in gpus], rest


def choose_visible(text: str) -> list[int]:
    """Parse the value of CUDA_VISIBLE_DEVICES."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise ConfigError(f"{_VISIBLE}{text}: expected GPUs such as 0,1")
    return [int(part) for part in parts]
