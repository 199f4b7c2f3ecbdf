"""The table of formats: what each can hold, and how to detect a file's format."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ppose.annotations.reader import has_keypoints
from ppose.errors import ConfigError, DataError
from ppose.files import read_json
from ppose.formats.challenges import read_aic, read_mpii, write_aic, write_mpii
from ppose.formats.coco import read_coco, write_coco, write_crowdpose, write_posetrack
from ppose.formats.cvat import read_cvat, write_cvat
from ppose.formats.deeplabcut import read_deeplabcut, write_deeplabcut
from ppose.formats.label_studio import read_label_studio, write_label_studio
from ppose.formats.labelme import read_labelme, write_labelme
from ppose.formats.labels import LOSSES, Labels, make_labels
from ppose.formats.openpose import read_openpose, write_openpose
from ppose.formats.sleap import read_sleap, write_sleap
from ppose.formats.yolo import read_yolo, write_yolo
from ppose.keypoints import KeypointSet
from ppose.paths import show_name


@dataclass(frozen=True)
class Format:
    """A format's reader, which returns COCO's content, and its writer; ``holds`` are keys of `LOSSES`."""

    read: Callable[[Path, KeypointSet | None, Path | None], dict[str, Any]]
    write: Callable[[Path, Labels], None]
    holds: frozenset[str]


_ALL = frozenset(LOSSES)
_YOLO = frozenset({"boxes", "hidden", "unlabelled", "categories", "names", "empty"})
_DRAWN = _YOLO | {"outside"}

FORMATS: Mapping[str, Format] = {
    "coco": Format(read_coco, write_coco, _ALL),
    "crowdpose": Format(read_coco, write_crowdpose, _ALL),
    "posetrack": Format(read_coco, write_posetrack, _ALL),
    "yolo": Format(read_yolo, write_yolo, _YOLO),
    "labelme": Format(read_labelme, write_labelme, _DRAWN),
    "cvat": Format(read_cvat, write_cvat, _DRAWN),
    "labelstudio": Format(read_label_studio, write_label_studio, _DRAWN),
    "deeplabcut": Format(
        read_deeplabcut, write_deeplabcut, frozenset({"outside", "tracks", "names", "empty"})
    ),
    "sleap": Format(
        read_sleap, write_sleap, frozenset({"outside", "hidden", "tracks", "names", "empty", "unlabelled"})
    ),
    "mpii": Format(read_mpii, write_mpii, frozenset({"outside", "names", "unlabelled"})),
    "aic": Format(
        read_aic, write_aic, frozenset({"outside", "boxes", "hidden", "names", "empty", "unlabelled"})
    ),
    "openpose": Format(
        read_openpose, write_openpose, frozenset({"outside", "tracks", "empty", "unlabelled"})
    ),
}
_OF_COCO = ("coco", "crowdpose", "posetrack")
_ENDINGS = {
    ".xml": "cvat", ".yaml": "yolo", ".yml": "yolo", ".csv": "deeplabcut", ".h5": "deeplabcut",
    ".slp": "sleap", ".mat": "mpii",
}  # fmt: skip


def find_format(path: Path) -> str:
    """The format of a file or folder, by its ending and content; DataError if unclear."""
    return _look_at(path)[0]


def _look_at(path: Path) -> tuple[str, Any]:
    """The format, and, if detecting it read a file in COCO's format, its content."""
    if path.suffix.lower() in _ENDINGS:
        return _ENDINGS[path.suffix.lower()], None
    if path.is_dir():
        files = [] if (path / "data.yaml").is_file() else sorted(path.rglob("*.json"))
        if not files and next(path.rglob("*.txt"), None) is not None:
            return "yolo", None
        if not files:
            raise DataError(
                f"{show_name(path)}: found no labels of a known format; give it with --from FORMAT"
            )
        return find_format(files[0]), None
    if path.suffix.lower() == ".json":
        content = read_json(path, "label file")
        found = _find_in_json(content)
        if found is not None:
            return found, content if found == "coco" else None
    elif not path.exists():
        raise DataError(f"label file not found: {show_name(path)}")
    raise DataError(f"{show_name(path)}: cannot detect its format; give it with --from FORMAT")


def _find_in_json(content: Any) -> str | None:
    if isinstance(content, Mapping):
        keys = {"images": "coco", "shapes": "labelme", "people": "openpose"}
        return next((name for key, name in keys.items() if key in content), None)
    first = content[0] if isinstance(content, list) and content else None
    if not isinstance(first, Mapping):
        return None
    keys = {"keypoint_annotations": "aic", "joints": "mpii", "gt_joints": "mpii", "data": "labelstudio"}
    return next((name for key, name in keys.items() if key in first), None)


def read_labels(
    path: Path,
    name: str | None = None,
    keypoint_set: KeypointSet | None = None,
    *,
    image_dir: Path | None = None,
    categories: Sequence[int | str] | None = None,
) -> Labels:
    """The labels of a file or folder in the format of that name (default: detected).

    ``keypoint_set`` sets the keypoints and their order (default: the file's own). Raises DataError.
    """
    content = None
    if name is None:
        name, content = _look_at(path)
    if name not in FORMATS:
        raise ConfigError(f"unknown format '{name}', expected one of {', '.join(FORMATS)}")
    if content is None:
        content = FORMATS[name].read(path, keypoint_set, image_dir)
    notes = list(content.get("notes", [])) if name not in _OF_COCO else []
    if name not in _OF_COCO and not any(map(has_keypoints, content["annotations"])):
        raise DataError(f"{show_name(path)}: nobody in it has keypoints ({', '.join([name, *notes])})")
    labels = make_labels(content, str(path), keypoint_set, image_dir=image_dir, categories=categories)
    if shapes := sum(bool(entry.get("segmentation")) for entry in content.get("annotations") or []):
        notes.append(f"the segmentations of {shapes} are dropped")
    notes = [*labels.annotations.notes, *notes]
    return replace(labels, annotations=replace(labels.annotations, notes=notes))
