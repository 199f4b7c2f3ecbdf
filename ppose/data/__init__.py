"""Datasets, and the readers that make batches of them."""

from ppose.data.coco import KeypointTopDownCocoDataset
from ppose.data.image_folder import ImageFolder, list_images
from ppose.data.reader import Batches, Reader

__all__ = ["Batches", "ImageFolder", "KeypointTopDownCocoDataset", "Reader", "list_images"]
