"""Poses of people in videos, with who is who."""

import json
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ppose.geometry.object_model import ObjectModel
from ppose.inference.detectors import PersonDetector
from ppose.inference.pipeline import Scene, Steps, run_pipeline
from ppose.inference.pose_files import stack_poses
from ppose.inference.poses import Pose
from ppose.inference.predictor import Predictor
from ppose.inference.space_poses import add_space_poses
from ppose.inference.tracking import Tracker
from ppose.inference.video_frames import Frame, Frames
from ppose.inference.video_writing import Codec, to_picture, writing_lines, writing_video
from ppose.keypoints import KeypointSet
from ppose.visualize import draw_poses


@dataclass(frozen=True, eq=False)
class Seen:
    """A frame, its image (H, W, 3) uint8, RGB, and its people with their numbers."""

    frame: Frame
    image: np.ndarray
    people: list[tuple[int, Pose]]


def process_video(
    frames: Frames,
    predictor: Predictor,
    find_people: PersonDetector | None,
    tracker: Tracker,
    output: Path,
    *,
    threshold: float,
    save_json: bool,
    codec: Codec = "h264",
    model: ObjectModel | None = None,
) -> int:
    """Write a video with the people's poses to ``output``, and with ``save_json`` a line a frame beside it.

    ``find_people`` None takes a frame as one person. Returns the number of frames. A line of the `.jsonl`
    file is {"frame", "time", "people": [{"track_id", "bbox" (x, y, width, height), "keypoints" (x, y, score
    of each), "score"}]}. With a 3D ``model`` each has its pose in space too, see `to_record`, and the video
    the axes. The video has the frames' own times, and a copy of their sound. Interrupted, both files hold
    what has been done.
    """

    def read(frame: Frame) -> tuple[np.ndarray, np.ndarray | None]:
        image = frame.read()
        return image, find_people(image) if find_people else None

    def arrange(scene: Scene[Frame]) -> Seen:
        return Seen(scene.item, scene.image, tracker.update(scene.poses, scene.item.time))

    drawing = _Drawing(predictor.keypoint_set, threshold, find_people is not None, model, frames.size)
    steps = Steps(read=read, arrange=arrange, finish=drawing.draw)
    count = 0
    with ExitStack() as files:
        files.callback(frames.close)
        like = {"rate": frames.rate, "time_base": frames.time_base, "sound": frames.sound}
        video = files.enter_context(writing_video(output, frames.size, codec=codec, **like))
        lines = files.enter_context(writing_lines(output.with_suffix(".jsonl"))) if save_json else None
        # One frame at a time of what comes live, since more would be older.
        at_once = 1 if frames.is_live else None
        done = files.enter_context(closing(run_pipeline(predictor, frames, steps, images_at_once=at_once)))
        for frame, picture, people in tqdm(done, desc="frames", unit="frame", disable=None, leave=False):
            video.write(picture, frame.time - frames.start, frame.sound)
            if lines is not None:
                lines.write(json.dumps({"frame": count, "time": frame.time, "people": people}) + "\n")
            count += 1
        video.write_sound(frames.rest_of_sound())
    return count


@dataclass(frozen=True)
class _Drawing:
    """How people are drawn in frames of a size (width, height), and described."""

    keypoint_set: KeypointSet
    threshold: float
    has_boxes: bool
    model: ObjectModel | None
    size: tuple[int, int]

    def draw(self, seen: Seen) -> tuple[Frame, Any, list[dict[str, Any]]]:
        """The frame, its picture for the video, and what the line about it says of its people."""
        poses = [pose for _, pose in seen.people]
        boxes = [pose.bbox_xyxy for pose in poses] if self.has_boxes else None
        drawn = draw_poses(
            seen.image, stack_poses(poses), self.keypoint_set, threshold=self.threshold, bboxes_xyxy=boxes
        )
        drawn, in_space, _ = add_space_poses(drawn, poses, self.model)
        people = [
            {"track_id": number, **pose.to_record(), **more}
            for (number, pose), more in zip(seen.people, in_space, strict=True)
        ]
        return seen.frame, to_picture(drawn, self.size), people
