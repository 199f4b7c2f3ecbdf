"""Splits a dataset into parts for training and evaluation that share no video, person or picture."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("annotations", type=Path, metavar="FILE", help="annotation file in COCO's format")
    parser.add_argument(
        "--output_dir", type=Path, metavar="DIR", help="folder for the PART.json files (default: beside FILE)"
    )
    parser.add_argument(
        "--parts",
        nargs="+",
        type=_part,
        default=[("train", 0.8), ("val", 0.2)],
        metavar="NAME=SHARE",
        help="parts and their shares (default: train=0.8 val=0.2)",
    )
    parser.add_argument(
        "--by",
        default="image",
        metavar="KEY",
        help="keep together: image, folder (a video's frames), or images with the same value of this field, "
        "their own or their annotations', such as video_id, track_id (default: %(default)s)",
    )
    parser.add_argument(
        "--image_dir", type=Path, metavar="DIR", help="folder of the images (default: images/ beside FILE)"
    )
    parser.add_argument(
        "--duplicates",
        choices=["together", "ignore"],
        default="together",
        help="keep near-duplicate pictures together, which reads all images (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: %(default)s)")


def _part(text: str) -> tuple[str, float]:
    name, _, share = text.partition("=")
    try:
        if not name or "/" in name or float(share) <= 0:
            raise ValueError
    except ValueError:
        raise argparse.ArgumentTypeError(f"got '{text}', expected a part such as val=0.2") from None
    return name, float(share)


def main(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Run the command."""
    from ppose.annotations import read_annotations
    from ppose.annotations.guess import guess_keypoint_set
    from ppose.data.splitting import assign_groups, count_strata, group_images, take_images
    from ppose.files import read_json, write_json
    from ppose.image_files import find_image, find_image_folder

    content = read_json(args.annotations, "annotation file")
    where = str(args.annotations)
    annotations = read_annotations(content, guess_keypoint_set(content, where), where=where)
    if (report := annotations.report()) is not None:
        print(report)
    content = _keep_once(content, annotations.images.file_names)
    pairs = []
    if args.duplicates == "together":
        folder = args.image_dir or find_image_folder(args.annotations)
        pairs = _find_pairs([str(find_image(folder, name)) for name in annotations.images.file_names])
        print(f"{len(pairs)} pairs of near-duplicate pictures")
    counts = count_strata(annotations)
    groups = group_images(content, args.by, pairs)
    parts = assign_groups(groups, counts, dict(args.parts), args.seed)
    output = args.output_dir or args.annotations.parent
    print(f"{len(annotations.images)} images in {len(groups)} groups")
    for name, rows in parts.items():
        write_json(output / f"{name}.json", take_images(content, rows))
        print(f"{output / name}.json: {_describe(counts, rows)}")


def _keep_once(content: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """Return the content without images that are listed twice, as `read_annotations` does."""
    if len(names) == len(content["images"]):
        return content
    from ppose.annotations import match_key

    first: dict[Any, Any] = {}
    for image in content["images"]:
        first.setdefault(match_key(image["id"]), image)
    return {**content, "images": list(first.values())}


def _find_pairs(files: list[str]) -> list[tuple[int, int]]:
    from tqdm import tqdm

    from ppose.data.near_duplicates import find_near_duplicates
    from ppose.errors import DataError

    try:
        return find_near_duplicates(tqdm(files, "images", disable=None, leave=False))
    except DataError as error:
        raise DataError(f"{error}; set --image_dir, or read no images with --duplicates ignore") from None


def _describe(counts: "np.ndarray", rows: list[int]) -> str:
    from ppose.data.splitting import SHOWN, SIZES

    images, people, *strata = counts[rows].sum(axis=0).astype(int).tolist()
    shares = [
        f"{name} {100 * n / max(people, 1):.0f} %" for name, n in zip((*SIZES, *SHOWN), strata, strict=True)
    ]
    sizes, shown = ", ".join(shares[: len(SIZES)]), ", ".join(shares[len(SIZES) :])
    return f"{images} images, {people} people ({sizes}; keypoints {shown})"
