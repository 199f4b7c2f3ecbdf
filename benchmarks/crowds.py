"""Simulates crowds for `tracking.py`: moving people, as detectors and pose networks see them.

Each of N people goes from one random place to the next on the ground, with limited acceleration and swinging
limbs; a camera looks down from 5 m. Nearer people occlude those behind them: a box's score falls with its
occluded share, occluded keypoints scatter, and some are found on the person in front. Boxes that score below
0.1 are not found. Some boxes are false positives.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ppose.inference.poses import Pose
from ppose.keypoints import get_keypoint_set

SIZE = (1280, 720)
_FOCAL, _HORIZON, _CAMERA, _HEIGHT = 1000.0, -100.0, 5.0, 1.75  # pixels, pixels, metres, metres
_NEAR, _FAR, _SIDEWAYS = 7.0, 18.0, 0.55  # metres; to both sides, as a share of the distance
_SWING = 0.3  # metres to both sides, of hands and feet

# COCO's keypoints of a standing person: sideways, up (both in body heights), and the share of the swing.
_NAMES = get_keypoint_set("coco17").names
_STANDING = {
    "nose": (0.0, 0.93, 0.0), "eye": (0.02, 0.95, 0.0), "ear": (0.04, 0.94, 0.0),
    "shoulder": (0.11, 0.82, 0.1), "elbow": (0.14, 0.64, -0.5), "wrist": (0.15, 0.49, -1.0),
    "hip": (0.08, 0.52, 0.0), "knee": (0.08, 0.27, 0.6), "ankle": (0.08, 0.03, 1.0),
}  # fmt: skip
_BODY = np.array([_STANDING[name.split("_")[-1]] for name in _NAMES])
_SIDE = np.array([-1.0 if name.startswith("right") else 1.0 for name in _NAMES])
_SNAPPED = 0.3  # share of the occluded keypoints that are found on the person in front


@dataclass(frozen=True)
class Crowd:
    """The number of people, their speed (m/s, m/s^2), the video's length and rate, and the share missed."""

    people: int
    speed: float
    acceleration: float
    fps: float
    seconds: float
    missed: float = 0.0  # share of those that would be found


@dataclass(frozen=True)
class Frame:
    """A time in seconds, true people (ids (M,), boxes_xyxy (M, 4)), and the found poses with box scores."""

    time: float
    ids: np.ndarray
    boxes: np.ndarray
    poses: list[Pose]
    scores: np.ndarray


def simulate(crowd: Crowd, seed: int) -> Iterator[Frame]:
    """Yield the frames of a crowd; the seed decides them."""
    rng = np.random.default_rng(seed)
    place, target = _random_places(rng, crowd.people), _random_places(rng, crowd.people)
    speed = crowd.speed * rng.uniform(0.8, 1.2, crowd.people)
    velocity = np.zeros_like(place)
    phase = rng.uniform(0, 2 * np.pi, crowd.people)
    steps = max(round(30 / crowd.fps), 1)  # simulation steps between frames
    for number in range(round(crowd.seconds * crowd.fps)):
        for _ in range(steps):
            elapsed = 1 / (crowd.fps * steps)
            reached = np.linalg.norm(target - place, axis=1) < crowd.speed / 2
            target = np.where(reached[:, None], _random_places(rng, crowd.people), target)
            wanted = target - place
            wanted *= (speed / np.linalg.norm(wanted, axis=1))[:, None]
            change = wanted - velocity
            length = np.maximum(np.linalg.norm(change, axis=1), 1e-9)
            change *= np.minimum(1, crowd.acceleration * elapsed / length)[:, None]
            velocity = velocity + change
            place = place + velocity * elapsed
            phase = phase + 2 * np.pi * (0.5 + 0.25 * crowd.speed) * elapsed
        yield _look(rng, number / crowd.fps, place, velocity, phase, crowd.missed)


def _random_places(rng: np.random.Generator, count: int) -> np.ndarray:
    depth = rng.uniform(_NEAR, _FAR, count)
    return np.stack([rng.uniform(-_SIDEWAYS, _SIDEWAYS, count) * depth, depth], axis=1)


