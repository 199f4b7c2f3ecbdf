"""Where a converter's result goes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ppose.files import check_writable, write_json


def write_converted(output: Path, convert: Callable[[], dict[str, Any]]) -> None:
    """Write what ``convert`` gives as a JSON file, and say how much it is; fails early where it cannot."""
    check_writable(output)
    content = convert()
    write_json(output, content)
    print(f"{output}: {len(content['images'])} images, {len(content['annotations'])} annotations")
