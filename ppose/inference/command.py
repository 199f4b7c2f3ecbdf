"""What deploy/infer.py does with its arguments."""

import argparse
from collections.abc import Iterator, Sequence

import numpy as np

from ppose.errors import DataError
from ppose.files import check_writable
from ppose.image_files import list_images, read_boxes
from ppose.inference.detectors import PersonDetector
from ppose.inference.predictor import Predictor
from ppose.inference.runtimes import import_runtime
from ppose.inference.tracking import Tracker
from ppose.inference.video import process_video, to_arrays
from ppose.inference.video_files import Frames
from ppose.pose_files import ImageFiles, check_output, write_poses

_FRAMES_AT_ONCE = 8  # of a video; more gain nothing and need memory


def infer_images(args: argparse.Namespace) -> None:
    """A picture of each image with its people's poses, and with --save_json keypoints.json of all.

    Each is written as soon as it is done. An image that cannot be read is told of and left out, and is an
    error in the end.
    """
    files = [args.image_file] if args.image_dir is None else list_images(args.image_dir)
    check_output(args.output_dir, files)
    given = None if args.boxes is None else read_boxes(args.boxes, files)
    predictor, detector = _open_predictor(args), _open_detector(args)
    if args.run_benchmark:
        _warm_up(predictor)
    images, keypoint_set = ImageFiles(files), predictor.keypoint_set
    are_whole = given is None and detector is None
    found = (
        (keypoints, None if are_whole else boxes)
        for poses in predictor.iter_poses(_find_people(images, given, detector))
        for keypoints, boxes in [to_arrays(poses, keypoint_set.num_keypoints)]
    )
    settings = {"threshold": args.threshold, "save_json": args.save_json}
    people = write_poses(images, found, args.output_dir, keypoint_set, **settings)
    print(f"{people} people in {images.readable} images: {args.output_dir}")
    _report(args, predictor)
    images.check()


def infer_video(args: argparse.Namespace) -> None:
    """A video with its people's poses, of a video file or of a camera until Ctrl-C.

    Of a file that was cut off there is what could be read, and an error in the end.
    """
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
    frames.check_whole()


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


def _find_people(
    images: ImageFiles, given: Sequence[np.ndarray] | None, detector: PersonDetector | None
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Image and bbox_xyxy of each file: those given, those found, or None for the whole image."""
    for index, image in images:
        boxes = detector(image) if detector else None
        if given is not None:
            corner, size = given[index][:, :2], given[index][:, 2:]
            boxes = np.concatenate([corner, corner + size], axis=1)
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
