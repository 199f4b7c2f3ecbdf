"""Translates settings of the official HRNet code (YAML with DATASET, MODEL, TRAIN, TEST) to our keys.

Files of deep-high-resolution-net.pytorch, human-pose-estimation.pytorch, HSR-MSNet and HRNet for spacecraft.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from ppose.errors import ConfigError
from ppose.workspace.registry import suggest

# Setting -> our key; "{network}" stands for the architecture's block, "{data}" for both datasets.
KEYS = {
    "OUTPUT_DIR": "save_dir",
    "PRINT_FREQ": "log_iter",
    "WORKERS": "worker_num",
    "DATASET.ROOT": "{data}.dataset_dir",
    "DATASET.ROT_FACTOR": "rotation",
    "DATASET.SCALE_FACTOR": "scale_factor",
    "DATASET.PROB_HALF_BODY": "prob_half_body",
    "DATASET.NUM_JOINTS_HALF_BODY": "num_joints_half_body",
    "DATASET.FLIP": "prob_flip",
    "DATASET.COLOR_RGB": "channel_order",
    "MODEL.IMAGE_SIZE": "trainsize",
    "MODEL.HEATMAP_SIZE": "hmsize",
    "MODEL.EXTRA.HEATMAP_SIZE": "hmsize",
    "MODEL.SIGMA": "sigma",
    "MODEL.EXTRA.SIGMA": "sigma",
    "MODEL.NUM_JOINTS": "num_joints",
    "MODEL.PRETRAINED": "pretrain_weights",
    "LOSS.USE_TARGET_WEIGHT": "{loss}.use_target_weight",
    "TRAIN.BATCH_SIZE": "batch_size",
    "TRAIN.BATCH_SIZE_PER_GPU": "batch_size",
    "TRAIN.SHUFFLE": "TrainReader.shuffle",
    "TRAIN.END_EPOCH": "epoch",
    "TRAIN.LR": "LearningRate.base_lr",
    "TEST.BATCH_SIZE": "EvalReader.batch_size",
    "TEST.BATCH_SIZE_PER_GPU": "EvalReader.batch_size",
    "TEST.FLIP_TEST": "{network}.flip",
    "TEST.SHIFT_HEATMAP": "{network}.shift_heatmap",
    "TEST.USE_GT_BBOX": "EvalDataset.use_gt_bbox",
    "TEST.COCO_BBOX_FILE": "EvalDataset.bbox_file",
    "TEST.IMAGE_THRE": "EvalDataset.image_thre",
    "TEST.MODEL_FILE": "weights",
}
OF_BOXES = ("TEST.USE_GT_BBOX", "TEST.COCO_BBOX_FILE", "TEST.IMAGE_THRE")  # for COCO only
# The other settings, which this package reads as a whole: the network, the schedule, the loss.
STRUCTURE = (
    "GPUS", "DATASET.DATASET", "DATASET.TRAIN_SET", "DATASET.TEST_SET", "DATASET.DATA_FORMAT",
    "DATASET.IMG_PREFIX", "MODEL.NAME", "MODEL.INIT_WEIGHTS",
    "MODEL.TARGET_TYPE", "MODEL.EXTRA.TARGET_TYPE", "MODEL.EXTRA", "LOSS.USE_OHKM", "LOSS.TOPK",
    "TRAIN.OPTIMIZER", "TRAIN.LR_STEP", "TRAIN.LR_FACTOR", "TRAIN.WD", "TRAIN.MOMENTUM", "TRAIN.NESTEROV",
    "TEST.IN_VIS_THRE", "TEST.OKS_THRE", "TEST.SOFT_NMS", "TEST.POST_PROCESS",
)  # fmt: skip
# Settings that ppose does not need.
_WITHOUT_EFFECT = (
    "AUTO_RESUME", "CUDNN", "DATA_DIR", "LOG_DIR", "PIN_MEMORY", "RANK", "DEBUG", "MODEL.TAG_PER_JOINT",
    "DATASET.HYBRID_JOINTS_TYPE", "DATASET.SELECT_DATA", "LOSS.USE_DIFFERENT_JOINTS_WEIGHT", "MODEL.STYLE",
    "TRAIN.BEGIN_EPOCH", "TRAIN.RESUME", "TRAIN.CHECKPOINT", "TRAIN.GAMMA1", "TRAIN.GAMMA2",
    "TEST.BBOX_THRE", "TEST.NMS_THRE",
)  # fmt: skip

_SEQUENCE = re.compile(r"\(?[-+.\de]+,[-+.\de,]*\)?")  # (170,200), (0,), 170,200
_NUMERIC = re.compile(r"[-+.\d]+(e[-+\d]+)?|" + _SEQUENCE.pattern, re.IGNORECASE)
_BGR_RGB = {False: "bgr", True: "rgb"}
_CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "DATASET.COLOR_RGB": lambda value: _BGR_RGB[bool(value)],
    "DATASET.FLIP": lambda value: 0.5 if value else 0,
    "DATASET.PROB_HALF_BODY": lambda value: max(value, 0),
}


def to_our_value(setting: str, value: Any) -> Any:
    """A setting's value as the value of our key."""
    return _CONVERSIONS.get(setting, lambda same: same)(value)


def check_setting(setting: str) -> None:
    """Raise ConfigError for a setting that none of these codes has, with the nearest known one."""
    known = (*KEYS, *STRUCTURE, *_WITHOUT_EFFECT)
    if not any(setting == name or setting.startswith(f"{name}.") for name in known):
        raise ConfigError(f"{setting}: no setting of an experiment file{suggest(setting, known)}")


def flatten(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{'TRAIN': {'LR': 1}} -> {'TRAIN.LR': 1}; MODEL.EXTRA's stages stay blocks."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        is_stage = name.startswith("MODEL.EXTRA.STAGE")
        if isinstance(value, dict) and not is_stage:
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = _read_text(value)
    return flat


def _read_text(value: Any) -> Any:
    """The value; parses numbers and lists of numbers that YAML reads as text, such as 1e-3 or (32, 64)."""
    if isinstance(value, dict):
        return {key: _read_text(part) for key, part in value.items()}
    if isinstance(value, str) and _NUMERIC.fullmatch(value.replace(" ", "")):
        return read_value(value)
    return value


def read_value(text: str) -> Any:
    """Parse a value of a command line: true, 1e-3, [1, 2], (0,1) or a text."""
    if _SEQUENCE.fullmatch(text.replace(" ", "")):
        return [read_value(part) for part in text.strip("() ").split(",") if part.strip()]
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    if isinstance(value, str):
        try:
            return float(value)  # YAML 1.1 reads 1e-3 as text
        except ValueError:
            return {"True": True, "False": False}.get(value, value)
    return value


def read_gpus(value: Any) -> list[int]:
    """Parse GPUS as these files write them: (0,1,2,3), '0,1' or 0."""
    parts = [part.strip() for part in str(value).strip("()[] ").split(",") if part.strip()]
    if not all(part.isdecimal() for part in parts):
        raise ConfigError(f"GPUS: got {value!r:.60}, expected GPUs such as (0,1)")
    return [int(part) for part in parts]
