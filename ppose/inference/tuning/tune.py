"""Measures how a model runs fastest here, for one person and for many, and keeps the result."""

import logging
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from ppose.errors import DeviceError
from ppose.files import check_writable
from ppose.inference.model_folder import ModelFolder
from ppose.inference.paddle_pose import read_export
from ppose.inference.runtimes import Hint
from ppose.inference.tuning.agreement import Found, Sample, take_sample
from ppose.inference.tuning.candidates import list_exports, list_pairs
from ppose.inference.tuning.contest import Contest, list_faster
from ppose.inference.tuning.processes import Processes
from ppose.inference.tuning.records import Choice, has_record, tuned_folder, write_record
from ppose.inference.tuning.settings import Settings, default_batch
from ppose.paths import show_name
from ppose.processor import own_cores
from ppose.weights.download import locked

_logger = logging.getLogger(__name__)

# The largest loss against the float export: of AP if people are labelled, else of the OKS with its poses.
MAX_AP_LOSS, MAX_OKS_LOSS = 0.01, 0.03
_SECONDS, _FOR_LATENCY = 60.0, 0.4  # the budget, and its share for one person
_SLOW = 2.5  # ratio to the fastest for one person above which a pair is not tried for many
_COMPARING = 3.0  # seconds; as many people are compared as the default settings find in them
_FEWEST, _MOST = 32, 200  # people compared
_PATIENCE = 60.0  # most seconds to find them


@dataclass(frozen=True)
class Tuning:
    """The measurements, and the resulting choice.

    ``contests``, ``chosen`` settings and ``why`` are by hint. ``losses`` are the checked ones, of AP
    (``in_ap``) or OKS, by export, runtime and precision. ``missing`` says what was not tried, a line each;
    ``file`` holds the choice.
    """

    contests: dict[Hint, Contest]
    chosen: dict[Hint, Settings]
    why: dict[Hint, str]
    losses: dict[tuple[Path, str, str], float]
    in_ap: bool
    missing: list[str]
    file: Path


def tune(
    model_dir: str | Path,
    images: Sequence[str | Path] = (),
    boxes: str | Path | None = None,
    *,
    max_loss: float | None = None,
    seconds: float = _SECONDS,
) -> Tuning:
    """Measure how an exported model runs fastest on this machine, and keep it for `runtime="auto"`.

    It tries the export, and float and int8 exports of the same weights beside it, in all installed runtimes
    and precisions, with different numbers of threads, and for many people of streams and batches. ``images``
    with ``boxes`` (a file as for `ppose predict`; None: each is one person) test the accuracy: settings that
    lose more than ``max_loss`` against the float export are rejected. The default is 0.01 of AP if boxes are
    annotations with keypoints, else 0.03 of the OKS with its poses. Without images only fp32 is chosen, or
    int8 for an int8 export. It takes about ``seconds``, after waiting for any other process that measures.
    Raises DataError and ConfigError as `Predictor.from_dir` does, DeviceError if nothing runs, OSError if the
    result cannot be written.
    """
    folder = read_export(model_dir)
    check_writable(tuned_folder() / "record")
    with _alone():
        return _tune(folder, [Path(image) for image in images], boxes, max_loss, seconds)


def measure_once(folder: ModelFolder) -> None:
    """`tune` without images, unless there is a valid record, or none can be written."""
    if has_record(folder):
        return
    try:
        with _alone():
            if not has_record(folder):  # another process may have measured meanwhile
                _logger.info("measuring what runs %s fastest (once)", show_name(folder.path))
                _tune(folder, [], None, None, _SECONDS)
    except (ImportError, OSError) as error:
        _logger.warning("not measuring what runs fastest, since the result cannot be written: %s", error)


def _alone() -> AbstractContextManager[None]:
    """A lock, so that two processes do not measure at once and disturb each other."""
    return locked(tuned_folder() / "measuring", "measures runtimes")


def _tune(
    folder: ModelFolder,
    files: Sequence[Path],
    boxes: str | Path | None,
    max_loss: float | None,
    seconds: float,
) -> Tuning:
    pairs, missing = list_pairs(list_exports(folder), own_cores())
    if not pairs:
        raise DeviceError(f"nothing runs {show_name(folder.path)}: {'; '.join(missing)}")
    if files:  # a file of boxes that cannot be used is an error before a minute's work
        take_sample(files, boxes, folder.spec.keypoint_set, _FEWEST)
    with Processes() as bench:
        contests, left = _search(bench, pairs, seconds)
        judge = _Judge(bench, pairs, _take(folder, files, boxes, contests["latency"]), max_loss)
        chosen, why = {}, {}
        for hint, contest in contests.items():
            chosen[hint], why[hint] = _choose(contest, left[hint], judge)
    choices = {hint: _to_choice(folder, hint, settings, why[hint]) for hint, settings in chosen.items()}
    file = write_record(folder, choices)
    missing += _list_problems(contests)
    return Tuning(contests, chosen, why, judge.losses, judge.in_ap, missing, file)


def _search(
    bench: Processes, pairs: Sequence[Settings], seconds: float
) -> tuple[dict[Hint, Contest], dict[Hint, list[Settings]]]:
    latency = Contest(bench, time.perf_counter, _FOR_LATENCY * seconds)
    left: dict[Hint, list[Settings]] = {"latency": latency.search(pairs)}
    if not left["latency"]:
        raise DeviceError(f"nothing runs: {'; '.join(latency.problems.values())}")
    limit = _SLOW * latency.ratio(left["latency"][0])
    running = [pair for pair in pairs if latency.seconds.get(pair)]
    able = [pair for pair in running if pair == latency.base or latency.ratio(pair) <= limit]
    throughput = Contest(bench, time.perf_counter, (1 - _FOR_LATENCY) * seconds, many=True)
    left["throughput"] = throughput.search(able)
    if not left["throughput"]:
        raise DeviceError(f"nothing runs for many people: {'; '.join(throughput.problems.values())}")
    return {"latency": latency, "throughput": throughput}, left


