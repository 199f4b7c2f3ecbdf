"""Made-up people: pictures of articulated figures with exact keypoints, and COCO-format files of them."""

from ppose.data.synthetic.dataset import SyntheticPeopleDataset
from ppose.data.synthetic.scene import render_scene
from ppose.data.synthetic.write import write_dataset

__all__ = ["SyntheticPeopleDataset", "render_scene", "write_dataset"]