def _look(
    rng: np.random.Generator,
    time: float,
    place: np.ndarray,
    velocity: np.ndarray,
    phase: np.ndarray,
    missed: float,
) -> Frame:
    keypoints = _project(place, velocity, phase)
    low, high = keypoints.min(axis=1), keypoints.max(axis=1)
    margin = 0.08 * (high[:, 1:] - low[:, 1:])
    boxes = np.concatenate([low - margin, high + margin], axis=1)
    inside = np.clip(boxes, 0, [*SIZE, *SIZE])
    shown = _areas(inside) / _areas(boxes)
    order = np.argsort(place[:, 1])
    seen, front = _find_hidden(inside, order)
    there = np.flatnonzero(shown > 0.3)
    poses, scores = [], []
    for person in there:
        score = 0.93 * (seen[person] * shown[person]) ** 0.6 + rng.normal(0, 0.05)
        if score < 0.1 or seen[person] < 0.1 or rng.random() < missed:
            continue
        points = _measure(rng, keypoints, person, seen[person], front[person], inside)
        size = inside[person, 2:] - inside[person, :2]
        box = inside[person] + rng.normal(0, 0.02 + 0.06 * (1 - seen[person]), 4) * np.tile(size, 2)
        of_points = np.clip(rng.normal(0.8 * score, 0.1, len(points)), 0, 1)
        poses.append(Pose(points, of_points, float(of_points.mean()), box))
        scores.append(min(score, 1.0))
    if rng.random() < 0.1:  # a false positive
        person = rng.choice(there)
        move = rng.uniform([0, 300], SIZE) - keypoints[person].mean(axis=0)
        of_points = rng.uniform(0, 0.5, len(_NAMES))
        box = boxes[person] + np.tile(move, 2)
        poses.append(Pose(keypoints[person] + move, of_points, float(of_points.mean()), box))
        scores.append(rng.uniform(0.1, 0.6))
    return Frame(time, there, inside[there], poses, np.array(scores))


def _project(place: np.ndarray, velocity: np.ndarray, phase: np.ndarray) -> np.ndarray:
    """Keypoints (N, 17, 2) in image pixels of people at (x, depth)."""
    ahead = velocity / np.maximum(np.linalg.norm(velocity, axis=1, keepdims=True), 1e-6)
    swing = (
        _SWING * _BODY[:, 2] * _SIDE * np.sin(phase)[:, None] * np.linalg.norm(velocity, axis=1)[:, None] / 2
    )
    swing = np.clip(swing, -2 * _SWING, 2 * _SWING)
    across = place[:, :1] + _HEIGHT * _BODY[:, 0] * _SIDE * ahead[:, 1:] + swing * ahead[:, :1]
    factor = _FOCAL / place[:, 1:]
    x = SIZE[0] / 2 + factor * across
    y = _HORIZON + factor * (_CAMERA - _HEIGHT * _BODY[:, 1])
    return np.stack([x, y], axis=2)


def _find_hidden(boxes: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The visible share (N,) of each box, and who (N,) occludes it most, -1 for nobody."""
    seen, front = np.ones(len(boxes)), np.full(len(boxes), -1)
    for rank, person in enumerate(order):
        nearer = order[:rank]
        low = np.maximum(boxes[nearer, :2], boxes[person, :2])
        common = np.prod(np.maximum(np.minimum(boxes[nearer, 2:], boxes[person, 2:]) - low, 0), axis=1)
        hidden = common / max(_areas(boxes[person]), 1e-6)
        seen[person] = np.prod(1 - np.minimum(hidden, 1))
        if len(nearer) and hidden.max() > 0:
            front[person] = nearer[hidden.argmax()]
    return seen, front


def _measure(
    rng: np.random.Generator, keypoints: np.ndarray, person: int, seen: float, front: int, boxes: np.ndarray
) -> np.ndarray:
    """The keypoints (17, 2) that a network finds for a person."""
    height = np.ptp(keypoints[person][:, 1])
    points = keypoints[person] + rng.normal(0, (0.012 + 0.04 * (1 - seen)) * height, (len(_NAMES), 2))
    if front >= 0 and seen < 0.6:
        own = keypoints[person]
        hidden = ((own >= boxes[front, :2]) & (own <= boxes[front, 2:])).all(axis=1)
        taken = hidden & (rng.random(len(_NAMES)) < _SNAPPED)
        points[taken] = keypoints[front][taken]
    return points


def _areas(boxes: np.ndarray) -> np.ndarray:
    return np.maximum(boxes[..., 2] - boxes[..., 0], 1e-6) * np.maximum(boxes[..., 3] - boxes[..., 1], 1e-6)
