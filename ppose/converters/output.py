"""Writes the result of a converter."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ppose.files import check_writable, write_json


def write_converted(output: Path, convert: Callable[[], dict[str, Any]]) -> None:
    """Write the result of ``convert`` as a JSON file, and print its size; checks first if it can write."""
    check_writable(output)
    content = convert()
    write_json(output, content)
    print(f"{output}: {len(content['images'])} images, {len(content['annotations'])} annotations")
