"""Synthetic people and satellites: pictures with exact keypoints, and COCO-format files of them."""

from ppose.data.synthetic.dataset import SyntheticPeopleDataset
from ppose.data.synthetic.satellite import render_satellite
from ppose.data.synthetic.scene import render_scene
from ppose.data.synthetic.write import write_dataset, write_satellites

__all__ = [
    "SyntheticPeopleDataset",
    "render_satellite",
    "render_scene",
    "write_dataset",
    "write_satellites",
]
