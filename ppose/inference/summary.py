"""Describes a first run: the people found, the time, and Python code that does the same."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ppose.inference.label_files import Named
from ppose.inference.poses import Poses
from ppose.inference.predictor import Predictor
from ppose.paths import show_name

_MOST_LINES = 20


def describe_people(found: Named) -> str:
    """A line for each image and for each person: the box's corners in image pixels, and the score."""
    lines = []
    for name, poses in found:
        lines.append(f"{name}: {len(poses) or 'no'} {'person' if len(poses) == 1 else 'people'}")
        for number, pose in enumerate(poses, start=1):
            left, top, right, bottom = pose.bbox_xyxy.round().astype(int).tolist()
            box = f"from ({left}, {top}) to ({right}, {bottom})"
            lines.append(f"  {number}: {box}, score {pose.score:.2f}")
    if len(lines) > _MOST_LINES:
        lines = [
            *lines[:_MOST_LINES],
            f"... {len(lines) - _MOST_LINES} more lines: keypoints.json has them all",
        ]
    if not any(poses for _, poses in found):
        lines.append(
            "Nobody was found. Accept less certain people: --det_threshold 0.2; or take a picture as one "
            "person: --detector none"
        )
    return "\n".join(lines)


def describe_run(
    predictor: Predictor, model: str, image: Path, poses: Poses, options: Mapping[str, Any]
) -> str:
    """The time per person, and Python code that finds the poses of an image; ``poses`` are its results.

    Finds them once more to time it, since a runtime's first run is slower. ``options`` are those of
    `ppose.Predictor`.
    """
    lines = []
    if poses:
        predictor.reset_times()
        predictor(image, [pose.bbox_xyxy for pose in poses])
        parts = [f"{part} {1000 * s / predictor.people:.1f}" for part, s in predictor.seconds.items()]
        total = 1000 * sum(predictor.seconds.values()) / predictor.people
        lines.append(f"{total:.1f} ms a person in {predictor.runtime_name} ({', '.join(parts)})")
    given = "".join(f", {name}={value!r}" for name, value in options.items())
    lines += [
        "The same in Python:",
        "  import ppose",
        f"  predictor = ppose.Predictor({model!r}{given})",
        f"  poses = predictor({show_name(image)!r})  # of each: keypoints (K, 2), scores (K,), bbox_xyxy",
    ]
    return "\n".join(lines)
