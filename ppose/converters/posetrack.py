"""Converts PoseTrack18's videos to one COCO file, as `posetrack2coco.py` of TF-SimpleHumanPose does."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ppose.converters.fields import are_numbers
from ppose.converters.images import find_image
from ppose.errors import DataError
from ppose.files import read_json
from ppose.keypoints import get_keypoint_set
from ppose.transforms import read_image_size

_KEYPOINTS = 3 * get_keypoint_set("posetrack18").num_keypoints


def convert_posetrack(source: Path, image_dir: Path | None) -> dict[str, Any]:
    """The content of a COCO file, from a video's `.json`, or from all in a folder, sorted by name.

    Image names are relative to the data's root, such as `images/val/...`; the root is ``image_dir``, or
    searched from the file upwards. Sizes are read from the images; people get num_keypoints, area and
    iscrowd, and an empty box if they have no keypoint. Raises DataError that names the file and the wrong
    entry.
    """
    files = sorted(source.glob("*.json")) if source.is_dir() else [source]
    if not files:
        raise DataError(f"{source} has no .json files: expected PoseTrack18's, one per video")
    files_of: dict[int, Path] = {}
    joined: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
    for file in files:
        content = read_json(file, "PoseTrack annotation file")
        if not isinstance(content, Mapping) or not isinstance(content.get("images"), list):
            raise DataError(f"{file}: not PoseTrack18's: it has no list 'images'")
        people = content.get("annotations") or []
        if not isinstance(people, list):
            raise DataError(f"{file}: not PoseTrack18's: its 'annotations' are no list")
        roots = [image_dir] if image_dir is not None else list(file.resolve().parents)
        images = [_measure(image, file, roots) for image in content["images"]]
        people = [_complete(person, file) for person in people]
        _check_ids(images, people, files_of, file)
        joined["images"] += images
        joined["annotations"] += people
        categories = content.get("categories") or joined["categories"]
        if not isinstance(categories, list):
            raise DataError(f"{file}: not PoseTrack18's: its 'categories' are no list")
        joined["categories"] = categories
    return joined


def _check_ids(
    images: list[dict[str, Any]], people: list[dict[str, Any]], files_of: dict[int, Path], file: Path
) -> None:
    """Raise DataError for ids of two images, and people without image; ``files_of`` collects the ids."""
    own = {image["id"] for image in images}
    for image in images:
        if image["id"] in files_of:
            other = files_of[image["id"]]
            raise DataError(f"{file}: {image['file_name']} has the id {image['id']} of an image of {other}")
        files_of[image["id"]] = file
    for person in people:
        if not isinstance(person.get("image_id"), int) or person["image_id"] not in own:
            raise DataError(f"{file}: annotation {person.get('id')}: no image of the file has its image_id")


def _measure(image: Any, file: Path, roots: list[Path]) -> dict[str, Any]:
    if not isinstance(image, Mapping) or not isinstance(image.get("file_name"), str):
        raise DataError(f"{file}: an image has no file_name: {image!r:.80}")
    if not isinstance(image.get("id"), int):
        raise DataError(f"{file}: {image['file_name']} has no id that is a whole number")
    width, height = read_image_size(find_image(image["file_name"], roots), use_exif=False)
    return {**image, "width": width, "height": height, "coco_url": "invalid"}


def _complete(person: Any, file: Path) -> dict[str, Any]:
    if not isinstance(person, Mapping):
        raise DataError(f"{file}: got the annotation {person!r:.80}, expected an object in braces")
    if "keypoints" not in person:  # as in the test videos
        return dict(person)
    where = f"{file}: annotation {person.get('id')}"
    if not are_numbers(person["keypoints"], _KEYPOINTS):
        raise DataError(f"{where}: keypoints are not {_KEYPOINTS} numbers: x, y and visibility of 17")
    labelled = sum(person["keypoints"][2::3])
    box: Any = person.get("bbox") if labelled else [0, 0, 0, 0]
    if not are_numbers(box, 4):
        raise DataError(f"{where}: has no bbox [x, y, width, height]")
    return {**person, "bbox": box, "num_keypoints": labelled, "iscrowd": 0, "area": box[2] * box[3]}
