"""What deploy/infer.py does with its arguments."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ppose.errors import DataError
from ppose.files import check_writable
from ppose.image_files import list_images, read_boxes
from ppose.inference.detectors import PersonDetector
from ppose.inference.predictor import Predictor
from ppose.inference.tracking import Tracker
from ppose.inference.video import process_video, to_arrays
from ppose.inference.video_files import Frames
from ppose.pose_files import check_output, save_keypoints, save_pictures
from ppose.transforms import read_image

_FRAMES_AT_ONCE = 8  # of a video; more gain nothing and need memory


def infer_images(args: argparse.Namespace) -> None:
    """A picture of each image with its people's poses, and with --save_json keypoints.json of all."""
    files = [args.image_file] if args.image_dir is None else list_images(args.image_dir)
    check_output(args.output_dir, files)
    given = None if args.boxes is None else read_boxes(args.boxes, files)
    predictor, find_people = _open_predictor(args), _open_detector(args)
    pairs = _read_pairs(files, given, find_people)
    if args.run_benchmark:  # the first run of a graph takes longer
        predictor(*next(_read_pairs(files, given, None)))
        predictor.reset_times()
    poses = list(predictor.iter_poses(pairs))
    people = [to_arrays(of_image, predictor.keypoint_set.num_keypoints) for of_image in poses]
    keypoints = [points for points, _ in people]
    boxes = None if given is None and find_people is None else [found for _, found in people]
    save_pictures(args.output_dir, files, keypoints, boxes, predictor.keypoint_set, threshold=args.threshold)
    if args.save_json:
        save_keypoints(args.output_dir, files, keypoints, boxes)
    print(f"{sum(map(len, poses))} people in {len(files)} images: {args.output_dir}")
    _report(args, predictor)


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


def _read_pairs(
    files: Sequence[Path], given: Sequence[np.ndarray] | None, find_people: PersonDetector | None
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Image and bbox_xyxy of each file: those given, those found, or None for the whole image."""
    for index, file in enumerate(files):
        image = read_image(file, use_exif=True)
        if given is not None:
            corner, size = given[index][:, :2], given[index][:, 2:]
            yield image, np.concatenate([corner, corner + size], axis=1)
        else:
            yield image, find_people(image) if find_people else None


def _report(args: argparse.Namespace, predictor: Predictor) -> None:
    if args.run_benchmark and predictor.people:
        parts = [f"{part} {1000 * s / predictor.people:.2f} ms" for part, s in predictor.seconds.items()]
        print(f"a person, over {predictor.people}: {', '.join(parts)}")
