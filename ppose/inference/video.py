"""Poses of people in videos, with who is who."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ppose.files import to_json
from ppose.geometry.object_model import ObjectModel
from ppose.inference.detectors import PersonDetector, find_scored
from ppose.inference.pose_files import stack_poses
from ppose.inference.predictor import Predictor
from ppose.inference.space_poses import add_space_poses
from ppose.inference.track_lines import TrackFormat, open_track_lines
from ppose.inference.tracking import Finish, Found, Tracker, finish_tracks
from ppose.inference.video_files import Frames, writing_lines, writing_video
from ppose.paths import show_name
from ppose.visualize import draw_poses

_NO_FINISH = Finish()


def follow_people(
    frames: Iterable[tuple[float, np.ndarray]],
    predictor: Predictor,
    find_people: PersonDetector | None,
    tracker: Tracker,
    *,
    frames_at_once: int,
) -> Iterator[tuple[float, np.ndarray, Found]]:
    """Yield the time and image of each frame, and its people with their numbers.

    ``find_people`` None takes a frame as one person. At most so many frames wait for their people to be run
    together: more are quicker, one is soonest.
    """
    scenes = ((image, *_find(find_people, image), time) for time, image in frames)
    for (image, _, scores, time), poses in predictor.iter_poses(scenes, images_at_once=frames_at_once):
        yield time, image, tracker.update(poses, time, scores)


def _find(
    find_people: PersonDetector | None, image: np.ndarray
) -> tuple[np.ndarray | None, np.ndarray | None]:
    return (None, None) if find_people is None else find_scored(find_people, image)


def follow_twice(
    people: Iterable[tuple[float, np.ndarray, Found]],
    again: Iterable[tuple[float, np.ndarray]],
    finish: Finish,
) -> Iterator[tuple[float, np.ndarray, Found]]:
    """As `follow_people` gives it, of whole tracks: all ``people`` first, then the frames ``again``."""
    seen = tqdm(people, desc="people", unit="frame", disable=None, leave=False)
    found = finish_tracks([(time, numbered) for time, _, numbered in seen], finish)
    return ((time, image, numbered) for (time, image), numbered in zip(again, found, strict=False))


def process_video(
    frames: Frames,
    predictor: Predictor,
    find_people: PersonDetector | None,
    tracker: Tracker,
    output: Path,
    *,
    threshold: float,
    save_json: bool,
    frames_at_once: int,
    model: ObjectModel | None = None,
    finish: Finish = _NO_FINISH,
    reopen: Callable[[], Frames] | None = None,
    save_tracks: TrackFormat | None = None,
) -> int:
    """Write a video with the people's poses to ``output``, and with ``save_json`` a line a frame beside it.

    Returns the number of frames. A line of the `.jsonl` file is {"frame", "time", "people": [{"track_id",
    "bbox" (x, y, width, height), "keypoints" (x, y, score of each), "score"}]}. With a 3D ``model`` each has
    its pose in space too, see `to_record`, and the video the axes. ``save_tracks`` writes the tracks too, see
    `open_track_lines`. Interrupted, all files hold what has been done. Where ``finish`` needs whole tracks
    the video is opened again with ``reopen``, and there is nothing before all people have been found.
    """
    count = 0
    people = follow_people(frames, predictor, find_people, tracker, frames_at_once=frames_at_once)
    if reopen is not None and finish.needs_all:
        people = follow_twice(people, reopen(), finish)
    with ExitStack() as files:
        video = files.enter_context(writing_video(output, frames.fps, frames.size))
        lines = files.enter_context(writing_lines(output.with_suffix(".jsonl"))) if save_json else None
        write_tracks = open_track_lines(files, save_tracks, output, predictor.keypoint_set.names)
        for time, image, found in tqdm(people, desc="frames", unit="frame", disable=None, leave=False):
            poses = [pose for _, pose in found]
            boxes = None if find_people is None else [pose.bbox_xyxy for pose in poses]
            drawn = draw_poses(
                image, stack_poses(poses), predictor.keypoint_set, threshold=threshold, bboxes_xyxy=boxes
            )
            drawn, in_space, _ = add_space_poses(drawn, poses, model)
            video.write(drawn)
            if lines is not None:
                people_of_frame = [
                    {"track_id": number, **pose.to_record(), **more}
                    for (number, pose), more in zip(found, in_space, strict=True)
                ]
                line = {"frame": count, "time": time, "people": people_of_frame}
                lines.write(to_json(line, show_name(output)) + "\n")
            write_tracks(count, time, found)
            count += 1
    return count
