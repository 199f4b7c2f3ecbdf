"""What deploy/infer.py does with its arguments."""

import argparse
import logging
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ppose.errors import DataError
from ppose.files import check_writable
from ppose.image_files import list_images, read_boxes
from ppose.inference.detectors import PersonDetector
from ppose.inference.predictor import Predictor
from ppose.inference.runtimes import import_runtime
from ppose.inference.tracking import Tracker
from ppose.inference.video import process_video, to_arrays
from ppose.inference.video_files import Frames
from ppose.pose_files import check_output, writing_poses
from ppose.transforms import read_image

_logger = logging.getLogger(__name__)

_FRAMES_AT_ONCE = 8  # of a video; more gain nothing and need memory


def infer_images(args: argparse.Namespace) -> None:
    """A picture of each image with its people's poses, and with --save_json keypoints.json of all.

    Each is written as soon as it is done. An image that cannot be read is told of and left out, and is an
    error in the end.
    """
    files = [args.image_file] if args.image_dir is None else list_images(args.image_dir)
    check_output(args.output_dir, files)
    given = None if args.boxes is None else read_boxes(args.boxes, files)
    predictor, find_people = _open_predictor(args), _open_detector(args)
    if args.run_benchmark:
        _warm_up(predictor)
    scenes = _Scenes(files, given, find_people)
    settings = {"threshold": args.threshold, "save_json": args.save_json}
    people = 0
    with writing_poses(args.output_dir, predictor.keypoint_set, **settings) as write:
        every = tqdm(predictor.iter_poses(scenes), "images", len(files), False, unit="image", disable=None)
        for poses in every:
            keypoints, boxes = to_arrays(poses, predictor.keypoint_set.num_keypoints)
            write(scenes.read.popleft(), keypoints, None if given is None and find_people is None else boxes)
            people += len(poses)
    print(f"{people} people in {len(files) - len(scenes.problems)} images: {args.output_dir}")
    _report(args, predictor)
    if scenes.problems:
        raise DataError(f"{len(scenes.problems)} of {len(files)} images were left out: {scenes.problems[0]}")


def infer_video(args: argparse.Namespace) -> None:
    """A video with its people's poses, of a video file or of a camera until Ctrl-C."""
    is_camera = args.video_file is None
    source = args.camera_id if is_camera else args.video_file
    output = args.output_dir / (f"camera{source}.mp4" if is_camera else f"{source.stem}.mp4")
    if not is_camera and output.resolve() == source.resolve():
        raise DataError(f"{output} is the video itself: choose another --output_dir")
    check_writable(output)
    frames = Frames(source)
    predictor, find_people = _open_predictor(args), _open_detector(args)
    if args.run_benchmark:
        _warm_up(predictor)
    tracker = Tracker(predictor.keypoint_set.sigmas, similarity=args.tracking, smooth=args.smooth)
    count = process_video(
        frames,
        predictor,
        find_people,
        tracker,
        output,
        threshold=args.threshold,
        save_json=args.save_json,
        frames_at_once=1 if is_camera else _FRAMES_AT_ONCE,
    )
    print(f"{count} frames: {output}")
    _report(args, predictor)


def _open_predictor(args: argparse.Namespace) -> Predictor:
    runtime, precision, options = args.runtime or "auto", args.precision or "fp32", {}
    if args.run_mode != "paddle":
        runtime, precision = "paddle", args.run_mode.removeprefix("trt_")
        options["tensorrt_batch"] = args.batch_size
    elif not args.enable_mkldnn:  # which says something about Paddle only
        runtime = "paddle" if runtime == "auto" else runtime
        options["enable_mkldnn"] = args.enable_mkldnn
    return Predictor.from_dir(
        args.model_dir,
        device=args.device,
        runtime=runtime,
        precision=precision,
        cpu_threads=args.cpu_threads,
        batch_size=args.batch_size,
        use_dark=args.use_dark,
        **options,
    )


def _open_detector(args: argparse.Namespace) -> PersonDetector | None:
    if args.det_model_dir is not None:
        import_runtime("paddle")  # or else says how to install it
        from ppose.inference.detectors.paddle_detector import PaddleDetector

        return PaddleDetector(
            args.det_model_dir,
            threshold=args.det_threshold,
            device=args.device,
            cpu_threads=args.cpu_threads,
        )
    if args.detector is not None:
        from ppose.inference.detectors.hog import HogPeopleDetector

        return HogPeopleDetector(args.det_threshold)
    return None


class _Scenes:
    """Iterates over image and bbox_xyxy of each file: those given, those found, or None for the whole image.

    ``read`` has the files whose images have been given out, oldest first; who has done with one takes it off.
    ``problems`` says of each image that was left out why. A single image that cannot be read is a DataError.
    """

    def __init__(
        self, files: Sequence[Path], given: Sequence[np.ndarray] | None, find_people: PersonDetector | None
    ) -> None:
        self._files, self._given, self._find_people = files, given, find_people
        self.problems: list[str] = []
        self.read: deque[Path] = deque()

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        for index, file in enumerate(self._files):
            try:
                image = read_image(file, use_exif=True)
            except DataError as error:
                if len(self._files) == 1:
                    raise
                self.problems.append(str(error))
                _logger.warning("left out: %s", error)
                continue
            boxes = self._find_people(image) if self._find_people else None
            if self._given is not None:
                corner, size = self._given[index][:, :2], self._given[index][:, 2:]
                boxes = np.concatenate([corner, corner + size], axis=1)
            self.read.append(file)
            yield image, boxes


def _warm_up(predictor: Predictor) -> None:
    """Run the graph for one person and for a whole batch, of nobody: what it does at first takes longer."""
    image = np.zeros((64, 64, 3), np.uint8)
    for count in (1, predictor.batch_size):
        predictor.predict_images([image] * count)
    predictor.reset_times()


def _report(args: argparse.Namespace, predictor: Predictor) -> None:
    if args.run_benchmark and predictor.people:
        parts = [f"{part} {1000 * s / predictor.people:.2f} ms" for part, s in predictor.seconds.items()]
        print(f"a person, over {predictor.people}: {', '.join(parts)}")
