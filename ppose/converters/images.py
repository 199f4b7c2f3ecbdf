"""Finds the images of an annotation file."""

from collections.abc import Iterable
from pathlib import Path

from ppose.errors import DataError


def find_image(name: str, folders: Iterable[Path]) -> Path:
    """The image of that name in the first folder that has it; DataError if none has it."""
    folders = list(dict.fromkeys(folders))
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    looked = ", ".join(map(str, folders))
    raise DataError(f"images not found: no {name} in {looked}; give their folder with --image_dir DIR")
