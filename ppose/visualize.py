"""Draws poses and heatmaps on images, and encodes them as picture files."""

from collections.abc import Callable, Iterable, Sequence

import cv2
import numpy as np

from ppose.errors import DataError
from ppose.geometry import get_warp_matrix, transform_points
from ppose.keypoints import KeypointSet

# RGB; left, right and middle of the body.
_LEFT, _RIGHT, _MIDDLE = (255, 128, 0), (0, 160, 255), (0, 220, 90)
_BOX = (235, 235, 235)
_AXES = ((255, 40, 40), (40, 255, 40), (70, 110, 255))


def draw_poses(
    image: np.ndarray,
    keypoints: np.ndarray,
    keypoint_set: KeypointSet,
    *,
    threshold: float = 0.2,
    bboxes_xyxy: Iterable[np.ndarray] | None = None,
) -> np.ndarray:
    """Return a copy of the image (H, W, 3 uint8, RGB) with the skeletons of N people on it.

    ``keypoints`` is (N, K, 3): x, y in image pixels and score; those below ``threshold``, and the limbs at
    them, are skipped. ``bboxes_xyxy`` (N, 4) are drawn too.
    """
    canvas = image.copy()
    colours = _keypoint_colours(keypoint_set)
    reach = 4 * max(image.shape)  # OpenCV accepts up to 2^31; points this far out are not visible
    for box in () if bboxes_xyxy is None else bboxes_xyxy:
        left, top, right, bottom = np.clip(box, -reach, reach).round().astype(int).tolist()
        cv2.rectangle(canvas, (left, top), (right, bottom), _BOX, 1, cv2.LINE_AA)
    for pose in keypoints:
        seen = (pose[:, 2] >= threshold) & np.isfinite(pose).all(axis=1)
        points = np.clip(np.where(seen[:, None], pose[:, :2], 0), -reach, reach).round().astype(int)
        # Line width follows the person's size, so that small people stay recognisable.
        width = max(1, round(np.ptp(points[seen], axis=0).max() / 120)) if seen.any() else 1
        for a, b in keypoint_set.skeleton:
            if seen[a] and seen[b]:
                colour = colours[a] if colours[a] == colours[b] else _MIDDLE
                cv2.line(canvas, points[a].tolist(), points[b].tolist(), colour, width, cv2.LINE_AA)
        for index in np.flatnonzero(seen):
            cv2.circle(canvas, points[index].tolist(), width + 1, colours[index], -1, cv2.LINE_AA)
            cv2.circle(canvas, points[index].tolist(), width + 1, (255, 255, 255), 1, cv2.LINE_AA)
    return canvas


def crop_person(
    image: np.ndarray, bbox_xywh: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """Crop a person's box with a margin to a picture (h, w, 3) of ``size`` (w, h), grey beyond the image.

    Also returns a function that maps image points (N, 2 or more; x and y first) into the picture.
    """
    x, y, width, height = bbox_xywh
    extent = 1.3 * max(width, height * size[0] / size[1], 8)
    scale = np.array([extent, extent * size[1] / size[0]])
    warp = get_warp_matrix([x + width / 2, y + height / 2], scale, 0.0, size)
    crop = cv2.warpAffine(image, warp, size, flags=cv2.INTER_AREA, borderValue=(128, 128, 128))

    def place(points: np.ndarray) -> np.ndarray:
        return np.column_stack([transform_points(points[:, :2], warp), points[:, 2:]])

    return crop, place


def draw_axes(image: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Return a copy of the image (H, W, 3 uint8, RGB) with the axes of N objects: x red, y green, z blue.

    ``axes`` (N, 4, 2) are the pixels of each object's origin and of the ends of its axes.
    """
    canvas = image.copy()
    reach = 4 * max(image.shape)
    width = max(1, round(max(image.shape) / 300))
    for points in np.clip(axes, -reach, reach).round().astype(int):
        origin, *ends = points.tolist()
        for end, colour in zip(ends, _AXES, strict=True):
            cv2.arrowedLine(canvas, origin, end, colour, width, cv2.LINE_AA, tipLength=0.12)
    return canvas


def encode_picture(image: np.ndarray, ending: str, quality: int | None = None) -> bytes:
    """Encode an image (H, W, 3) uint8, RGB, as a picture file with that ending, such as ".png".

    ``quality`` is JPEG quality, 0 to 100. Raises DataError if the image is too large for the format: a JPEG
    has at most 65,500 pixels a side, a WebP 16,383.
    """
    options = [] if quality is None else [cv2.IMWRITE_JPEG_QUALITY, quality]
    try:
        is_done, data = cv2.imencode(ending, image[..., ::-1], options)
    except cv2.error:
        is_done = False
    if not is_done:
        height, width = image.shape[:2]
        raise DataError(f"a picture of {width}x{height} pixels cannot be written as {ending}")
    return data.tobytes()


def draw_heatmaps(
    image: np.ndarray, heatmaps: np.ndarray, stride: Sequence[float] | np.ndarray
) -> np.ndarray:
    """Return the image (h, w, 3 uint8, RGB), darkened, with its heatmaps (K, H, W) over it.

    Shows the maximum over the keypoints: 0 or below shows the image, 1 and above is red.
    ``stride`` is image pixels per heatmap pixel (x, y); the centers of the first pixels coincide.
    """
    highest = np.clip(np.nan_to_num(heatmaps).max(axis=0), 0, 1).astype(np.float32)
    warp = np.array([[stride[0], 0, 0], [0, stride[1], 0]], np.float64)
    values = cv2.warpAffine(highest, warp, (image.shape[1], image.shape[0]), flags=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap((255 * values).round().astype(np.uint8), cv2.COLORMAP_JET)[..., ::-1]
    share = values[..., None]
    return (0.5 * (1 - share) * image + share * colours).round().astype(np.uint8)


def enlarge(image: np.ndarray, factor: int) -> np.ndarray:
    """The image, each side ``factor`` times as long."""
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)


def draw_titles(titles: Sequence[str], width: int) -> np.ndarray:
    """A dark strip (24, width, 3), RGB, with one title above each of several panels of equal width."""
    canvas = np.zeros((24, width, 3), np.uint8)
    for column, title in enumerate(titles):
        write_text(canvas, title, (column * width // len(titles) + 6, 17))
    return canvas


def write_text(canvas: np.ndarray, text: str, place: tuple[int, int], size: float = 0.5) -> None:
    """Write a text in white on the canvas (H, W, 3), its baseline starting at ``place`` (x, y)."""
    shown = text.encode("ascii", "replace").decode()
    cv2.putText(canvas, shown, place, cv2.FONT_HERSHEY_SIMPLEX, size, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(canvas, shown, place, cv2.FONT_HERSHEY_SIMPLEX, size, (255, 255, 255), 1, cv2.LINE_AA)


def _keypoint_colours(keypoint_set: KeypointSet) -> list[tuple[int, int, int]]:
    colours = [_MIDDLE] * keypoint_set.num_keypoints
    for a, b in keypoint_set.flip_pairs:
        left = a if keypoint_set.names[a].lower().startswith("left") else b
        colours[left], colours[a + b - left] = _LEFT, _RIGHT
    return colours
