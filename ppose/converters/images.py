"""Where the images of an annotation file are."""

from collections.abc import Iterable
from pathlib import Path

from ppose.errors import DataError


def find_image(name: str, folders: Iterable[Path]) -> Path:
    """The image of that name in the first of the folders that has it; DataError where none has."""
    folders = list(dict.fromkeys(folders))
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    looked = ", ".join(map(str, folders))
    raise DataError(f"images not found: no {name} in {looked}; --image_dir DIR says where they are")
