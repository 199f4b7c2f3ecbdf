"""Steps over a sample: a dict that each reads and changes. Each class's docstring lists the keys."""

from ppose.transforms.affine import TopDownAffine, TopDownEvalAffine
from ppose.transforms.appearance import ColorJitter, GaussianBlur
from ppose.transforms.augment import RandomFlipHalfBodyTransform, RandomShift
from ppose.transforms.decode import Decode, LazySample, read_image, read_image_part
from ppose.transforms.dropping import CoarseDropout, InformationDropping
from ppose.transforms.heatmaps import EncodeHeatmaps
from ppose.transforms.normalize import NormalizeImage, Permute

__all__ = [
    "CoarseDropout",
    "ColorJitter",
    "Decode",
    "EncodeHeatmaps",
    "GaussianBlur",
    "InformationDropping",
    "LazySample",
    "NormalizeImage",
    "Permute",
    "RandomFlipHalfBodyTransform",
    "RandomShift",
    "TopDownAffine",
    "TopDownEvalAffine",
    "read_image",
    "read_image_part",
]
