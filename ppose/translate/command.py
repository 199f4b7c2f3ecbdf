"""Translates a command of another pose code to ours."""

import json
import re
import shlex
from collections.abc import Callable, Sequence
from typing import Any

from ppose.errors import ConfigError
from ppose.translate.gpus import apply_visible, choose_gpus
from ppose.translate.kinds import check_value
from ppose.translate.known import find_experiment, name_experiment
from ppose.translate.settings import (
    KEYS,
    OF_BOXES,
    STRUCTURE,
    check_setting,
    read_gpus,
    read_value,
    to_our_value,
)
from ppose.translate.shell import ShellCall, has_flag, read_call, split_line, value_of

_TENSORFLOW, _ATTENTION = "tf_hrnet_w32_256x192_coco", "attention_pose_resnet_50_256x192_coco"
# Settings of these codes that our configs lack: the channels of ResNet's weights, and boxes for tests.
_OF_BGR = r"configs/pose_resnet_\d+_\w+_coco\.yml"
_OF_DETECTIONS = {
    _TENSORFLOW: "dataset/COCO/dets/human_detection.json",
    _ATTENTION: "data/COCO/dets/human_detection.json",
    "hsrnet_161_256x192_coco": None,
    "hsr_msnet_161_256x192_coco": None,
}
# Their scripts contain paths and choices; the user must fill in the capitals.
_CONVERTERS = {
    "mpii2coco.py": ("mpii2coco", "--split train"),
    "posetrack2coco.py": ("posetrack2coco", ""),
    "convert2COCO.py": ("spacecraft2coco", "--keypoint_set envisat16"),
}
# Scripts without a counterpart, and why, or what to use instead.
_NONE = {
    "setup.py": "there is nothing to build",
    "demo.py": "tools/infer.py -c CONFIG --infer_dir DIR, and deploy/infer.py for videos",
    "inference.py": "tools/infer.py -c CONFIG --infer_dir DIR, and deploy/infer.py for videos",
    "kp_results_eval.py": "tools/eval.py on a spacecraft's config has these errors",
}
_COMMANDS = {
    "make": "there is nothing to build",
    "mkdir": "output and log are made when needed",
    "sed": "there is nothing to change in other packages",
}
_PLOTTED = "hrnet_w32_256x192"  # a config for COCO's people, whose results their script draws
_PLOTTED_FILE = "data/coco/annotations/person_keypoints_val2017.json"  # its default
_OWN = re.compile(
    r"(tools/(train|eval|infer|export_model)|deploy/infer|dataset/(download_coco|converters/\w+))\.py$"
)
_OF_EXPERIMENTS = re.compile(r"(^|/)(tools|pose_estimation)/\w+\.py$|valid\.py$")
# Their flags without a value, flags for our keys, and flags with a value that ppose does not need.
_NO_FLIP_TEST = "--no-flip-test"  # not one of theirs: stands for the absence of --flip-test
_SWITCHES = (
    _NO_FLIP_TEST,
    *("--post-process", "--shift-heatmap", "--flip-test", "--use-detect-bbox", "--continue"),
)
_OF_KEYS = {
    "--coco-bbox-file": "EvalDataset.bbox_file",
    "--frequent": "log_iter",
    "--modelDir": "save_dir",
    "--workers": "worker_num",
}
_WITHOUT_EFFECT = ("--logDir", "--prevModelDir")
# Settings beside KEYS: flags of eval.py, keys, and settings without effect or read elsewhere.
_EVAL_FLAGS = {"TEST.OKS_THRE": "--oks_thre", "TEST.IN_VIS_THRE": "--in_vis_thre"}
_SCHEDULE = "LearningRate.schedulers.PiecewiseDecay"
_COMMAND_KEYS = {**KEYS, "TRAIN.LR_STEP": f"{_SCHEDULE}.milestones", "TRAIN.LR_FACTOR": f"{_SCHEDULE}.gamma"}
_MOOT = (
    *("TEST.POST_PROCESS", "TEST.SOFT_NMS", "DATASET.DATA_FORMAT", "DATASET.IMG_PREFIX"),
    *("TRAIN.WD", "TRAIN.MOMENTUM", "TRAIN.NESTEROV"),  # for SGD; their files use Adam
)


