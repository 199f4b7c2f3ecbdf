"""Compares ppose's tracker with others, on simulated crowds (`crowds.py`) and PoseTrack18.

    python benchmarks/tracking.py
    python benchmarks/tracking.py --posetrack posetrack18/annotations/val

The table has identity switches (of all seeds), MOTA, IDF1 and HOTA in percent, by people's boxes from an IoU
of 0.5 on, and the tracker's time. The settings of ppose's tracker were chosen on other seeds (100 and on).
"before" is ppose's former greedy tracker. People whom the detector misses are missed by all trackers. The
greedy ones get boxes that score at least 0.5, as before; the others get the scores.

With --posetrack the trackers get the annotated people of each video, and their tracks are compared with the
annotated ones: a test with exact poses, frames far apart, and people who come and go.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from crowds import Crowd, Frame, simulate
from other_trackers import ByteTrack, Greedy

from ppose.formats.track_folders import read_tracks
from ppose.formats.tracks import Tracks
from ppose.geometry import bbox_xywh_to_xyxy
from ppose.inference.poses import Pose
from ppose.inference.tracking import Tracker
from ppose.keypoints import get_keypoint_set
from ppose.metrics.hota import TrackedFrame
from ppose.metrics.iou import ious
from ppose.metrics.track_scores import score_tracks

CROWDS = {
    "walking": Crowd(people=10, speed=1.3, acceleration=1.5, fps=30, seconds=20),
    "running, 20 % missed": Crowd(people=10, speed=4.0, acceleration=4.0, fps=30, seconds=20, missed=0.2),
    "walking, 5 fps": Crowd(people=10, speed=1.3, acceleration=1.5, fps=5, seconds=40),
}
SURE = 0.5
Update = Callable[[Frame], tuple[list[int], np.ndarray]]  # numbers (N,) and boxes_xyxy (N, 4) of a frame


def greedy(similarity: str, sigmas: np.ndarray) -> Update:
    tracker = Greedy(sigmas, similarity)

    def update(frame: Frame) -> tuple[list[int], np.ndarray]:
        poses = [frame.poses[index] for index in np.flatnonzero(frame.scores >= SURE)]
        return tracker.update(poses, frame.time), stack_boxes(poses)

    return update


def byte_track() -> Update:
    tracker = ByteTrack()

    def update(frame: Frame) -> tuple[list[int], np.ndarray]:
        boxes = stack_boxes(frame.poses)
        found = tracker.update(boxes, frame.scores)
        return [number for number, _ in found], boxes[[index for _, index in found]]

    return update


def ours(similarity: str, sigmas: np.ndarray) -> Update:
    tracker = Tracker(sigmas, similarity=similarity)

    def update(frame: Frame) -> tuple[list[int], np.ndarray]:
        found = tracker.update(frame.poses, frame.time, frame.scores)
        return [number for number, _ in found], stack_boxes([pose for _, pose in found])

    return update


def make_trackers(sigmas: np.ndarray) -> dict[str, Callable[[], Update]]:
    return {
        "before, OKS": lambda: greedy("oks", sigmas),
        "before, IoU": lambda: greedy("iou", sigmas),
        "ByteTrack": byte_track,
        "ppose, iou": lambda: ours("iou", sigmas),
        "ppose, oks": lambda: ours("oks", sigmas),
    }


def stack_boxes(poses: Sequence[Pose]) -> np.ndarray:
    return np.array([pose.bbox_xyxy for pose in poses], np.float64).reshape(-1, 4)


def follow(videos: Sequence[Sequence[Frame]], make: Callable[[], Update]) -> tuple[dict[str, float], float]:
    """Scores of all videos together, and milliseconds a frame."""
    tracked, seconds = [], 0.0
    for video, frames in enumerate(videos):
        update, first = make(), video << 40
        for frame in frames:
            begin = time.perf_counter()
            numbers, boxes = update(frame)
            seconds += time.perf_counter() - begin
            tracked.append(
                TrackedFrame(frame.ids + first, np.array(numbers, np.int64) + first, ious(frame.boxes, boxes))
            )
    return score_tracks(tracked), 1000 * seconds / len(tracked)


def from_annotations(tracks: Tracks) -> list[Frame]:
    """The annotated people of a video as detections, at 25 frames per second."""
    frames = []
    for number, rows in enumerate(tracks.by_frame(int(tracks.frames.max(initial=-1)) + 1)):
        boxes = bbox_xywh_to_xyxy(tracks.bboxes_xywh[rows])
        points = tracks.keypoints[rows]
        poses = [
            Pose(person[:, :2], person[:, 2], float(person[:, 2].mean()), box)
            for person, box in zip(points, boxes, strict=True)
        ]
        frames.append(Frame(number / 25, tracks.tracks[rows], boxes, poses, np.ones(len(rows))))
    return frames


def show(title: str, videos: Sequence[Sequence[Frame]], sigmas: np.ndarray) -> None:
    people = sum(len(frame.ids) for frames in videos for frame in frames)
    print(f"{title}: {sum(map(len, videos))} frames, {people} people in them")
    print(f"  {'':<12} switches   MOTA   IDF1   HOTA  ms a frame")
    for name, make in make_trackers(sigmas).items():
        scores, milliseconds = follow(videos, make)
        shares = "  ".join(f"{100 * scores[key]:5.1f}" for key in ("MOTA", "IDF1", "HOTA"))
        print(f"  {name:<12} {scores['switches']:8.0f}  {shares}  {milliseconds:10.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--posetrack", type=Path, metavar="DIR", help="PoseTrack18's annotations")
    args = parser.parse_args()
    if args.posetrack is not None:
        videos = read_tracks(args.posetrack)
        sigmas = np.array(get_keypoint_set("posetrack18").sigmas)
        show(f"{len(videos)} videos", [from_annotations(tracks) for tracks in videos.values()], sigmas)
        return
    sigmas = np.array(get_keypoint_set("coco17").sigmas)
    for title, crowd in CROWDS.items():
        show(title, [list(simulate(crowd, seed)) for seed in args.seeds], sigmas)


if __name__ == "__main__":
    main()
