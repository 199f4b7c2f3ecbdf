"""Steps over a sample: a dict that each reads and changes. Each class's docstring lists the keys."""

from ppose.transforms.affine import TopDownAffine, TopDownEvalAffine
from ppose.transforms.augment import RandomFlipHalfBodyTransform
from ppose.transforms.decode import Decode, LazySample, read_image, read_image_part
from ppose.transforms.heatmaps import EncodeHeatmaps
from ppose.transforms.normalize import NormalizeImage, Permute

__all__ = [
    "Decode",
    "EncodeHeatmaps",
    "LazySample",
    "NormalizeImage",
    "Permute",
    "RandomFlipHalfBodyTransform",
    "TopDownAffine",
    "TopDownEvalAffine",
    "read_image",
    "read_image_part",
]