def translate_command(text: str) -> str:
    """Translate a command line of another pose code to ours; ConfigError for anything else.

    >>> translate_command("python test.py --gpu 0-1 --test_epoch 140").split(" -c ")[1]
    'configs/attention_pose_resnet_50_256x192_coco.yml --test_epoch 140'
    """
    words = split_line(text)
    call = read_call(words)
    if call is None or "sed" in call.before:
        return _translate_other(text, words)
    arguments = list(call.arguments)
    if _OWN.search(call.script) and not has_flag(arguments, "--cfg") and not _lacks_config(call):
        return shlex.join([*call.variables, *call.interpreter, call.script, *arguments])
    if call.name in _CONVERTERS:
        ours, more = _CONVERTERS[call.name]
        return f"python dataset/converters/{ours}.py --input FILE_OR_DIR --output FILE {more}".rstrip()
    if call.name == "plot_coco.py":
        return _translate_plot(arguments)
    if call.name not in ("train.py", "test.py", "valid.py"):
        reason = _NONE.get(call.name, "train.py, test.py, valid.py and the converters have one")
        raise ConfigError(f"{call.script}: no counterpart; {reason}")
    if _OF_EXPERIMENTS.search(call.script) and not has_flag(arguments, "--cfg"):
        raise ConfigError(f"{call.script}: expected --cfg and an experiment file (.yaml)")
    config = _guess_config([*call.before, call.script], arguments)
    if call.name == "valid.py" and config.startswith("configs/") and not has_flag(arguments, "--flip-test"):
        arguments.append(_NO_FLIP_TEST)
    command = "train" if call.name == "train.py" else "eval"
    return _Call(command, config, arguments, call).translate()


def _translate_other(text: str, words: list[str]) -> str:
    """Translate other commands, which set up their code; most are not needed here."""
    if words[-2:-1] == ["-r"] and {"pip", "pip3", "install"} & set(words):
        return "pip install -r requirements.txt"
    reason = next((reason for word, reason in _COMMANDS.items() if word in words), None)
    if reason is not None:
        raise ConfigError(f"'{text}': not needed; {reason}")
    raise ConfigError(f"'{text}': expected a command such as python train.py --gpu 0-1")


def _translate_plot(arguments: Sequence[str]) -> str:
    """Translate plot_coco.py: pictures of a results file."""
    flags = dict.fromkeys(("--prediction", "--save-path", "--gt-anno", "--image-path", "--style"), "")
    for word in arguments:
        if word.startswith("-") and word.partition("=")[0] not in flags:
            raise ConfigError(f"{word}: no flag of plot_coco.py")
    results, folder, truth, images, _ = (value_of(arguments, flag) for flag in flags)
    dataset = truth or (_PLOTTED_FILE if images else f"configs/{_PLOTTED}.yml")
    line = ["python", "tools/visualize_coco.py", results or "RESULTS", "--dataset", dataset]
    line += ["--image_dir", images] if images else []
    return shlex.join(line + (["--output_dir", folder] if folder else []))


def _lacks_config(call: ShellCall) -> bool:
    """Whether it is a tools/train.py without the config that ours needs."""
    return call.name == "train.py" and not any(
        re.match(r"-c|--conf", word) and not word.startswith("-cfg") for word in call.arguments
    )


