"""What a first run tells: who was found where, how quickly, and the lines of Python that do the same."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ppose.inference.label_files import Named
from ppose.inference.poses import Poses
from ppose.inference.predictor import Predictor
from ppose.paths import show_name

_MOST_LINES = 20


def describe_people(found: Named) -> str:
    """A line an image, and a line a person: score, and the box's corners in image pixels."""
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
            "Nobody was found. Take less certain people, too: --det_threshold 0.2; or a picture as one "
            "person: --detector none"
        )
    return "\n".join(lines)


def describe_run(
    predictor: Predictor, model: str, image: Path, poses: Poses, options: Mapping[str, Any]
) -> str:
    """The time that a person takes, and the lines of Python that find the poses of an image, which are these.

    They are found once more for it: at first a runtime prepares itself. ``options`` are those of
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
