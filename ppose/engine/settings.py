"""The top-level keys of a config that are no component's block."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from ppose.codecs import Codec
from ppose.data import Dataset, ImageFolder
from ppose.distillation.losses import DistillationLoss
from ppose.engine.loggers import RunLogger
from ppose.metrics import Metric
from ppose.models import Network
from ppose.transforms import ChannelOrder
from ppose.workspace import register
from ppose.workspace.registry import CONFIG, get_entry


@register(names=(CONFIG,))
@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Top-level keys, their types and defaults.

    ``trainsize`` and ``hmsize`` are (width, height) of the network's input and of its heatmaps. ``use_gpu``
    None: a GPU if Paddle finds one. ``keypoint_set`` names a built-in set; without it and without a
    `KeypointSet` block, ``num_joints`` and ``metric`` determine the set. ``codec`` encodes targets and
    decodes heatmaps; without it, that of the readers' `ToHeatmapsTopDown` or its variants applies.
    ``channel_order`` is that of the network's input, and of the numbers of `NormalizeImage`.

    Training saves and evaluates every ``snapshot_epoch`` epochs and keeps the newest ``keep_snapshots``; it
    stops early after ``patience`` epochs without a better AP, or other first number of the metric. A step is
    ``accumulate`` batches. ``use_ema`` evaluates and saves a moving average of the weights. ``sync_bn``
    computes batch norms over the batches of all processes. ``base_batch_size`` is the number of images per
    step, over all processes, that the learning rate is meant for. ``use_vdl`` logs for VisualDL to
    ``vdl_log_dir``, by default `log/<config>` in the current folder; ``loggers`` are further loggers.

    ``memory_mb`` is the memory, in MiB, that `TrainReader.batch_size: auto` may fill: of the GPU, by default
    nine tenths, or of the process on the CPU.

    ``slim`` QAT trains for int8, as the `QAT` block says. ``distill_loss`` are the losses between student and
    teacher, in the teacher's config. A teacher's parameters are always frozen: ``freeze_parameters`` is only
    accepted because published configs have it.
    """

    architecture: Annotated[str, Network]
    num_joints: int
    trainsize: Sequence[int]
    hmsize: Sequence[int]
    flip_perm: Sequence[Sequence[int]] | None = None
    keypoint_set: str | None = None
    codec: Annotated[object, Codec] | None = None
    channel_order: ChannelOrder = "rgb"
    metric: Annotated[str, Metric] = "KeyPointTopDownCOCOEval"
    weights: str | None = None
    pretrain_weights: str | None = None
    slim: Literal["QAT"] | None = None
    use_gpu: bool | None = None
    save_dir: str = "output"
    worker_num: int = 2
    epoch: int = 210
    snapshot_epoch: int = 10
    log_iter: int = 20
    keep_snapshots: int = 3
    accumulate: int = 1
    base_batch_size: int | None = None
    memory_mb: int | None = None
    sync_bn: bool = False
    use_ema: bool = False
    ema_decay: float = 0.9998
    patience: int | None = None
    use_vdl: bool = False
    vdl_log_dir: str | None = None
    loggers: Sequence[Annotated[object, RunLogger]] = ()
    freeze_parameters: bool = True
    distill_loss: Sequence[Annotated[object, DistillationLoss]] = ()
    TrainDataset: Annotated[object, Dataset] | None = None
    EvalDataset: Annotated[object, Dataset] | None = None
    TestDataset: Annotated[object, ImageFolder] | None = None

    @property
    def headline(self) -> tuple[str, ...]:
        """The numbers of the metric that a log shows; the first compares networks."""
        metric: Any = get_entry(self.metric).target
        return metric.headline


def run_settings(cfg: dict[str, Any]) -> RunSettings:
    """The top-level settings of a checked config."""
    return RunSettings(**{f.name: cfg[f.name] for f in fields(RunSettings) if f.name in cfg})
