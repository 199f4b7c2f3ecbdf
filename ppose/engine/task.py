"""Builds the objects of a config; no other code reads configs."""

import logging
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import paddle
from paddle import nn

from ppose.codecs import Codec
from ppose.data import EvalDataset, Reader
from ppose.distillation.losses import DistillationLoss
from ppose.engine.loggers import RunLogger
from ppose.engine.settings import run_settings
from ppose.errors import ConfigError
from ppose.inference.pose_spec import PoseSpec
from ppose.keypoints import BUILTIN_SETS, KeypointSet, get_keypoint_set
from ppose.metrics import Metric
from ppose.models import Loss, TopDownSettings
from ppose.quantization.calibrate import PTQ
from ppose.quantization.qat import QuantizationAwareTraining
from ppose.transforms import HeatmapTargets
from ppose.workspace import create, create_settings
from ppose.workspace.registry import get_entry, registered_names
from ppose.workspace.signature import block_keys
from ppose.workspace.spec import read_spec

_logger = logging.getLogger(__name__)

_DATASETS = ("TrainDataset", "EvalDataset", "TestDataset")
_READERS = ("TrainReader", "EvalReader", "TestReader")


class Task:
    """The parts of a checked config; ConfigError if they disagree."""

    def __init__(self, cfg: dict[str, Any]) -> None:
        self._cfg = cfg
        self._datasets: dict[str, Any] = {}
        self.settings = run_settings(cfg)
        if self.settings.worker_num < 0:
            raise ConfigError(f"worker_num is {self.settings.worker_num}, expected 0 or more")
        self.test: TopDownSettings = create_settings(self.settings.architecture, cfg) or TopDownSettings()
        self._check_sizes()
        self._check_keypoints()

    @cached_property
    def keypoint_set(self) -> KeypointSet:
        """The config's `KeypointSet` block, its `keypoint_set`, or the set of its metric."""
        settings = self.settings
        if "KeypointSet" in self._cfg:
            return create("KeypointSet", self._cfg)
        if settings.keypoint_set is not None:
            return get_keypoint_set(settings.keypoint_set)
        metric: Any = get_entry(settings.metric).target
        keypoint_set = get_keypoint_set(metric.default_keypoint_set)
        if keypoint_set.num_keypoints != settings.num_joints:
            raise ConfigError(
                f"which {settings.num_joints} keypoints? Set keypoint_set to one of "
                f"{', '.join(BUILTIN_SETS)}, or describe your own in a KeypointSet block"
            )
        return keypoint_set

    @cached_property
    def codec(self) -> Codec:
        """The codec of training targets and heatmaps: the config's `codec`, or its readers' own.

        Without either it is that of `ToHeatmapsTopDown`; ConfigError if the warp belongs to another codec.
        """
        use_dark = self.test.use_dark
        if self.settings.codec is not None:
            codec: Codec = create(self.settings.codec, self._cfg)
            return codec if use_dark is None else codec.with_dark(use_dark)
        settings = (create_settings({name: block}, self._cfg) for _, name, block in self._sized_specs())
        targets = next((found for found in settings if isinstance(found, HeatmapTargets)), None)
        if targets is None:
            if any(self._uses_udp.values()):
                raise ConfigError(
                    "the warp is UDP's (use_udp), but no reader has targets that determine the decoding: "
                    f"set codec to one of {', '.join(registered_names(Codec))}"
                )
            columns, rows = self.settings.hmsize
            targets = HeatmapTargets((columns, rows))
        width, height = self.settings.trainsize
        return targets.make_codec((width, height)).with_dark(use_dark is not False)

    @property
    def shifts_heatmap(self) -> bool:
        """Whether the flip test shifts the mirrored heatmaps by a pixel."""
        asked = self.test.shift_heatmap
        return not self.codec.mirrors if asked is None else asked

    def model(self) -> nn.Layer:
        """The network, freshly initialised, in float; ConfigError if its input or output sizes differ."""
        network: Any = create(self.settings.architecture, self._cfg)
        trainsize, hmsize = list(self.settings.trainsize), list(self.settings.hmsize)
        multiple, stride = network.input_multiple, network.stride
        if any(side % multiple for side in trainsize) or hmsize != [side // stride for side in trainsize]:
            raise ConfigError(
                f"trainsize is {trainsize} and hmsize {hmsize}; this network takes multiples of {multiple} "
                f"and outputs heatmaps of 1/{stride} of the size"
            )
        return network

    def loss(self) -> Loss:
        """The loss between the network's heatmaps and the targets."""
        return create(self.test.loss, self._cfg)

    def distillation_losses(
        self, student_channels: int | None, teacher_channels: int | None
    ) -> list[DistillationLoss]:
        """The losses of a teacher's config; the channels are those of the backbones' first feature maps."""
        given = {"student_channels": student_channels, "teacher_channels": teacher_channels}
        return [create(spec, self._cfg, **given) for spec in self.settings.distill_loss]

    def loggers(self, run: str) -> list[RunLogger]:
        """The loggers of a run of that name."""
        settings = self.settings
        vdl = [{"VisualDLLog": {"log_dir": settings.vdl_log_dir}}] if settings.use_vdl else []
        return [create(spec, self._cfg, run=run) for spec in (*vdl, *settings.loggers)]

    def optimizer(
        self, parameters: Sequence[paddle.Tensor], steps_per_epoch: int, rate_scale: float
    ) -> paddle.optimizer.Optimizer:
        """The optimizer of these parameters; its learning rate is the config's times ``rate_scale``."""
        rate = create("LearningRate", self._cfg)
        rate.check(self.settings.epoch * steps_per_epoch)
        return create("OptimizerBuilder", self._cfg)(rate(steps_per_epoch, rate_scale), parameters)

    def metric(self, dataset: EvalDataset, **options: Any) -> Metric:
        """The metric over a dataset's people.

        ``options`` override the config's block of the metric; ``annotations`` override the dataset's own.
        """
        name = self.settings.metric
        given = {**self._given, "annotations": options.pop("annotations", dataset.annotations)}
        for option in options.keys() - block_keys(get_entry(name)):
            raise ConfigError(f"the metric {name} has no option {option}")
        return create({"type": name, **(self._cfg.get(name) or {}), **options}, self._cfg, **given)

    @cached_property
    def quantization(self) -> QuantizationAwareTraining | None:
        """The quantization of `slim: QAT`; None without it."""
        return None if self.settings.slim is None else create("QAT", self._cfg)

    def ptq(self) -> PTQ:
        """The settings of post-training quantization."""
        return create("PTQ", self._cfg)

    def has(self, key: str) -> bool:
        """Whether the config has that dataset or reader."""
        return self._cfg.get(key) is not None

    def dataset(self, key: str) -> Any:
        """The dataset of `TrainDataset`, `EvalDataset` or `TestDataset`; the same one when asked again."""
        spec = self._cfg.get(key)
        if spec is None:
            raise ConfigError(f"the config has no {key}")
        if key not in self._datasets:
            self._datasets[key] = create(spec, self._cfg, **self._given)
        return self._datasets[key]

    def reader(self, key: str) -> Reader:
        """The reader of `TrainReader`, `EvalReader` or `TestReader`."""
        if key not in self._cfg:
            raise ConfigError(f"the config has no {key}")
        reader = create(key, self._cfg, **self._given)
        is_auto = self._cfg[key].get("batch_size") == "auto"
        if key != "TrainReader" and (reader.shuffle or reader.drop_last or is_auto):
            raise ConfigError(
                f"{key}: shuffle, drop_last and batch_size auto are for training only; leave them out"
            )
        return reader

    def pose_spec(self, key: str = "TestReader", *, flip: bool | None = None) -> PoseSpec:
        """The `PoseSpec` with a reader's transforms: all steps from an image with a box to keypoints.

        ``flip``: with the flip test; None: as the config says. `Decode` is dropped: images come as pixels.
        """
        self.reader(key)  # raises if there is none
        flips = self.test.flip if flip is None else flip
        if flips:
            self.keypoint_set.check_flip(f"{self.settings.architecture}.flip", "false")
        sample, batch = (self._transforms(key, kind) for kind in ("sample_transforms", "batch_transforms"))
        return PoseSpec(
            input_size=self.codec.input_size,
            flip_test=flips,
            channel_order=self.settings.channel_order,
            keypoint_set=self.keypoint_set,
            codec=self.codec,
            sample_transforms=[spec for spec in sample if "Decode" not in spec],
            batch_transforms=batch,
            source=key,
        )

    def _transforms(self, key: str, kind: str) -> list[dict[str, Any]]:
        """The specs of a reader's sample or batch transforms, each as {name: arguments}."""
        specs = map(self._read, self._cfg[key].get(kind) or ())
        return [{name: dict(arguments)} for name, arguments in specs]

    @property
    def _given(self) -> dict[str, Any]:
        return {
            "keypoint_set": self.keypoint_set,
            "trainsize": self.settings.trainsize,
            "codec": self.codec,
            "channel_order": self.settings.channel_order,
        }

    def _check_keypoints(self) -> None:
        settings, keypoint_set = self.settings, self.keypoint_set
        if settings.num_joints != keypoint_set.num_keypoints:
            raise ConfigError(
                f"num_joints is {settings.num_joints}, the keypoint set '{keypoint_set.name}' has "
                f"{keypoint_set.num_keypoints}; choose another keypoint_set, or describe your own in a "
                "KeypointSet block"
            )
        for name, pairs in (
            ("flip_perm", settings.flip_perm),
            (f"{settings.architecture}.flip_perm", self.test.flip_perm),
        ):
            if pairs is not None and not keypoint_set.has_flip_pairs(pairs):
                raise ConfigError(f"{name} is not the flip pairs of the keypoint set '{keypoint_set.name}'")

    def _check_sizes(self) -> None:
        """Check that all parts have the same input size and heatmap size."""
        trainsize, hmsize = list(self.settings.trainsize), list(self.settings.hmsize)
        for key, value in (("trainsize", trainsize), ("hmsize", hmsize)):
            if len(value) != 2 or min(value) < 1:
                raise ConfigError(f"{key}: got {value}, expected [width, height]")
        for path, name, block in self._sized_specs():
            for key, wanted in (("trainsize", trainsize), ("hmsize", hmsize)):
                if key in block and list(block[key]) != wanted:
                    raise ConfigError(
                        f"{path}, {name}: {key} is {block[key]}, but the config's {key} is {wanted}"
                    )
        if len(set(self._uses_udp.values())) > 1:
            _logger.warning("the warp is UDP's in some readers only: %s", self._uses_udp)
        for key, size, wanted in (
            ("trainsize", self.codec.input_size, trainsize),
            ("hmsize", self.codec.heatmap_size, hmsize),
        ):
            if list(size) != wanted:
                raise ConfigError(f"the codec is for {key} {list(size)}, but the config's {key} is {wanted}")

    @property
    def _uses_udp(self) -> dict[str, bool]:
        """For each dataset or reader with a component that can warp as UDP: whether it does."""
        return {
            key: block.get("use_udp", False)
            for key, name, block in self._sized_specs()
            if "use_udp" in block_keys(get_entry(name))
        }

    def _sized_specs(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Key, component and arguments of all components that take an image or heatmap size."""
        specs = [(key, self._cfg[key]) for key in _DATASETS if self._cfg.get(key)]
        for key in _READERS:
            specs += [(key, spec) for spec in (self._cfg.get(key) or {}).get("sample_transforms", ())]
        return [(key, *self._read(spec)) for key, spec in specs]

    def _read(self, spec: Any) -> tuple[str, dict[str, Any]]:
        """Name and arguments of a spec; a bare name has its arguments in the config's block of that name."""
        name, block = read_spec(spec) or ("", None)
        return name, (self._cfg.get(name) if block is None else block) or {}
