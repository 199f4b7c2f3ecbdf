"""What a config asks for, as objects; of all code that runs networks, this and train.py read configs."""

import logging
from functools import cached_property
from typing import Any

from paddle import nn

from ppose.codecs import MSRAHeatmap, UDPHeatmap
from ppose.data import Reader
from ppose.errors import ConfigError
from ppose.inference.pose_spec import PoseSpec
from ppose.keypoints import BUILTIN_SETS, KeypointSet, get_keypoint_set
from ppose.quantization.qat import QuantizationAwareTraining
from ppose.transforms import NormalizeImage
from ppose.workspace import create, create_settings, run_settings
from ppose.workspace.spec import read_spec

_logger = logging.getLogger(__name__)

# Of every network here: from the input to the heatmaps, and to the deepest feature map.
_STRIDE, _INPUT_MULTIPLE = 4, 32
_SET_OF_METRIC = {
    ("KeyPointTopDownCOCOEval", 17): "coco17",
    ("KeyPointTopDownMPIIEval", 16): "mpii16",
}
_DATASETS = ("TrainDataset", "EvalDataset", "TestDataset")
_READERS = ("TrainReader", "EvalReader", "TestReader")
_TARGETS = ("ToHeatmapsTopDown", "ToHeatmapsTopDown_DARK", "ToHeatmapsTopDown_UDP")
_AFFINES = ("TopDownAffine", "TopDownEvalAffine")


