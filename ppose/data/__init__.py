"""Datasets, and readers that make batches from them."""

from ppose.data.coco import KeypointTopDownCocoDataset
from ppose.data.dataset import Dataset, EvalDataset
from ppose.data.image_folder import ImageFolder
from ppose.data.mpii import KeypointTopDownMPIIDataset
from ppose.data.reader import Batches, Reader
from ppose.data.synthetic import SyntheticPeopleDataset
from ppose.data.wholebody import (
    KeypointTopDownCocoWholeBodyDataset,
    KeypointTopDownCocoWholeBodyFaceDataset,
    KeypointTopDownCocoWholeBodyHandDataset,
)

__all__ = [
    "Batches",
    "Dataset",
    "EvalDataset",
    "ImageFolder",
    "KeypointTopDownCocoDataset",
    "KeypointTopDownCocoWholeBodyDataset",
    "KeypointTopDownCocoWholeBodyFaceDataset",
    "KeypointTopDownCocoWholeBodyHandDataset",
    "KeypointTopDownMPIIDataset",
    "Reader",
    "SyntheticPeopleDataset",
]
