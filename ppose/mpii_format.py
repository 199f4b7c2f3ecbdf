"""MPII's annotations: the release's own `.mat`, the JSON of the official HRNet, and head boxes for PCKh.

The release's coordinates count from 1: the center of the top-left pixel is (1, 1).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ppose.errors import DataError
from ppose.files import read_json

NUM_KEYPOINTS = 16
# A person of scale s is 200 s pixels high; the official HRNet code moves the box down and enlarges it.
PIXELS, _DOWN, _PADDING = 200.0, 15.0, 1.25
_TRUTH_FILES = ("gt_valid.mat", "mpii_gt_val.mat")  # of the official HRNet and of PaddleDetection


@dataclass(frozen=True, eq=False)
class MpiiPerson:
    """A person as annotated: ``keypoints`` (16, 3): x and y, counted from 1, and 1 if labelled, else 0.

    ``center`` (2,), ``scale`` and ``head_box`` (2, 2), its corners, are None if the file has none.
    """

    keypoints: np.ndarray
    center: np.ndarray | None
    scale: float | None
    head_box: np.ndarray | None


@dataclass(frozen=True, eq=False)
class MpiiImage:
    """An image of the release: its place in the list, its file, and all people, labelled or not."""

    index: int
    file_name: str
    is_train: bool
    people: Sequence[MpiiPerson]


@dataclass(frozen=True, eq=False)
class MpiiPeople:
    """N people with boxes: image_files (N,), image_ids (N,), centers (N, 2) and scales (N,) in pixels from 0.

    keypoints (N, 16, 2) and head_boxes (N, 2, 2), None where unknown, count from 1; visible (N, 16) is bool.
    ``where`` is the file.
    """

    where: str
    image_files: list[str]
    image_ids: np.ndarray
    centers: np.ndarray
    scales: np.ndarray
    keypoints: np.ndarray
    visible: np.ndarray
    head_boxes: np.ndarray | None

    def with_images(self, ids: np.ndarray) -> "MpiiPeople":
        """Return everybody: PCKh counts only the people who have predictions, in any image."""
        return self


def read_people(path: str | Path) -> MpiiPeople:
    """The people of HRNet's JSON, or those with keypoints in the training images of the release's `.mat`.

    Boxes are the official code's: the center y + 15 scale, then both - 1, and a square of 1.25 * 200 scale.
    Raises DataError that names the file and the wrong entry.
    """
    names, ids, people = zip(*read_raw_people(path), strict=True)
    scales = np.array([person.scale for person in people], np.float64)
    centers = np.array([person.center for person in people], np.float64)
    is_placed = centers[:, 0] != -1
    centers[is_placed, 1] += _DOWN * scales[is_placed]
    scales = np.where(is_placed, _PADDING, 1.0) * scales * PIXELS
    points = np.stack([person.keypoints for person in people])
    head_boxes = [person.head_box for person in people]
    return MpiiPeople(
        where=str(path),
        image_files=list(names),
        image_ids=np.array(ids),
        centers=centers - 1,
        scales=scales,
        keypoints=points[..., :2],
        visible=points[..., 2] > 0,
        head_boxes=None if any(box is None for box in head_boxes) else np.stack(head_boxes),
    )


def read_raw_people(path: str | Path) -> list[tuple[str, int, MpiiPerson]]:
    """Image file, image id and annotations of the people that `read_people` reads; at least one person."""
    path = Path(path)
    found = _read_release_people(path) if path.suffix.lower() == ".mat" else _read_json_people(path)
    if not found:
        raise DataError(f"{path}: no usable person: nobody has keypoints, a center and a scale")
    return found


def read_truth(file: str | Path, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read the ground truth of ``count`` people from a `.mat` file of MPII's evaluation (`gt_valid.mat`).

    Returns keypoints (N, 16, 2), from 1, visible (N, 16) bool and head boxes (N, 2, 2). Raises DataError.
    """
    content = load_mat(file)
    shapes = {"pos_gt_src": (NUM_KEYPOINTS, 2), "jnt_missing": (NUM_KEYPOINTS,), "headboxes_src": (2, 2)}
    arrays = {}
    for name, shape in shapes.items():
        try:
            array = np.asarray(content.get(name, ()), np.float64)
        except (ValueError, TypeError):
            array = np.empty(0)
        # For a single person MATLAB drops the last axis.
        arrays[name] = array[..., None] if array.shape == shape else array
        if arrays[name].shape[:-1] != shape:
            raise DataError(f"{file}: has no {name} with {' x '.join(map(str, shape))} numbers per person")
        if arrays[name].shape[-1] != count:
            raise DataError(f"{file} has {arrays[name].shape[-1]} people, the annotations have {count}")
    keypoints, missing, head_boxes = (np.moveaxis(array, -1, 0) for array in arrays.values())
    return keypoints, missing == 0, head_boxes


def find_truth_file(annotations: str | Path) -> Path:
    """Find the `.mat` file of MPII's evaluation beside an annotation file; DataError if there is none."""
    for name in _TRUTH_FILES:
        if (file := Path(annotations).parent / name).is_file():
            return file
    raise DataError(
        f"{annotations} has no head boxes, which PCKh needs, and neither "
        f"{' nor '.join(_TRUTH_FILES)} is beside it: set KeyPointTopDownMPIIEval.truth_file"
    )