class Task:
    """A checked config's network, codec, keypoint set and readers; ConfigError where parts disagree."""

    def __init__(self, cfg: dict[str, Any]) -> None:
        self._cfg = cfg
        self.settings = run_settings(cfg)
        if self.settings.worker_num < 0:
            raise ConfigError(f"worker_num is {self.settings.worker_num}, expected 0 or more")
        self.test = create_settings(self.settings.architecture, cfg)
        self._check_sizes()
        self._check_keypoints()

    @cached_property
    def keypoint_set(self) -> KeypointSet:
        """The config's `KeypointSet` block, its `keypoint_set`, or the set of its metric."""
        settings = self.settings
        if "KeypointSet" in self._cfg:
            return create("KeypointSet", self._cfg)
        name = settings.keypoint_set or _SET_OF_METRIC.get((settings.metric, settings.num_joints))
        if name is None:
            raise ConfigError(
                f"which {settings.num_joints} keypoints? Set keypoint_set to one of "
                f"{', '.join(BUILTIN_SETS)}, or describe your own in a KeypointSet block"
            )
        return get_keypoint_set(name)

    @cached_property
    def codec(self) -> MSRAHeatmap | UDPHeatmap:
        """The codec that encodes the training targets; a config without training has plain heatmaps."""
        for key, name, block in self._sized_specs():
            if key == "TrainReader" and name in _TARGETS:
                return create({name: block}, self._cfg, **self._given).codec
        size, heatmap_size = tuple(self.settings.trainsize), tuple(self.settings.hmsize)
        return MSRAHeatmap(size, heatmap_size, use_dark=self.test.use_dark)

    @property
    def shifts_heatmap(self) -> bool:
        """Whether the flip test moves the mirrored heatmaps by a pixel: mirrored pixels meet in UDP only."""
        asked = self.test.shift_heatmap
        return not isinstance(self.codec, UDPHeatmap) if asked is None else asked

    def model(self) -> nn.Layer:
        """The network, freshly initialised, in float."""
        return create(self.settings.architecture, self._cfg)

    @cached_property
    def quantization(self) -> QuantizationAwareTraining | None:
        """What `slim: QAT` does to the network; None without it."""
        return None if self.settings.slim is None else create("QAT", self._cfg)

    def dataset(self, key: str, **given: Any) -> Any:
        """The dataset of `TrainDataset`, `EvalDataset` or `TestDataset`."""
        spec = self._cfg.get(key)
        if spec is None:
            raise ConfigError(f"the config has no {key}")
        return create(spec, self._cfg, **self._given, **given)

    def reader(self, key: str) -> Reader:
        """The reader of `TrainReader`, `EvalReader` or `TestReader`."""
        if key not in self._cfg:
            raise ConfigError(f"the config has no {key}")
        reader = create(key, self._cfg, **self._given)
        if key != "TrainReader" and (reader.shuffle or reader.drop_last):
            raise ConfigError(
                f"{key}: shuffle and drop_last are for training; here everybody counts, in order"
            )
        return reader

    def pose_spec(self, key: str = "TestReader", *, flip: bool | None = None) -> PoseSpec:
        """What stands between an image with a box and keypoints, by a reader's transforms.

        ``flip``: with the flip test, None as the config says. Images come as pixels: `Decode` is left out.
        """
        self.reader(key)  # raises where there is none
        sample, batch = (self._transforms(key, kind) for kind in ("sample_transforms", "batch_transforms"))
        return PoseSpec(
            input_size=self.codec.input_size,
            flip_test=self.test.flip if flip is None else flip,
            keypoint_set=self.keypoint_set,
            codec=self.codec,
            sample_transforms=[spec for spec in sample if "Decode" not in spec],
            batch_transforms=batch,
            source=key,
        )

    def _transforms(self, key: str, kind: str) -> list[dict[str, Any]]:
        """The specs of a reader's sample or batch transforms, each as {name: arguments}."""
        specs = map(read_spec, self._cfg[key].get(kind) or ())
        return [{name: dict(self._arguments(name, given))} for name, given in specs]

    def normalization(self, key: str) -> NormalizeImage | None:
        """The `NormalizeImage` of a reader, of its samples or its batches; None without one."""
        reader = self.reader(key)
        transforms = (*reader.sample_transforms, *reader.batch_transforms)
        return next((step for step in transforms if isinstance(step, NormalizeImage)), None)

    @property
    def _given(self) -> dict[str, Any]:
        return {
            "keypoint_set": self.keypoint_set,
            "trainsize": self.settings.trainsize,
            "use_dark": self.test.use_dark,
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
        """One input size and one heatmap size throughout."""
        trainsize, hmsize = list(self.settings.trainsize), list(self.settings.hmsize)
        for key, value in (("trainsize", trainsize), ("hmsize", hmsize)):
            if len(value) != 2 or min(value) < 1:
                raise ConfigError(f"{key}: got {value}, expected [width, height]")
        if any(side % _INPUT_MULTIPLE for side in trainsize) or hmsize != [s // _STRIDE for s in trainsize]:
            raise ConfigError(
                f"trainsize is {trainsize} and hmsize {hmsize}; expected multiples of {_INPUT_MULTIPLE}, "
                "and for hmsize a quarter of them"
            )
        uses_udp = {}
        for path, name, block in self._sized_specs():
            for key, wanted in (("trainsize", trainsize), ("hmsize", hmsize)):
                if key in block and list(block[key]) != wanted:
                    raise ConfigError(
                        f"{path}, {name}: {key} is {block[key]}, but the config's {key} is {wanted}"
                    )
            if name in _AFFINES:
                uses_udp[path] = block.get("use_udp", False)
        if len(set(uses_udp.values())) > 1:
            _logger.warning("the warp is UDP's in some readers only: %s", uses_udp)

    def _sized_specs(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Key, component and arguments of everything that takes an image or heatmap size."""
        specs = [(key, self._cfg[key]) for key in _DATASETS if self._cfg.get(key)]
        for key in _READERS:
            specs += [(key, spec) for spec in (self._cfg.get(key) or {}).get("sample_transforms", ())]
        named = [(key, *read_spec(spec)) for key, spec in specs]
        return [(key, name, self._arguments(name, block)) for key, name, block in named]

    def _arguments(self, name: str, block: dict[str, Any] | None) -> dict[str, Any]:
        """Those that stand in a spec; a bare name has its own in the config's block of that name."""
        return (self._cfg.get(name) if block is None else block) or {}
