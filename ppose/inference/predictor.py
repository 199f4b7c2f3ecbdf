"""The `Predictor`: images and boxes in, poses out, with any runtime."""

import dataclasses
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from ppose.errors import ConfigError, DataError
from ppose.geometry import invert_warp
from ppose.inference.detectors import PersonDetector
from ppose.inference.paddle_pose import read_export
from ppose.inference.pipeline import Steps, run_pipeline
from ppose.inference.pose_spec import PoseSpec, mark_lost
from ppose.inference.poses import Pose, Poses
from ppose.inference.runtimes import (
    Device,
    Hint,
    Precision,
    Runtime,
    RuntimeName,
    avoid_saturation,
    open_runtime,
)
from ppose.inference.tuning.opening import open_tuned
from ppose.inference.tuning.settings import default_batch
from ppose.paths import expand_path
from ppose.transforms import read_image

Image = np.ndarray | str | Path
Scene = TypeVar("Scene", bound=tuple[Any, ...])


class Predictor:
    """Finds the keypoints of the people in images; made by `from_dir`, or from a spec and a runtime.

    ``keypoint_set`` names the keypoints, ``runtime_name`` the runtime. ``seconds`` sums the time of
    "preprocess", "network" and "postprocess" over ``people`` so far. ``callers`` is the number of threads
    that keep all cores busy; time in several threads at once counts for each. ``find_people`` detects people
    in images without boxes; without it, such an image is one person.

    Threads may make, share and use predictors at once, with the same poses. Paddle runs one batch at a time
    in a process, since a batch uses all cores anyway.
    """

    def __init__(
        self,
        spec: PoseSpec,
        runtime: Runtime,
        *,
        batch_size: int = 16,
        use_dark: bool | None = None,
        find_people: PersonDetector | None = None,
    ) -> None:
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size!r}, expected a whole number, 1 or more")
        if not isinstance(use_dark, bool | None):
            raise ConfigError(f"use_dark is {use_dark!r}, expected True, False or None")
        codec = spec.codec if use_dark is None else spec.codec.with_dark(use_dark)
        if spec.decode_in_graph and codec != spec.codec:
            raise ConfigError(
                f"use_dark is {use_dark}, but the exported graph decodes in the other way: "
                "export without --decode_in_graph to choose"
            )
        self.spec = dataclasses.replace(spec, codec=codec)
        self.keypoint_set = spec.keypoint_set
        self.batch_size = spec.batch or batch_size
        self._runtime, self._find_people = runtime, find_people
        self.callers = getattr(runtime, "callers", 1)  # optional for other runtimes
        self.runtime_name = runtime.name
        self._counting = threading.Lock()
        self.reset_times()

    @classmethod
    def from_dir(
        cls,
        model_dir: str | Path,
        *,
        hint: Hint = "latency",
        device: Device = "cpu",
        runtime: RuntimeName | Literal["measure"] = "auto",
        precision: Precision | None = None,
        cpu_threads: int | None = None,
        batch_size: int | None = None,
        use_dark: bool | None = None,
        **options: Any,
    ) -> "Predictor":
        """Open a model folder that tools/export_model.py, PaddleDetection or PaddleX wrote.

        ``runtime``, ``device`` (cpu, gpu), ``precision`` (None: fp32), ``cpu_threads`` (None: all cores) and
        ``options`` are those of `open_runtime`, which also raises the errors. ``hint`` "throughput" is for
        many images: it runs as many batches in parallel as there are threads, while it reads other images;
        "latency" gives the lowest latency for one image. A batch has at most ``batch_size`` people, by
        default 16; if batches run in parallel, 8 of 128x96 pixels or 4 of 256x192. A graph exported with a
        fixed batch keeps its own. ``use_dark`` None decodes as the model was evaluated.

        If `ppose tune` has measured this model on this machine, ``runtime`` "auto" uses its choice for the
        hint, unless device, ``precision`` or ``cpu_threads`` are given; "measure" measures first if needed,
        once, for about a minute.

        >>> predictor = ppose.Predictor.from_dir("output_inference/tinypose_256x192")  # doctest: +SKIP
        >>> poses = predictor(image, [[48.0, 20.0, 210.0, 390.0]])  # doctest: +SKIP
        """
        spec, opened, batch = open_folder(
            model_dir,
            runtime,
            hint=hint,
            device=device,
            precision=precision,
            cpu_threads=cpu_threads,
            **options,
        )
        batch_size = batch if batch_size is None else batch_size
        return cls(spec, opened, batch_size=batch_size, use_dark=use_dark)

    def __call__(self, image: Image, bboxes_xyxy: ArrayLike | None = None) -> Poses:
        """The poses of the people in an image (H, W, 3) uint8, RGB, or in an image file.

        ``bboxes_xyxy`` (N, 4) are the people's boxes in image pixels, left, top, right, bottom; None uses the
        detector, or without one takes the image as one person. Files are turned by their EXIF orientation.
        Raises DataError for an image of another form, and for boxes without extent.
        """
        return self.predict_images([image], [bboxes_xyxy])[0]

    def predict_images(
        self, images: Iterable[Image], boxes: Iterable[ArrayLike | None] | None = None
    ) -> list[Poses]:
        """The poses of each of several images; people of different images share batches.

        ``boxes`` are those of each image, as in a call. Raises DataError for a single image, and if the
        numbers of images and of their boxes differ.
        """
        if isinstance(images, str | Path) or getattr(images, "ndim", 4) < 4:
            raise DataError("got one image, expected several: a list of arrays or of files' paths")
        given: tuple[object, ...] = (images, boxes)
        counts = [len(each) for each in given if isinstance(each, Sized)]
        if len(set(counts)) > 1:
            raise DataError(f"got boxes for {counts[1]} images, but {counts[0]} images")
        scenes = zip(images, repeat(None) if boxes is None else boxes, strict=boxes is not None)
        return [poses for _, poses in self.iter_poses(scenes)]

    def iter_poses(
        self, scenes: Iterable[Scene], *, images_at_once: int | None = None
    ) -> Iterator[tuple[Scene, Poses]]:
        """Yield each scene with its poses, in order, as soon as they are done.

        A scene is a tuple of an image, its boxes, both as in a call, and any further items of the caller. At
        most ``images_at_once`` scenes are in progress, see `run_pipeline`.
        """
        steps: Steps[Scene, tuple[Scene, Poses], tuple[Scene, Poses]] = Steps(
            read=lambda scene: (scene[0], scene[1], None),
            arrange=lambda scene: (scene.item, scene.poses),
            finish=lambda done: done,
        )
        return run_pipeline(self, scenes, steps, images_at_once=images_at_once)

    def cut_out(
        self, image: Image, bboxes_xyxy: ArrayLike | None
    ) -> tuple[list[dict[str, Any]], tuple[int, int]]:
        """A sample for each person, as `PoseSpec.cut_out` makes them, and the image's width and height."""
        if isinstance(image, (str, Path)):
            image = read_image(image, use_exif=True)
        if bboxes_xyxy is None and self._find_people is not None:
            bboxes_xyxy = self._find_people(image)
        with self._timing("preprocess"):
            return self.spec.cut_out(image, bboxes_xyxy), (image.shape[1], image.shape[0])

    def find_poses(self, samples: Sequence[dict[str, Any]]) -> list[Pose]:
        """The pose of each sample, run as one batch of at most ``batch_size``."""
        with self._timing("preprocess"):
            batch = self.spec.make_batch(samples)
        keypoints, scores = self.find_keypoints(batch)
        with self._counting:
            self.people += len(samples)
        return [
            Pose(points, of_points, float(of_points.mean()), sample["bbox_xyxy"])
            for sample, points, of_points in zip(samples, keypoints, scores, strict=True)
        ]

    def find_keypoints(self, batch: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Keypoints (N, K, 2) in image pixels and scores (N, K) for a batch of `PoseSpec.make_batch`."""
        if self.spec.decode_in_graph:
            self.spec.check_batch(batch)
            found = self._run_graph(batch["image"], invert_warp(batch["warp"]).astype(np.float32))
            return mark_lost(found[..., :2].astype(np.float64), found[..., 2], self.spec.source)
        heatmaps = self.find_heatmaps(batch)
        with self._timing("postprocess"):
            return self.spec.decode(heatmaps, batch["warp"])

    def find_heatmaps(self, batch: Mapping[str, np.ndarray]) -> np.ndarray:
        """Heatmaps (N, K, H, W) for a batch of `PoseSpec.make_batch`; N is at most a fixed batch.

        Raises ConfigError for a graph that decodes.
        """
        if self.spec.decode_in_graph:
            raise ConfigError("this graph gives keypoints and no heatmaps: export without --decode_in_graph")
        self.spec.check_batch(batch)
        return self._run_graph(batch["image"])

    def reset_times(self) -> None:
        """Reset ``seconds`` and ``people`` to zero."""
        self.seconds = {"preprocess": 0.0, "network": 0.0, "postprocess": 0.0}
        self.people = 0

    def _run_graph(self, *inputs: np.ndarray) -> np.ndarray:
        """The graph's output for inputs (N, ...); N is at most a fixed batch."""
        count = len(inputs[0])
        # With several callers a runtime compiles each new size: pad to one.
        size = self.spec.batch or (self.batch_size if self.callers > 1 else count)
        if size > count:
            rest = [np.zeros((size - count, *given.shape[1:]), given.dtype) for given in inputs]
            inputs = tuple(np.concatenate(pair) for pair in zip(inputs, rest, strict=True))
        with self._timing("network"):
            return self._runtime(*inputs)[:count]

    @contextmanager
    def _timing(self, part: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        elapsed = time.perf_counter() - start
        with self._counting:
            self.seconds[part] += elapsed


def open_folder(
    model_dir: str | Path,
    runtime: RuntimeName | Literal["measure"],
    *,
    hint: Hint = "latency",
    device: Device = "cpu",
    precision: Precision | None = None,
    cpu_threads: int | None = None,
    **options: Any,
) -> tuple[PoseSpec, Runtime, int]:
    """The parts of `Predictor.from_dir`, with the largest batch; ``options`` are those of `open_runtime`."""
    folder = read_export(expand_path(str(model_dir)))
    is_free = device == "cpu" and precision is None and cpu_threads is None and {"batches"} >= {*options}
    if runtime == "measure":
        if not is_free:
            raise ConfigError(
                "runtime is measure, which finds precision and threads for the CPU itself: leave out device, "
                "precision, cpu_threads and runtime options"
            )
        from ppose.inference.tuning.tune import measure_once

        measure_once(folder)
        runtime = "auto"
    if runtime == "auto" and is_free and (tuned := open_tuned(folder, hint, **options)) is not None:
        return tuned
    folder = avoid_saturation(folder, runtime)
    opened = open_runtime(
        folder,
        runtime,
        device=device,
        precision=precision or "fp32",
        cpu_threads=cpu_threads,
        hint=hint,
        **options,
    )
    return folder.spec, opened, default_batch(opened.callers, folder.spec.input_size)
