"""Draws the people with findings of an inspection."""

from collections.abc import Sequence

import cv2
import numpy as np

from ppose.annotations import People
from ppose.data.coco import KeypointTopDownCocoDataset
from ppose.data.inspection.findings import Finding
from ppose.errors import DataError
from ppose.geometry import bbox_xywh_to_xyxy
from ppose.keypoints import KeypointSet
from ppose.visualize import crop_person, draw_poses

_MOST, _COLUMNS = 24, 6
_TILE, _CAPTION = (200, 240), 34  # width, height of a person's picture; height of the text below


def draw_sheet(
    dataset: KeypointTopDownCocoDataset, keypoint_set: KeypointSet, findings: Sequence[Finding]
) -> np.ndarray | None:
    """Tiles of up to 24 people (H, W, 3) uint8, RGB, wrong before odd; None if there is nobody.

    Each shows the box, the labels and, below, the id and the finding. Left is orange, right is blue.
    """
    annotations = dataset.annotations
    if annotations.people is None:
        return None
    people = annotations.people.take(annotations.people.used)
    tiles = []
    for finding, row in _choose(findings):
        try:
            image = dataset.read_image(int(people.images[row]))
        except DataError:
            continue
        tiles.append(_draw_tile(image, people, row, keypoint_set, finding))
    if not tiles:
        return None
    blank = np.full_like(tiles[0], 255)
    tiles += [blank] * (-len(tiles) % min(_COLUMNS, len(tiles)))
    columns = min(_COLUMNS, len(tiles))
    rows = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    return np.vstack(rows)


def _choose(findings: Sequence[Finding]) -> list[tuple[Finding, int]]:
    """Choose people from all findings in turn, so that a frequent kind leaves room for others."""
    ordered = sorted((f for f in findings if f.people), key=lambda f: f.level != "wrong")
    most = max((len(f.people) for f in ordered), default=0)
    turns = [(f, f.people[turn]) for turn in range(most) for f in ordered if turn < len(f.people)]
    chosen = turns[:_MOST]
    return sorted(chosen, key=lambda choice: ordered.index(choice[0]))


def _draw_tile(
    image: np.ndarray, people: People, row: int, keypoint_set: KeypointSet, finding: Finding
) -> np.ndarray:
    crop, place = crop_person(image, people.bboxes_xywh[row], _TILE)
    pose = place(np.column_stack([people.keypoints[row], people.visibility[row] > 0]))
    corners = place(bbox_xywh_to_xyxy(people.bboxes_xywh[row]).reshape(2, 2))
    crop = draw_poses(crop, pose[None], keypoint_set, bboxes_xyxy=corners.reshape(1, 4))
    caption = np.full((_CAPTION, _TILE[0], 3), 255, np.uint8)
    for line, text in enumerate((str(people.ids[row]), finding.kind)):
        shown = text.encode("ascii", "replace").decode()[:32]
        cv2.putText(
            caption, shown, (4, 14 + 15 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (0, 0, 0), 1, cv2.LINE_AA
        )
    tile = np.vstack([crop, caption])
    tile[:, -1] = 200
    return tile