class _Call:
    """One call of their train.py, test.py or valid.py."""

    def __init__(self, command: str, config: str, arguments: list[str], call: ShellCall) -> None:
        self._command, self._config, self._arguments = command, config, list(arguments)
        self._gpus: list[int] = list(range(call.processes)) if call.processes > 1 else []
        self._variables = call.variables
        self._is_of_mpii = "mpii" in re.split(r"[/\\]", value_of(arguments, "--cfg"))
        self._options: list[str] = []
        self._overrides: list[str] = []
        if re.fullmatch(_OF_BGR, config):
            self._overrides.append("channel_order=bgr")

    def translate(self) -> str:
        """Our command line."""
        while self._arguments:
            word = self._arguments.pop(0)
            if word.startswith("-"):
                flag, equals, value = word.partition("=")
                self._read_flag(flag, value if equals else None)
            else:
                self._read_setting(word)
        if self._command == "eval":
            self._add_detections()
        if self._gpus:
            sees_all = self._config in (f"configs/{_TENSORFLOW}.yml", f"configs/{_ATTENTION}.yml")
            self._gpus, self._variables = apply_visible(self._gpus, self._variables, sees_all=sees_all)
        return self._join()

    def _add_detections(self) -> None:
        """Add the boxes that these codes are tested on by default."""
        name = self._config.removeprefix("configs/").removesuffix(".yml")
        if name not in _OF_DETECTIONS:
            return
        if "--use-detect-bbox" not in self._options:
            self._options.append("--use-detect-bbox")
        if _OF_DETECTIONS[name] is not None:
            self._overrides.append(f"EvalDataset.bbox_file={_OF_DETECTIONS[name]}")

    def _read_flag(self, flag: str, value: str | None) -> None:
        if value is None and flag not in _SWITCHES:
            if not self._arguments:
                raise ConfigError(f"{flag}: expected a value after it")
            value = self._arguments.pop(0)
        readers: dict[str, Callable[[str], None]] = {
            "--cfg": lambda _: None,  # already read
            "--gpu": self._read_gpus,
            "--gpus": self._read_gpus,
            "--weights": lambda file: self._options.extend(["--weights", file]),
            "--test_epoch": lambda epoch: self._options.extend(["--test_epoch", epoch]),
            "--test_model": lambda file: self._options.extend(["--test_model", file]),
            "--model-file": lambda file: self._options.extend(["--model-file", file]),
        }
        if flag in readers:
            readers[flag](value or "")
        elif flag in _OF_KEYS:
            self._overrides.append(f"{_OF_KEYS[flag]}={value}")
        elif flag == "--dataDir" and value:
            raise ConfigError(f"--dataDir: no counterpart; add '{value}' to DATASET.ROOT instead")
        elif flag == _NO_FLIP_TEST:
            self._overrides.append(f"{_network_of(self._config)}.flip=false")
        elif flag == "--shift-heatmap":
            self._overrides.append(f"{_network_of(self._config)}.shift_heatmap=true")
        elif flag in ("--flip-test", "--use-detect-bbox", "--continue"):
            self._options.append(flag)
        elif flag not in (
            *_WITHOUT_EFFECT,
            "--dataDir",
            "--post-process",
        ):  # we also decode with a quarter pixel
            raise ConfigError(f"{flag}: no flag of these codes")

    def _read_gpus(self, text: str) -> None:
        self._gpus = choose_gpus(text)

    def _read_setting(self, setting: str) -> None:
        """Read a setting of the experiment file and its value, as in TEST.USE_GT_BBOX False."""
        check_setting(setting)
        if not self._arguments:
            raise ConfigError(f"{setting}: expected a value after it")
        text = self._arguments.pop(0)
        value = read_value(text)
        check_value(setting, value)
        if setting == "GPUS":
            self._gpus = read_gpus(text)
        elif (self._is_of_mpii and setting in OF_BOXES) or (setting == "TEST.MODEL_FILE" and not text):
            return  # their code for MPII has no detections; no file is the run's final model, as here
        elif self._command == "eval" and (flags := _to_eval_flags(setting, text, value)):
            self._options += flags
        elif setting in _COMMAND_KEYS:
            self._overrides += self._to_overrides(setting, value)
        elif setting.startswith(STRUCTURE) and setting not in (*_MOOT, *_EVAL_FLAGS):
            raise ConfigError(
                f"{setting}: we have no override for it; change the experiment file and translate that"
            )

    def _to_overrides(self, setting: str, value: Any) -> list[str]:
        value = to_our_value(setting, value)
        shown = json.dumps(value) if value is None or isinstance(value, bool) else value
        key = _COMMAND_KEYS[setting]
        return [
            f"{key.format(network=_network_of(self._config), loss='KeyPointMSELoss', data=data)}={shown}"
            for data in (("TrainDataset", "EvalDataset") if "{data}" in key else ("",))
        ]

    def _join(self) -> str:
        line = ["python", f"tools/{self._command}.py", "-c", self._config]
        if len(self._gpus) > 1:
            gpus = ",".join(map(str, self._gpus))
            line[1:1] = ["-m", "paddle.distributed.launch", "--gpus", gpus]
        elif self._gpus:
            line += ["--gpu", str(self._gpus[0])]
        line += self._options
        line = [*self._variables, *line]
        return shlex.join(line + (["-o", *self._overrides] if self._overrides else []))


def _to_eval_flags(setting: str, text: str, value: Any) -> list[str]:
    """The flags of eval.py for a setting, if any."""
    if setting == "TEST.MODEL_FILE":
        return ["--model-file", text]
    if setting == "TEST.SOFT_NMS" and value is True:
        return ["--nms", "soft_oks"]
    if setting in _EVAL_FLAGS:
        return [_EVAL_FLAGS[setting], text]
    flags = {("TEST.USE_GT_BBOX", False): "--use-detect-bbox", ("TEST.FLIP_TEST", True): "--flip-test"}
    return [flags[setting, value]] if isinstance(value, bool) and (setting, value) in flags else []


def _guess_config(before: list[str], arguments: list[str]) -> str:
    """Our config: that of the experiment file; without one, guessed from flags and folders."""
    if has_flag(arguments, "--cfg"):
        path = value_of(arguments, "--cfg")
        if not path.endswith((".yaml", ".yml")):
            raise ConfigError(f"--cfg: got '{path}', expected an experiment file (.yaml)")
        known = find_experiment(path)
        return f"configs/{known}.yml" if known else f"{name_experiment(path)}.yml"
    gpus = value_of(arguments, "--gpu")
    folders = {part for word in before for part in re.split(r"[/;\s]", word)}
    is_attention = (
        bool(folders & {"main", "With_Attention"})
        or "-" in gpus
        or has_flag(arguments, "--continue")
        or has_flag(arguments, "--test_epoch")
    )
    return f"configs/{_ATTENTION if is_attention else _TENSORFLOW}.yml"


def _network_of(config: str) -> str:
    """The name of the block of a config's architecture."""
    name = config.rpartition("/")[2]
    if name.startswith("hsr"):
        return "HSRNet"
    return "PoseResNet" if re.search(r"(^|_)(attention|res(net)?_?\d)", name) else "TopDownHRNet"
