"""Images and boxes in, poses out: an exported model with its preprocessing and decoding."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ppose.errors import ConfigError, DataError
from ppose.geometry import bbox_xywh_to_center_scale, invert_warp, transform_points
from ppose.inference.model_folder import ModelFolder, read_model_folder
from ppose.inference.runtimes import Runtime, avoid_saturation, open_runtime
from ppose.workspace import create


@dataclass(frozen=True, eq=False)
class Pose:
    """A person: keypoints (K, 2) in image pixels, their scores (K,), the mean of these, bbox_xyxy (4,)."""

    keypoints: np.ndarray
    scores: np.ndarray
    score: float
    bbox_xyxy: np.ndarray


class Predictor:
    """Finds the keypoints of the people in images; made by `from_dir`.

    ``keypoint_set`` names the keypoints, ``runtime_name`` is what executes the graph. ``seconds`` adds up
    where time goes: "preprocess", "network" and "postprocess", over ``people`` so far.
    """

    def __init__(
        self, folder: ModelFolder, runtime: Runtime, *, batch_size: int = 16, use_dark: bool | None = None
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}, expected 1 or more")
        self.keypoint_set = folder.keypoint_set
        self.batch_size = folder.batch or batch_size
        self._folder, self._runtime = folder, runtime
        self.runtime_name = runtime.name
        self._codec = folder.codec if use_dark is None else folder.codec.with_dark(use_dark)
        self._aspect_ratio = folder.input_size[0] / folder.input_size[1]
        given = {"keypoint_set": folder.keypoint_set, "trainsize": folder.input_size}
        self._of_sample = [create(spec, {}, **given) for spec in folder.sample_transforms]
        self._of_batch = [create(spec, {}, **given) for spec in folder.batch_transforms]
        self.reset_times()

    @classmethod
    def from_dir(
        cls,
        model_dir: str | Path,
        *,
        device: str = "cpu",
        runtime: str = "auto",
        precision: str = "fp32",
        cpu_threads: int | None = None,
        batch_size: int = 16,
        use_dark: bool | None = None,
        **options: Any,
    ) -> "Predictor":
        """The predictor of a folder that tools/export_model.py has written.

        ``runtime``, ``device`` (cpu, gpu), ``precision``, ``cpu_threads`` (None: all cores) and ``options``
        are those of `open_runtime`, and so are the errors. ``batch_size`` people at most are run at once; a
        graph exported with a fixed batch keeps its own. ``use_dark`` None decodes as the model was evaluated.

        >>> predictor = ppose.Predictor.from_dir("output_inference/tinypose_256x192")  # doctest: +SKIP
        >>> poses = predictor(image, [[48.0, 20.0, 210.0, 390.0]])  # doctest: +SKIP
        """
        folder = avoid_saturation(read_model_folder(model_dir), runtime)
        opened = open_runtime(
            folder, runtime, device=device, precision=precision, cpu_threads=cpu_threads, **options
        )
        return cls(folder, opened, batch_size=batch_size, use_dark=use_dark)

    def __call__(self, image: np.ndarray, bboxes_xyxy: ArrayLike | None = None) -> list[Pose]:
        """The poses of the people in an image (H, W, 3) uint8, RGB.

        ``bboxes_xyxy`` (N, 4) are the people's boxes in image pixels, left, top, right, bottom; None takes
        the image as one person. Raises DataError for another image, and for boxes without extent.
        """
        return self.predict_images([image], [bboxes_xyxy])[0]

    def predict_images(
        self, images: Iterable[np.ndarray], boxes: Iterable[ArrayLike | None] | None = None
    ) -> list[list[Pose]]:
        """The poses of each of several images, as of one; people of different images share batches."""
        pairs = zip(images, repeat(None) if boxes is None else boxes, strict=boxes is not None)
        return list(self.iter_poses(pairs))

    def iter_poses(
        self, images_and_boxes: Iterable[tuple[np.ndarray, ArrayLike | None]]
    ) -> Iterator[list[Pose]]:
        """`predict_images` for pairs of image and boxes; each as soon as it is done, and keeps no image."""
        waiting: deque[tuple[list[Pose], int]] = deque()  # poses of an image, and how many there will be
        batch: list[tuple[dict[str, Any], list[Pose]]] = []
        for image, of_image in images_and_boxes:
            poses: list[Pose] = []
            samples = self._timed("preprocess", lambda i=image, b=of_image: self._cut_out(i, b))
            waiting.append((poses, len(samples)))
            for sample in samples:
                batch.append((sample, poses))
                if len(batch) == self.batch_size:
                    self._run(batch)
                    batch = []
            while waiting and len(waiting[0][0]) == waiting[0][1]:
                yield waiting.popleft()[0]
        if batch:
            self._run(batch)
        yield from (poses for poses, _ in waiting)

    def reset_times(self) -> None:
        """Begin to add up ``seconds`` and ``people`` anew."""
        self.seconds = {"preprocess": 0.0, "network": 0.0, "postprocess": 0.0}
        self.people = 0

    def _cut_out(self, image: np.ndarray, bboxes_xyxy: ArrayLike | None) -> list[dict[str, Any]]:
        """A sample for each person, after the sample transforms."""
        _check_image(image)
        height, width = image.shape[:2]
        if bboxes_xyxy is None:
            people: list[dict[str, Any]] = [{"bbox_xyxy": np.array([0.0, 0.0, width, height])}]
        else:
            boxes = _check_boxes(bboxes_xyxy)
            center, scale = bbox_xywh_to_center_scale(_to_xywh(boxes), self._aspect_ratio)
            people = [
                {"bbox_xyxy": b, "center": c, "scale": s}
                for b, c, s in zip(boxes, center, scale, strict=True)
            ]
        return [_apply(self._of_sample, {**person, "image": image}) for person in people]

    def _run(self, batch: Sequence[tuple[dict[str, Any], list[Pose]]]) -> None:
        """Add the pose of each sample to the list beside it."""
        samples = [sample for sample, _ in batch]
        image = self._timed("preprocess", lambda: self._stack(samples))
        heatmaps = self._timed("network", lambda: self._runtime(image))[: len(batch)]
        warps = np.stack([sample["warp"] for sample in samples])
        keypoints, scores = self._timed("postprocess", lambda: self._decode(heatmaps, warps))
        for (sample, poses), points, of_points in zip(batch, keypoints, scores, strict=True):
            poses.append(Pose(points, of_points, float(of_points.mean()), sample["bbox_xyxy"]))
        self.people += len(batch)

    def _stack(self, samples: Sequence[dict[str, Any]]) -> np.ndarray:
        images = [sample["image"] for sample in samples]
        missing = (self._folder.batch or len(images)) - len(images)
        images += [np.zeros_like(images[0])] * missing
        image = _apply(self._of_batch, {"image": np.stack(images)})["image"]
        self._folder.check_image(image)
        return image

    def _decode(self, heatmaps: np.ndarray, warps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        keypoints, scores = self._codec.decode(heatmaps)
        return transform_points(keypoints, invert_warp(warps)), scores

    def _timed(self, part: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = work()
        self.seconds[part] += time.perf_counter() - start
        return result


def _apply(transforms: Iterable[Callable], sample: dict[str, Any]) -> dict[str, Any]:
    for transform in transforms:
        sample = transform(sample)
    return sample


def _check_image(image: Any) -> None:
    is_image = isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[2] == 3 and image.size > 0
    if not is_image or image.dtype != np.uint8:
        got = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise DataError(f"got an image of {got}, expected uint8 (height, width, 3), RGB")


def _check_boxes(bboxes_xyxy: ArrayLike) -> np.ndarray:
    boxes = np.asarray(bboxes_xyxy, np.float64)
    if boxes.size == 0:
        return boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise DataError(
            f"got boxes of shape {boxes.shape}, expected (N, 4): left, top, right, bottom of each"
        )
    return boxes


def _to_xywh(bboxes_xyxy: np.ndarray) -> np.ndarray:
    return np.concatenate([bboxes_xyxy[:, :2], bboxes_xyxy[:, 2:] - bboxes_xyxy[:, :2]], axis=1)
