"""Finds and tracks the poses of people in videos."""

import logging
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ppose.files import to_json
from ppose.geometry.object_model import ObjectModel
from ppose.inference.detectors import PersonDetector, find_scored
from ppose.inference.pipeline import Scene, Steps, run_pipeline
from ppose.inference.pose_files import stack_poses
from ppose.inference.predictor import Predictor
from ppose.inference.space_poses import add_space_poses
from ppose.inference.track_lines import TrackFormat, open_track_lines
from ppose.inference.tracking import Finish, Found, Tracker, finish_tracks
from ppose.inference.video_frames import Fitting, Frame, Frames
from ppose.inference.video_writing import Codec, to_picture, writing_lines, writing_video
from ppose.interrupts import saves
from ppose.keypoints import KeypointSet
from ppose.paths import show_name
from ppose.visualize import draw_poses

_logger = logging.getLogger(__name__)

_NO_FINISH = Finish()


@dataclass(frozen=True, eq=False)
class Seen:
    """A frame, its image (H, W, 3) uint8, RGB, and its people with their track numbers."""

    frame: Frame
    image: np.ndarray
    people: Found


@dataclass(frozen=True, eq=False)
class _Following:
    """Finds and tracks the people of frames; ``find_people`` None takes a frame as one person."""

    find_people: PersonDetector | None
    tracker: Tracker
    fitting: Fitting

    def read(self, frame: Frame) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        """See `Steps`; the other known data are the boxes' scores."""
        image = self.fitting.read(frame)
        return image, *(find_scored(self.find_people, image) if self.find_people else (None, None))

    def arrange(self, scene: Scene[Frame]) -> Seen:
        """See `Steps`; called in the order of the frames."""
        people = self.tracker.update(scene.poses, scene.item.time, scene.known)
        return Seen(scene.item, scene.image, people)


@dataclass(frozen=True, eq=False)
class _Knowing:
    """As `_Following` for frames whose people are already found; takes them from ``found``."""

    found: deque[Found]
    fitting: Fitting

    def read(self, frame: Frame) -> tuple[np.ndarray, np.ndarray, None]:
        """See `Steps`; without boxes, since the people are known."""
        return self.fitting.read(frame), np.zeros((0, 4)), None

    def arrange(self, scene: Scene[Frame]) -> Seen:
        """See `Steps`; called in the order of the frames."""
        return Seen(scene.item, scene.image, self.found.popleft() if self.found else [])


@saves()
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
    finish: Finish = _NO_FINISH,
    reopen: Callable[[], Frames] | None = None,
    save_tracks: TrackFormat | None = None,
) -> int:
    """Write a video with the people's poses to ``output``, and with ``save_json`` a line per frame beside it.

    ``find_people`` None takes a frame as one person. Returns the number of frames. A line of the `.jsonl`
    file is {"frame", "time", "people": [{"track_id", "bbox" (x, y, width, height), "keypoints" (x, y, score
    of each), "score"}]}. With a 3D ``model`` the people also have poses in space, see `to_record`, and the
    video their axes. The video keeps the frames' times and a copy of their sound. ``save_tracks`` also writes
    the tracks, see `open_track_lines`. If interrupted, all files hold the frames done so far. If ``finish``
    needs whole tracks, a first pass finds all people, and ``reopen`` opens the video again to write it.
    """
    fitting = Fitting(frames.size)
    following = _Following(find_people, tracker, fitting)
    people: _Following | _Knowing = following
    if reopen is not None and finish.needs_all:
        people = _Knowing(deque(_follow_all(frames, predictor, following, finish)), fitting)
        frames = reopen()
    drawing = _Drawing(predictor.keypoint_set, threshold, find_people is not None, model)
    steps = Steps(read=people.read, arrange=people.arrange, finish=drawing.draw)
    count = 0
    with ExitStack() as files:
        files.callback(frames.close)
        like = {name: getattr(frames, name) for name in ("rate", "time_base", "pixel_aspect", "sound")}
        video = files.enter_context(writing_video(output, frames.size, codec=codec, **like))
        lines = files.enter_context(writing_lines(output.with_suffix(".jsonl"))) if save_json else None
        write_tracks = open_track_lines(files, save_tracks, output, predictor.keypoint_set.names)
        # Live sources: one frame at a time, since further ones would be older.
        at_once = 1 if frames.is_live else None
        done = files.enter_context(closing(run_pipeline(predictor, frames, steps, images_at_once=at_once)))
        shown = tqdm(done, desc="frames", unit="frame", disable=None, leave=False)
        for frame, found, picture, records in shown:
            video.write(picture, frame.time - frames.start, frame.sound)
            if lines is not None:
                line = {"frame": count, "time": frame.time, "people": records}
                lines.write(to_json(line, show_name(output)) + "\n")
            write_tracks(count, frame.time, found)
            count += 1
        video.write_sound(frames.rest_of_sound())
    if fitting.others:
        _logger.warning(
            "%s: %d frames of other sizes were fitted into %dx%d pixels",
            show_name(output), len(fitting.others), *fitting.size,
        )  # fmt: skip
    return count


def _follow_all(frames: Frames, predictor: Predictor, people: _Following, finish: Finish) -> list[Found]:
    """Find the people of each frame of a whole video, and finish their tracks."""

    def arrange(scene: Scene[Frame]) -> tuple[float, Found]:
        return scene.item.time, people.arrange(scene).people

    steps = Steps(read=people.read, arrange=arrange, finish=lambda found: found)
    with closing(frames), closing(run_pipeline(predictor, frames, steps)) as done:
        return finish_tracks(list(tqdm(done, desc="people", unit="frame", disable=None, leave=False)), finish)


@dataclass(frozen=True)
class _Drawing:
    """Draws and describes people in frames."""

    keypoint_set: KeypointSet
    threshold: float
    has_boxes: bool
    model: ObjectModel | None

    def draw(self, seen: Seen) -> tuple[Frame, Found, Any, list[dict[str, Any]]]:
        """The frame, its people, its picture for the video, and the people's records for its line."""
        poses = [pose for _, pose in seen.people]
        boxes = [pose.bbox_xyxy for pose in poses] if self.has_boxes else None
        drawn = draw_poses(
            seen.image, stack_poses(poses), self.keypoint_set, threshold=self.threshold, bboxes_xyxy=boxes
        )
        drawn, in_space, _ = add_space_poses(drawn, poses, self.model)
        records = [
            {"track_id": number, **pose.to_record(), **more}
            for (number, pose), more in zip(seen.people, in_space, strict=True)
        ]
        return seen.frame, seen.people, to_picture(drawn), records
