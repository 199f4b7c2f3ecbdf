"""The kinds of values of the official HRNet code's settings."""

import math
from collections.abc import Callable
from typing import Any

from ppose.errors import ConfigError


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 31


def _is_list_of_whole(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_whole, value))


_KINDS: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("a text", lambda value: isinstance(value, str | None),
     "OUTPUT_DIR DATASET.ROOT DATASET.DATASET DATASET.TRAIN_SET DATASET.TEST_SET MODEL.NAME MODEL.PRETRAINED "
     "TEST.COCO_BBOX_FILE TEST.MODEL_FILE TRAIN.OPTIMIZER"),
    ("a number", _is_number,
     "DATASET.ROT_FACTOR DATASET.SCALE_FACTOR DATASET.PROB_HALF_BODY MODEL.SIGMA MODEL.EXTRA.SIGMA TRAIN.LR "
     "TRAIN.LR_FACTOR TRAIN.WD TRAIN.MOMENTUM TEST.IMAGE_THRE TEST.IN_VIS_THRE TEST.OKS_THRE"),
    ("a whole number", _is_whole,
     "DATASET.NUM_JOINTS_HALF_BODY MODEL.NUM_JOINTS MODEL.EXTRA.NUM_LAYERS MODEL.EXTRA.NUM_DECONV_LAYERS "
     "PRINT_FREQ WORKERS LOSS.TOPK TRAIN.BATCH_SIZE TRAIN.BATCH_SIZE_PER_GPU TRAIN.END_EPOCH TEST.BATCH_SIZE "
     "TEST.BATCH_SIZE_PER_GPU"),
    ("true or false", lambda value: isinstance(value, bool),
     "DATASET.COLOR_RGB DATASET.FLIP MODEL.INIT_WEIGHTS LOSS.USE_OHKM LOSS.USE_TARGET_WEIGHT TRAIN.NESTEROV "
     "TRAIN.SHUFFLE TEST.FLIP_TEST TEST.SHIFT_HEATMAP TEST.SOFT_NMS TEST.USE_GT_BBOX"),
    ("a width and a height", lambda value: _is_list_of_whole(value) and len(value) == 2,
     "MODEL.IMAGE_SIZE MODEL.HEATMAP_SIZE MODEL.EXTRA.HEATMAP_SIZE"),
    ("a list of whole numbers", _is_list_of_whole,
     "TRAIN.LR_STEP MODEL.EXTRA.NUM_DECONV_FILTERS MODEL.EXTRA.NUM_DECONV_KERNELS"),
)  # fmt: skip
_EXPECTED = {setting: (words, test) for words, test, settings in _KINDS for setting in settings.split()}
# Values without a counterpart, and why, or what to do.
_UNSUPPORTED = {
    ("DATASET.DATA_FORMAT", "zip"): "unpack the images; files only",
    ("TEST.POST_PROCESS", False): "we always move keypoints a quarter pixel to the second highest",
}


def check_value(setting: str, value: Any) -> None:
    """Raise ConfigError if a value has the wrong kind for its setting, or no counterpart."""
    if isinstance(value, str | bool) and (setting, value) in _UNSUPPORTED:
        raise ConfigError(f"{setting}: got {value}; {_UNSUPPORTED[setting, value]}")
    words, test = _EXPECTED.get(setting, ("", lambda _: True))
    if not test(value):
        raise ConfigError(f"{setting}: got {value!r:.60}, expected {words}")