def _take(
    folder: ModelFolder, files: Sequence[Path], boxes: str | Path | None, latency: Contest
) -> Sample | None:
    if not files:
        return None
    most = _COMPARING / min(latency.seconds[latency.base].values())
    return take_sample(files, boxes, folder.spec.keypoint_set, int(min(max(most, _FEWEST), _MOST)))


@dataclass
class _Judge:
    """Decides whether settings are exact enough."""

    bench: Processes
    pairs: Sequence[Settings]
    sample: Sample | None
    max_loss: float | None
    losses: dict[tuple[Path, str, str], float] = field(default_factory=dict)
    unknown: dict[tuple[Path, str, str], str] = field(default_factory=dict)
    in_ap: bool = False
    _exact: Found | None = None

    @property
    def limit(self) -> float:
        """The largest allowed loss."""
        if self.max_loss is not None:
            return self.max_loss
        return MAX_AP_LOSS if self.in_ap else MAX_OKS_LOSS

    def allows(self, settings: Settings) -> bool:
        """Whether these settings may be chosen."""
        if settings.is_exact:
            return True
        reference = next((pair for pair in self.pairs if pair.is_exact), None)
        if self.sample is None or reference is None:
            return settings.computes == self.pairs[0].computes
        key = key_of(settings)
        if key not in self.losses and key not in self.unknown:
            try:
                self.losses[key] = self._find_loss(settings, reference, self.sample)
            except DeviceError as error:  # such as an ended process
                self.unknown[key] = f"its exactness is unknown: {error}"
        return key in self.losses and self.losses[key] <= self.limit

    def _find_loss(self, settings: Settings, reference: Settings, sample: Sample) -> float:
        if self._exact is None:
            self._exact = self._find(reference, sample)
        found = self._find(settings, sample)
        exact_ap, ap = sample.find_ap(self._exact), sample.find_ap(found)
        if exact_ap is not None and ap is not None and exact_ap > 0:
            self.in_ap = True
            return exact_ap - ap
        return 1 - sample.find_oks(found, self._exact)

    def _find(self, settings: Settings, sample: Sample) -> Found:
        # Open them again: a contest may have closed them, or their process may have ended.
        self.bench.open(settings)
        return self.bench.find(settings, sample.scenes, _PATIENCE)


def key_of(settings: Settings) -> tuple[Path, str, str]:
    """The settings that determine a model's accuracy."""
    return settings.path, settings.runtime, settings.precision


def _choose(contest: Contest, left: Sequence[Settings], judge: _Judge) -> tuple[Settings, str]:
    """The fastest settings that are exact enough, and why."""
    faster = list_faster(contest, left)
    others = sorted(contest.seconds, key=contest.ratio)
    passed: list[Settings] = []
    for settings in dict.fromkeys([*faster, *others]):
        if contest.seconds[settings] and judge.allows(settings):
            return settings, _explain(contest, settings, passed, judge)
        passed.append(settings)
    raise DeviceError("nothing that runs is exact enough")


def _explain(contest: Contest, chosen: Settings, passed: Sequence[Settings], judge: _Judge) -> str:
    if chosen == contest.base:
        why = "the default: nothing" + (" else" if passed else "")
        why += " that is exact enough" if passed else ""
        why += " is clearly faster"
    else:
        why = f"{contest.ratio(chosen):.2f} of the time of {contest.base.describe()}"
    if (loss := judge.losses.get(key_of(chosen))) is not None:
        why += f"; {_describe_loss(loss, judge)}"
    if passed and passed[0] != contest.base:
        best = passed[0]
        why += f"; {best.describe()} takes {contest.ratio(best):.2f}, but "
        if (loss := judge.losses.get(key_of(best))) is not None:
            why += f"{_describe_loss(loss, judge)}, more than {judge.limit:g}"
        else:
            why += judge.unknown.get(key_of(best), "its exactness was not tested (--image_dir)")
    return why


def _describe_loss(loss: float, judge: _Judge) -> str:
    return f"{loss:.4f} of AP lost" if judge.in_ap else f"OKS {1 - loss:.3f} with the float export's poses"


def _to_choice(folder: ModelFolder, hint: Hint, settings: Settings, why: str) -> Choice:
    is_own = settings.path == folder.path
    export = folder if is_own else read_export(settings.path)
    return Choice(
        export="" if is_own else settings.path.name,
        files=export.files,
        runtime=settings.runtime,
        precision=settings.precision,
        threads=settings.threads,
        streams=settings.streams,
        # For one image, batch sizes were not measured.
        batch=settings.batch if hint == "throughput" else default_batch(1, export.spec.input_size),
        why=f"{settings.describe()}: {why}",
    )


def _list_problems(contests: dict[Hint, Contest]) -> list[str]:
    lines: list[str] = []
    for hint, contest in contests.items():
        lines += contest.problems.values()
        if contest.unopened:
            lines.append(f"{hint}: no time for {len(contest.unopened)} more: allow more by --seconds")
    return list(dict.fromkeys(lines))
