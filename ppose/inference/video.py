"""Poses of people in videos, with who is who."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ppose.inference.detectors import PersonDetector
from ppose.inference.predictor import Pose, Predictor
from ppose.inference.tracking import Tracker
from ppose.inference.video_files import Frames, writing_lines, writing_video
from ppose.visualize import draw_poses

Found = list[tuple[int, Pose]]


def follow_people(
    frames: Iterable[tuple[float, np.ndarray]],
    predictor: Predictor,
    find_people: PersonDetector | None,
    tracker: Tracker,
    *,
    frames_at_once: int,
) -> Iterator[tuple[float, np.ndarray, Found]]:
    """Yield the time and image of each frame, and its people with their numbers.

    ``find_people`` None takes a frame as one person. So many frames are read before their people are run
    together: more are quicker, one is soonest.
    """
    frames = iter(frames)
    while chunk := list(islice(frames, frames_at_once)):
        pairs = ((image, find_people(image) if find_people else None) for _, image in chunk)
        for (time, image), poses in zip(chunk, predictor.iter_poses(pairs), strict=True):
            yield time, image, tracker.update(poses, time)


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
) -> int:
    """Write a video with the people's poses to ``output``, and with ``save_json`` a line a frame beside it.

    Returns the number of frames. A line of the `.jsonl` file is {"frame", "time", "people": [{"track_id",
    "bbox" (x, y, width, height), "keypoints" (x, y, score of each), "score"}]}. Interrupted, both files hold
    what has been done.
    """
    keypoint_set, count = predictor.keypoint_set, 0
    with ExitStack() as files:
        video = files.enter_context(writing_video(output, frames.fps, frames.size))
        lines = files.enter_context(writing_lines(output.with_suffix(".jsonl"))) if save_json else None
        people = follow_people(frames, predictor, find_people, tracker, frames_at_once=frames_at_once)
        for time, image, found in tqdm(people, desc="frames", unit="frame", disable=None, leave=False):
            poses, boxes = to_arrays([pose for _, pose in found], keypoint_set.num_keypoints)
            shown = None if find_people is None else boxes
            video.write(draw_poses(image, poses, keypoint_set, threshold=threshold, bbox_xywh=shown))
            if lines is not None:
                numbers = [number for number, _ in found]
                lines.write(json.dumps(_describe_frame(count, time, numbers, poses, boxes)) + "\n")
            count += 1
    return count


def to_arrays(poses: Sequence[Pose], num_keypoints: int) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints (N, K, 3), x, y and score, and bbox_xywh (N, 4) of N poses."""
    keypoints = np.zeros((len(poses), num_keypoints, 3))
    boxes = np.zeros((len(poses), 4))
    for index, pose in enumerate(poses):
        keypoints[index] = np.column_stack([pose.keypoints, pose.scores])
        boxes[index] = *pose.bbox_xyxy[:2], *(pose.bbox_xyxy[2:] - pose.bbox_xyxy[:2])
    return keypoints, boxes


def _describe_frame(
    frame: int, time: float, numbers: Sequence[int], poses: np.ndarray, boxes: np.ndarray
) -> dict[str, Any]:
    people = [
        {
            "track_id": number,
            "bbox": box.tolist(),
            "keypoints": pose.ravel().tolist(),
            "score": float(pose[:, 2].mean()),
        }
        for number, pose, box in zip(numbers, poses, boxes, strict=True)
    ]
    return {"frame": frame, "time": time, "people": people}
