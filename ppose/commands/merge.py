"""Merges annotation files: ids are renumbered, categories are matched by name."""

import argparse
from pathlib import Path
from typing import Any


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("annotations", nargs="+", type=Path, metavar="FILE", help="files in COCO's format")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the file to write")
    parser.add_argument(
        "--root",
        type=Path,
        metavar="DIR",
        help="make image names relative to DIR; images/ is looked for beside each FILE (default: images with "
        "the same name are the same image)",
    )


def main(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Run the command."""
    from ppose.annotations.merge import merge_contents
    from ppose.errors import DataError
    from ppose.files import check_writable, read_json, write_json

    check_writable(args.output)
    contents = []
    for file in args.annotations:
        content = read_json(file, "annotation file")
        if not isinstance(content, dict) or not isinstance(content.get("images"), list):
            raise DataError(f"{file}: not a COCO annotation file: it has no list 'images'")
        contents.append((str(file), content if args.root is None else _rename(content, file, args.root)))
    merged, shared = merge_contents(contents)
    write_json(args.output, merged)
    categories = ", ".join(category["name"] for category in merged["categories"])
    counts = (
        f"{len(merged['images'])} images, {len(merged['annotations'])} annotations of {categories or 'none'}"
    )
    print(f"{args.output}: {counts}")
    if shared:
        print(f"  {shared} images were in several files: their annotations were merged")


def _rename(content: dict[str, Any], file: Path, root: Path) -> dict[str, Any]:
    from ppose.errors import DataError
    from ppose.image_files import find_image_folder

    folder = find_image_folder(file).resolve()
    if not folder.is_relative_to(root.resolve()):
        raise DataError(f"{file}: its images are in {folder}, expected a folder in {root}")
    start = folder.relative_to(root.resolve())
    images = [
        {**image, "file_name": (start / str(image["file_name"])).as_posix()}
        if image.get("file_name")
        else image
        for image in content["images"]
        if isinstance(image, dict)
    ]
    return {**content, "images": images}
