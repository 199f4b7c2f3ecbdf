"""Translates an experiment file of the official HRNet code, or a descendant, to our config."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ppose.errors import ConfigError
from ppose.translate.kinds import check_value
from ppose.translate.networks import read_network
from ppose.translate.settings import KEYS, OF_BOXES, check_setting, flatten, read_gpus, to_our_value

# Defaults of the published code (lib/config/default.py, lib/core/config.py).
_DEFAULTS: dict[str, Any] = {
    "DATASET.COLOR_RGB": False,
    "DATASET.FLIP": True,
    "DATASET.PROB_HALF_BODY": 0,
    "DATASET.ROT_FACTOR": 30,
    "DATASET.SCALE_FACTOR": 0.25,
    "DATASET.TEST_SET": "valid",
    "DATASET.TRAIN_SET": "train",
    "LOSS.USE_TARGET_WEIGHT": True,
    "MODEL.INIT_WEIGHTS": True,
    "TEST.FLIP_TEST": False,
    "TEST.IN_VIS_THRE": 0.0,
    "TEST.OKS_THRE": 0.5,
    "TEST.USE_GT_BBOX": False,
    "TRAIN.END_EPOCH": 140,
    "TRAIN.LR": 0.001,
    "TRAIN.LR_FACTOR": 0.1,
    "TRAIN.LR_STEP": [90, 110],
}
# The older of the two has these settings under other keys, and one different default.
_OLDER = ("MODEL.EXTRA.HEATMAP_SIZE", "MODEL.EXTRA.SIGMA", "TRAIN.BATCH_SIZE", "TEST.BATCH_SIZE")
_OLDER_DEFAULTS = {"TEST.IMAGE_THRE": 0.0, "TEST.SHIFT_HEATMAP": True, "TRAIN.BATCH_SIZE": 32}
_NEWER_DEFAULTS = {
    "MODEL.HEATMAP_SIZE": [64, 64],
    "TEST.IMAGE_THRE": 0.1,
    "TEST.SHIFT_HEATMAP": False,
    "TRAIN.BATCH_SIZE_PER_GPU": 32,
}
_PEOPLE = 17  # keypoints of COCO's people
_REQUIRED = ("MODEL.NAME", "MODEL.NUM_JOINTS", "MODEL.IMAGE_SIZE", "DATASET.DATASET")
_SPACECRAFT = {11: "tango11", 12: "envisat12", 16: "envisat16"}


def translate_experiment(file: str | Path, name: str) -> str:
    """The text of a config equivalent to an experiment file, to be saved as ``name``.yml.

    Raises ConfigError for another file, and for settings that our networks and datasets do not have.
    """
    flat = _read(Path(file))
    is_older = any(key in flat for key in _OLDER)
    flat = {**_DEFAULTS, **(_OLDER_DEFAULTS if is_older else _NEWER_DEFAULTS), **flat}
    network, network_base, blocks = read_network(flat)
    data_base, blocks_of_data = _read_data(flat, network)
    cfg: dict[str, Any] = {
        "_BASE_": ["_base_/coco_topdown.yml", network_base, *data_base],
        "weights": f"{flat.get('OUTPUT_DIR') or 'output'}/{name}/model_final",
    }
    for part in (_read_keys(flat, network), blocks, blocks_of_data, _read_training(flat, network)):
        _merge(cfg, part)
    return yaml.safe_dump(cfg, sort_keys=False, default_flow_style=None, width=110)


def _read(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise ConfigError(f"{file}: cannot be read as an experiment file: {reason}") from None
    if not isinstance(content, dict) or not isinstance(content.get("MODEL"), dict):
        raise ConfigError(f"{file}: no experiment file: expected DATASET, MODEL, TRAIN and TEST in it")
    flat = {setting: value for setting, value in flatten(content).items() if value is not None}
    for setting, value in flat.items():
        try:
            check_setting(setting)
            check_value(setting, value)
        except ConfigError as error:
            raise ConfigError(f"{file}: {error}") from None
    missing = [setting for setting in _REQUIRED if setting not in flat]
    if missing:
        raise ConfigError(f"{file}: {', '.join(missing)} missing")
    return flat


def _read_data(flat: Mapping[str, Any], network: str) -> tuple[list[str], dict[str, Any]]:
    """The file of defaults for a kind of data, if any, and the paths of the datasets."""
    kind, count = flat["DATASET.DATASET"], flat["MODEL.NUM_JOINTS"]
    sets = {"TrainDataset": flat["DATASET.TRAIN_SET"], "EvalDataset": flat["DATASET.TEST_SET"]}
    if kind == "mpii":
        return ["_base_/mpii.yml"], {
            key: {"image_dir": "images", "anno_path": f"annot/{part}.json"} for key, part in sets.items()
        }
    if kind == "coco" and count == _PEOPLE:
        return [], {key: _coco_paths(part) for key, part in sets.items()}
    if kind not in ("coco", "envisat_coco", "envisat_coco_envisat") or count not in _SPACECRAFT:
        raise ConfigError(
            f"DATASET.DATASET is {kind} with {count} keypoints, expected coco with {_PEOPLE}, mpii with 16, "
            f"or the spacecraft's with {', '.join(map(str, _SPACECRAFT))}"
        )
    # No flips, whatever the file says: a spacecraft differs from its mirror image.
    blocks: dict[str, Any] = {"keypoint_set": _SPACECRAFT[count], "prob_flip": 0, network: {"flip": False}}
    blocks |= {key: {"image_dir": part, "anno_path": f"{part}.json"} for key, part in sets.items()}
    return ["_base_/spacecraft.yml"], blocks


def _coco_paths(part: str) -> dict[str, str]:
    """Images and annotations of a part of COCO; test-dev2017 is a list of images of test2017."""
    if "test" in part:
        return {"image_dir": "images/test2017", "anno_path": f"annotations/image_info_{part}.json"}
    return {"image_dir": f"images/{part}", "anno_path": f"annotations/person_keypoints_{part}.json"}


def _read_keys(flat: Mapping[str, Any], network: str) -> dict[str, Any]:
    """The settings that correspond to one key of ours each; empty texts are skipped."""
    cfg: dict[str, Any] = {}
    loss = "KeyPointOHKMMSELoss" if flat.get("LOSS.USE_OHKM") else "KeyPointMSELoss"
    has_boxes = flat["DATASET.DATASET"] == "coco"  # the others' code has no detections
    for setting, value in flat.items():
        key = KEYS.get(setting)
        if key is None or value in ("", None) or (setting in OF_BOXES and not has_boxes):
            continue
        if setting == "MODEL.PRETRAINED" and not flat["MODEL.INIT_WEIGHTS"]:
            value = None
        places = ["TrainDataset", "EvalDataset"] if "{data}" in key else [""]
        for place in places:
            path = key.format(network=network, loss=loss, data=place).split(".")
            part: Any = to_our_value(setting, value)
            for name in reversed(path):
                part = {name: part}
            _merge(cfg, part)
    cfg.setdefault("pretrain_weights", None)
    return cfg


def _read_training(flat: Mapping[str, Any], network: str) -> dict[str, Any]:
    cfg: dict[str, Any] = {}
    batch = flat.get("TRAIN.BATCH_SIZE_PER_GPU") or flat.get("TRAIN.BATCH_SIZE")
    if batch:
        cfg["base_batch_size"] = batch * max(len(read_gpus(flat.get("GPUS", 0))), 1)
    if flat.get("TRAIN.LR_STEP"):
        decay = {"milestones": list(flat["TRAIN.LR_STEP"]), "gamma": flat.get("TRAIN.LR_FACTOR", 0.1)}
        cfg["LearningRate"] = {"schedulers": [{"PiecewiseDecay": decay}]}
    kind = str(flat.get("TRAIN.OPTIMIZER", "adam")).lower()
    if kind == "sgd":
        optimizer = {"type": "Momentum", "momentum": flat.get("TRAIN.MOMENTUM", 0.9)}
        optimizer["use_nesterov"] = bool(flat.get("TRAIN.NESTEROV"))
        decay = {"type": "L2", "factor": flat.get("TRAIN.WD", 1e-4)}
        cfg["OptimizerBuilder"] = {"optimizer": optimizer, "regularizer": decay}
    elif kind != "adam":  # the published code uses no weight decay with it
        raise ConfigError(f"TRAIN.OPTIMIZER: got {kind}, expected adam or sgd")
    if flat.get("LOSS.USE_OHKM"):
        cfg[network] = {"loss": "KeyPointOHKMMSELoss"}
        cfg["KeyPointOHKMMSELoss"] = {"topk": flat.get("LOSS.TOPK", 8)}
    if flat["DATASET.DATASET"] == "coco" and flat["MODEL.NUM_JOINTS"] == _PEOPLE:
        names = {"TEST.IN_VIS_THRE": "visible_threshold", "TEST.OKS_THRE": "oks_threshold"}
        metric = {ours: flat[theirs] for theirs, ours in names.items() if theirs in flat}
        if flat.get("TEST.SOFT_NMS"):
            metric["nms"] = "soft_oks"
        cfg["KeyPointTopDownCOCOEval"] = metric
    return cfg


def _merge(cfg: dict[str, Any], part: Mapping[str, Any]) -> None:
    """Merge blocks into those of a config, in place."""
    for key, value in part.items():
        if isinstance(value, dict) and isinstance(cfg.get(key), dict):
            _merge(cfg[key], value)
        else:
            cfg[key] = value
