"""Makes pictures of made-up people with exact keypoints, in COCO's format: DIR/train and DIR/val."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ppose.commandline import run

# Where the scenes for validation begin, so that no number of training images, nor another seed, meets them.
VAL_FIRST_INDEX = 1_000_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--output", default="dataset/synthetic", metavar="DIR", help="folder to fill (default: %(default)s)"
    )
    parser.add_argument("--images", type=int, default=600, help="for training (default: %(default)s)")
    parser.add_argument("--val_images", type=int, default=150, help="for validation (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same bytes (default: %(default)s)")
    parser.add_argument(
        "--people", type=int, default=3, metavar="MOST", help="in a picture (default: %(default)s)"
    )
    parser.add_argument(
        "--variety", type=float, default=1.0, help="of poses and views, 0 to 1 (default: %(default)s)"
    )
    args = parser.parse_args()

    from ppose.data.synthetic import write_dataset

    parts = (("train", args.images, 0), ("val", args.val_images, VAL_FIRST_INDEX))
    for name, images, first_index in parts:
        folder = Path(args.output) / name
        people = write_dataset(
            folder, images, args.seed, people=(1, args.people), first_index=first_index, variety=args.variety
        )
        print(f"{folder}: {images} images, {people} people (images/, annotations.json)")


if __name__ == "__main__":
    run(main)
