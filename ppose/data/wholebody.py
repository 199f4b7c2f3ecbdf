"""COCO-WholeBody's people, hands and faces, one sample each."""

from pathlib import Path
from typing import Any

from ppose.data.coco import KeypointTopDownCocoDataset
from ppose.data.dataset import Dataset
from ppose.files import read_json
from ppose.keypoints import KeypointSet
from ppose.wholebody_format import join_parts, take_faces, take_hands
from ppose.workspace import register


@register(Dataset, ignored=("pixel_std",))
class KeypointTopDownCocoWholeBodyDataset(KeypointTopDownCocoDataset):
    """People of a COCO-WholeBody file with all their 133 keypoints, else a `KeypointTopDownCocoDataset`."""

    def find_annotations(self, file: Path, keypoint_set: KeypointSet) -> dict[str, Any]:
        """See `KeypointTopDownCocoDataset`."""
        return join_parts(read_json(file, "annotation file"), str(file))


@register(Dataset, ignored=("pixel_std",))
class KeypointTopDownCocoWholeBodyHandDataset(KeypointTopDownCocoDataset):
    """The valid hands of a COCO-WholeBody file, each as a person."""

    def find_annotations(self, file: Path, keypoint_set: KeypointSet) -> dict[str, Any]:
        """See `KeypointTopDownCocoDataset`."""
        return take_hands(read_json(file, "annotation file"), str(file))


@register(Dataset, ignored=("pixel_std",))
class KeypointTopDownCocoWholeBodyFaceDataset(KeypointTopDownCocoDataset):
    """The valid faces of a COCO-WholeBody file, each as a person."""

    def find_annotations(self, file: Path, keypoint_set: KeypointSet) -> dict[str, Any]:
        """See `KeypointTopDownCocoDataset`."""
        return take_faces(read_json(file, "annotation file"), str(file))
