"""Transforms of samples, which are dicts. Each class's docstring lists the keys it reads and changes."""

from ppose.transforms.affine import TopDownAffine, TopDownEvalAffine
from ppose.transforms.appearance import ColorJitter, GaussianBlur
from ppose.transforms.augment import (
    RandomFlipHalfBodyTransform,
    RandomShift,
    TopDownGetRandomScaleRotation,
    TopDownRandomFlip,
    TopDownRandomShiftBboxCenter,
)
from ppose.transforms.decode import (
    Decode,
    ImageReader,
    LazySample,
    decode_annotated,
    read_annotated,
    read_image,
    read_image_part,
    read_image_size,
)
from ppose.transforms.dropping import CoarseDropout, InformationDropping
from ppose.transforms.heatmaps import EncodeHeatmaps, HeatmapTargets
from ppose.transforms.normalize import ChannelOrder, NormalizeImage, Permute
from ppose.transforms.transform import Transform

__all__ = [
    "ChannelOrder",
    "CoarseDropout",
    "ColorJitter",
    "Decode",
    "EncodeHeatmaps",
    "GaussianBlur",
    "HeatmapTargets",
    "ImageReader",
    "InformationDropping",
    "LazySample",
    "NormalizeImage",
    "Permute",
    "RandomFlipHalfBodyTransform",
    "RandomShift",
    "TopDownAffine",
    "TopDownEvalAffine",
    "TopDownGetRandomScaleRotation",
    "TopDownRandomFlip",
    "TopDownRandomShiftBboxCenter",
    "Transform",
    "decode_annotated",
    "read_annotated",
    "read_image",
    "read_image_part",
    "read_image_size",
]
