"""What tests of whole runs share: their data, an early end, and what a user sees of an error."""

from ppose.engine.hooks.curves import DrawCurves
from ppose.engine.hooks.samples import DrawSamples
from ppose.engine.hooks.show_run import ShowRun
from ppose.engine.trainer import Hook


def data_overrides(folder, keys=("TrainDataset", "EvalDataset")):
    """Overrides that put the dataset in ``folder`` (see `coco_folder`) in these places of a config."""
    data = {"dataset_dir": folder, "image_dir": "images", "anno_path": "annotations.json"}
    return [f"{key}.{name}={value}" for key in keys for name, value in data.items()]


def without_pictures(trainer):
    """A trainer that draws nothing, which takes a small run longer than its steps."""
    pictures = DrawCurves | DrawSamples | ShowRun
    trainer.hooks = [hook for hook in trainer.hooks if not isinstance(hook, pictures)]
    return trainer


class StopAt(Hook):
    """Interrupts a training after a step."""

    def __init__(self, step):
        self._step = step

    def after_step(self, trainer):
        if trainer.step == self._step:
            trainer.stop(interrupted=True)


def assert_one_line(result, *expected):
    """A script that was run has failed with one error in one line, in which the words are."""
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.stderr
    for words in expected:
        assert words in lines[0]