def _read_json_people(path: Path) -> list[tuple[str, int, MpiiPerson]]:
    content = read_json(path, "annotation file")
    if not isinstance(content, list):
        raise DataError(
            f"{path}: expected MPII's JSON, a list of {{image, center, scale, joints, joints_vis}}"
        )
    indexes: dict[str, int] = {}
    found = []
    for number, entry in enumerate(content):
        where = f"{path}: [{number}]"
        if not isinstance(entry, Mapping):
            raise DataError(f"{where}: got {entry!r}, expected an object in braces")
        # PaddleDetection's files name two of the keys differently.
        named = {"joints": entry.get("gt_joints"), "joints_vis": None, **entry}
        missing = [
            key for key in ("image", "center", "scale", "joints", "joints_vis") if named.get(key) is None
        ]
        if missing:
            raise DataError(f"{where}: has no {', '.join(missing)}")
        name = str(entry["image"])
        indexes.setdefault(name, len(indexes))
        stem = Path(name).stem
        image_id = entry.get("image_id", int(stem) if stem.isdecimal() else indexes[name])
        if not isinstance(image_id, int):
            raise DataError(f"{where}: the image_id {image_id!r} is no whole number")
        found.append((name, image_id, _make_person(named, where)))
    return found


def _make_person(entry: Mapping[str, Any], where: str) -> MpiiPerson:
    try:
        points = np.array(entry["joints"], np.float64)
        visible = np.array(entry["joints_vis"], np.float64)
        center, scale = np.array(entry["center"], np.float64), float(entry["scale"])
    except (ValueError, TypeError):
        raise DataError(f"{where}: expected joints [x, y], joints_vis, a center [x, y] and a scale") from None
    counts = [len(np.atleast_1d(array)) for array in (points, visible)]
    if counts != [NUM_KEYPOINTS] * 2:
        raise DataError(f"{where} has {counts[0]} joints and {counts[1]} joints_vis, MPII has 16")
    is_right = points.shape[1:] in ((2,), (3,)) and visible.ndim == 1 and center.shape == (2,)
    if not is_right or not np.isfinite([*points[visible > 0].ravel(), *center, scale]).all() or scale <= 0:
        raise DataError(f"{where}: expected joints [x, y], joints_vis, a center [x, y] and a scale above 0")
    return MpiiPerson(np.column_stack([points[:, :2], visible > 0]), center, scale, None)


def _read_release_people(path: Path) -> list[tuple[str, int, MpiiPerson]]:
    return [
        (image.file_name, image.index, person)
        for image in read_release(path)
        if image.is_train
        for person in image.people
        if person.keypoints[:, 2].any() and person.center is not None and person.scale is not None
    ]


def read_release(path: str | Path) -> Iterator[MpiiImage]:
    """Yield the annotated images of `mpii_human_pose_v1_u12_1.mat`; DataError for another file."""
    release: Any = load_mat(path).get("RELEASE")
    if not (hasattr(release, "annolist") and hasattr(release, "img_train")):
        raise DataError(f"{path} is not MPII's release: it has no RELEASE with annolist and img_train")
    entries, is_train = np.atleast_1d(release.annolist), np.atleast_1d(release.img_train)
    if len(entries) != len(is_train):
        raise DataError(f"{path}: annolist has {len(entries)} images, img_train {len(is_train)}")
    for index, entry in enumerate(entries):
        try:
            people = [_read_person(rect) for rect in _listed(getattr(entry, "annorect", ()))]
            if people:
                yield MpiiImage(index, str(entry.image.name), bool(is_train[index]), people)
        except (AttributeError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise DataError(f"{path}: image {index} is not as in MPII's release: {reason}") from None


def _read_person(rect: Any) -> MpiiPerson:
    keypoints = np.zeros((NUM_KEYPOINTS, 3))
    for point in _listed(getattr(getattr(rect, "annopoints", None), "point", ())):
        if point.id not in range(NUM_KEYPOINTS):
            raise ValueError(f"a keypoint has the id {point.id:g}, expected 0 to 15")
        keypoints[int(point.id)] = point.x, point.y, 1
    position: Any = getattr(rect, "objpos", None)
    scale: Any = getattr(rect, "scale", ())
    corners = [getattr(rect, name, ()) for name in ("x1", "y1", "x2", "y2")]
    return MpiiPerson(
        keypoints,
        np.array([position.x, position.y], np.float64) if hasattr(position, "x") else None,
        float(scale) if np.size(scale) == 1 and float(scale) > 0 else None,
        np.reshape(corners, (2, 2)).astype(np.float64) if all(np.size(c) == 1 for c in corners) else None,
    )


def _listed(value: Any) -> list[Any]:
    """MATLAB's structs as a list; MATLAB writes a single one without a list, and none as an empty array."""
    return [item for item in np.atleast_1d(np.asarray(value, object)).ravel() if hasattr(item, "_fieldnames")]


def load_mat(path: str | Path) -> dict[str, Any]:
    """The variables of a MATLAB file; DataError for another file, or version 7.3."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        return loadmat(str(path), struct_as_record=False, squeeze_me=True)
    except FileNotFoundError:
        raise DataError(f"annotation file not found: {path}") from None
    except (ValueError, TypeError, MatReadError, NotImplementedError, EOFError, OSError) as error:
        raise DataError(
            f"{path}: not a MATLAB file that can be read: {' '.join(str(error).split())}"
        ) from None
