"""Processes images and videos for parsed arguments, and opens the models that this needs."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ppose.errors import DataError
from ppose.files import check_writable
from ppose.inference.detectors import PersonDetector
from ppose.inference.pose_files import ImageFiles, check_output, write_poses
from ppose.inference.predictor import Predictor
from ppose.inference.video_frames import Clip
from ppose.paths import cut_name, show_name

if TYPE_CHECKING:  # imported where needed: they take a third of the time to the first pose
    from ppose.geometry.object_model import ObjectModel
    from ppose.inference.label_files import PoseWriter
    from ppose.inference.track_lines import TrackFormat
    from ppose.inference.tracking import Finish, Similarity
    from ppose.inference.video_writing import Codec


# Called after all other checks, since opening takes long.
OpenPredictor = Callable[[], Predictor]
OpenDetector = Callable[..., PersonDetector | None]  # with the hint of `open_runtime`


def infer_images(
    files: Sequence[Path],
    open_predictor: OpenPredictor,
    open_detector: OpenDetector,
    output_dir: Path,
    *,
    open_images: Callable[[], ImageFiles],
    threshold: float,
    save_json: bool,
    writers: "Sequence[PoseWriter]" = (),
    run_benchmark: bool,
    pnp: Path | None = None,
) -> Predictor:
    """Write a picture of each image file with its people's poses, see `write_poses`; returns the predictor.

    ``open_images`` returns the image files with their boxes; ``pnp`` is the file of a 3D model. Each picture
    is written as soon as it is done. An unreadable image is skipped with a warning, and raises DataError at
    the end.
    """
    check_output(output_dir, files)
    images = open_images()
    predictor, find_people, model = _open(open_predictor, open_detector, pnp, warms_up=run_benchmark)
    people = write_poses(
        images,
        predictor,
        output_dir,
        find_people=find_people,
        threshold=threshold,
        save_json=save_json,
        writers=writers,
        model=model,
    )
    who = "1 person" if people == 1 else f"{people} people"
    where = "1 image" if images.readable == 1 else f"{images.readable} images"
    print(f"{who} in {where}: {show_name(output_dir)}")
    if run_benchmark:
        _report_times(predictor)
    images.check()
    return predictor


def infer_video(
    source: Path | int | str,
    open_predictor: OpenPredictor,
    open_detector: OpenDetector,
    output_dir: Path,
    *,
    clip: Clip,
    rate: Fraction | None,
    codec: "Codec",
    similarity: "Similarity",
    sure_score: float,
    finish: "Finish",
    save_tracks: "TrackFormat | None",
    threshold: float,
    save_json: bool,
    run_benchmark: bool,
    pnp: Path | None = None,
) -> None:
    """Write a video with its people's poses; ``source`` and ``clip`` are those of `open_frames`.

    Live sources run until Ctrl-C. People whose boxes score lower than ``sure_score`` continue a track, but
    begin none. A file that was cut off is written as far as it can be read, and raises DataError at the end.
    """
    # Imported here, since PyAV is optional.
    from ppose.inference.track_lines import ENDINGS
    from ppose.inference.tracking import Tracker
    from ppose.inference.video import process_video
    from ppose.inference.video_sources import name_source, open_frames

    longest = ENDINGS["csv"]  # the longest ending of a video's files
    output = output_dir / f"{cut_name(name_source(source), longest).removesuffix(longest)}.mp4"
    if isinstance(source, Path) and output.resolve() == source.resolve():
        raise DataError(f"{show_name(output)} is the video itself: choose another --output_dir")
    check_writable(output)
    frames = open_frames(source, clip, rate)
    predictor, find_people, model = _open(open_predictor, open_detector, pnp, warms_up=run_benchmark)
    count = process_video(
        frames,
        predictor,
        find_people,
        Tracker(
            predictor.keypoint_set.sigmas,
            similarity=similarity,
            sure_score=sure_score,
            smooth=finish.smooth == "one_euro" and not finish.needs_all,
        ),
        output,
        threshold=threshold,
        save_json=save_json,
        codec=codec,
        model=model,
        finish=finish,
        reopen=lambda: open_frames(source, clip, rate),
        save_tracks=save_tracks,
    )
    print(f"{count} frames: {show_name(output)}")
    if run_benchmark:
        _report_times(predictor)
    frames.check_whole()


def _open(
    open_predictor: OpenPredictor, open_detector: OpenDetector, pnp: Path | None, *, warms_up: bool
) -> "tuple[Predictor, PersonDetector | None, ObjectModel | None]":
    predictor = open_predictor()
    find_people = open_detector(hint="throughput" if predictor.callers > 1 else "latency")
    model = open_model(pnp, predictor)
    if warms_up:
        warm_up(predictor)
    return predictor, find_people, model


def open_model(file: Path | None, predictor: Predictor) -> "ObjectModel | None":
    """The 3D model of a file, for the keypoints of the predictor."""
    if file is None:
        return None
    from ppose.geometry.object_model import read_object_model

    return read_object_model(file, predictor.keypoint_set.names)


def open_detector(
    model_dir: str | Path,
    threshold: float,
    *,
    classes: Sequence[str] | None = None,
    tiles: tuple[int, int] | None = None,
    **options: Any,
) -> PersonDetector:
    """The detector of a folder or file; ``options`` are those of `choice.open_detector`.

    ``tiles`` (columns, rows) also runs it on tiles of each image, see `TiledDetector`.
    """
    from ppose.inference.detectors import choice
    from ppose.inference.detectors.tiles import TiledDetector

    detector = choice.open_detector(model_dir, threshold=threshold, classes=classes, **options)
    return detector if tiles is None else TiledDetector(detector.detect, *tiles)


def warm_up(predictor: Predictor, sizes: Sequence[int] = ()) -> None:
    """Run the graph on black batches of ``sizes``, since first runs take longer.

    By default one person and a full batch.
    """
    image = np.zeros((64, 64, 3), np.uint8)
    for count in sizes or (1, predictor.batch_size):
        predictor.predict_images([image] * count)
    predictor.reset_times()


def _report_times(predictor: Predictor) -> None:
    if predictor.people:
        parts = [f"{part} {1000 * s / predictor.people:.2f} ms" for part, s in predictor.seconds.items()]
        print(f"a person, over {predictor.people}: {', '.join(parts)}")
