"""Loggers of runs: what they get, and what TensorBoard and Weights & Biases have of it."""

import json
import sys

import numpy as np
import pytest

from ppose.engine import loggers
from ppose.engine.hooks.run import METRICS_FILE
from ppose.engine.hooks.show_run import ShowRun
from ppose.engine.loggers import RunLogger
from ppose.engine.task import Task
from ppose.errors import ConfigError
from ppose.files import write_bytes
from ppose.visualize import encode_picture
from ppose.workspace import create, load_config, register, registry

CONFIG = "tinypose_128x96"


class ToldOf:
    """A logger that keeps what it gets."""

    def __init__(self):
        self.calls = []

    def begin(self, run, config):
        self.calls.append(("begin", run, config))

    def add_scalars(self, values, step):
        self.calls.append((step, *values))

    def add_picture(self, name, picture, step):
        self.calls.append((step, name, picture.shape))

    def flush(self):
        self.calls.append("flush")

    def close(self):
        self.calls.append("close")


class Progress:
    """Of a trainer, what the hook asks for."""

    steps_per_epoch = 2


def record(folder, **values):
    with (folder / METRICS_FILE).open("a") as file:
        file.write(json.dumps(values) + "\n")


def step(folder, number):
    record(folder, epoch=(number + 1) // 2, step=number, loss=1.0, lr=0.1, data_time=1.0, step_time=4.0)


def draw(folder, epoch):
    picture = np.full((4, 6, 3), epoch, np.uint8)
    write_bytes(folder / "vis" / f"epoch_{epoch:03d}.png", encode_picture(picture, ".png"))


STEP = ("train/loss", "train/lr", "train/data_time", "train/step_time", "train/data_share")


def test_a_logger_gets_everything_in_order(tmp_path):
    logger = ToldOf()
    hook = ShowRun(tmp_path, [logger], {"epoch": 2})
    for number in (1, 2):  # kept by a run that is resumed
        step(tmp_path, number)
    record(tmp_path, epoch=1, step=2, AP=0.5, APl=-1.0)
    draw(tmp_path, 1)
    step(tmp_path, 3)
    hook.before_train(Progress)
    step(tmp_path, 4)
    hook.after_step(Progress)
    draw(tmp_path, 2)
    record(tmp_path, epoch=2, step=4, AP=0.6)
    hook.after_epoch(Progress)
    hook.after_train(Progress)
    picture = ("train/samples", (4, 6, 3))
    assert logger.calls == [
        ("begin", tmp_path.name, {"epoch": 2}),
        (1, *STEP), (2, *STEP), (2, "eval/AP"), (2, *picture), (3, *STEP),
        (4, *STEP), (4, "eval/AP"), (4, *picture), "flush", "close",
    ]  # fmt: skip


def run(folder, logger, epochs):
    """Train and show the epochs, in one process."""
    hook = ShowRun(folder, [logger], load_config(CONFIG))
    hook.before_train(Progress)
    for epoch in epochs:
        for number in (2 * epoch - 1, 2 * epoch):
            step(folder, number)
            hook.after_step(Progress)
        draw(folder, epoch)
        record(folder, epoch=epoch, step=2 * epoch, AP=0.25 * epoch)
        hook.after_epoch(Progress)
    hook.after_train(Progress)


def test_tensorboard_has_each_value_once_also_of_a_resumed_run(tmp_path):
    pytest.importorskip("tensorboardX", reason="requirements-loggers.txt")
    from tensorboardX.proto.event_pb2 import Event

    (tmp_path / METRICS_FILE).touch()
    log_dir = tmp_path / "board"
    for epochs in ([1], [2]):
        run(tmp_path, create({"TensorBoardLog": {"log_dir": str(log_dir)}}, {}, run="run"), epochs)
    (file,) = log_dir.iterdir()
    data, events = file.read_bytes(), []
    while data:  # length, its checksum, the event, its checksum
        length = int.from_bytes(data[:8], "little")
        events.append(Event.FromString(data[12 : 12 + length]))
        data = data[16 + length :]
    values = [(e.step, v.tag, v.simple_value) for e in events for v in e.summary.value]
    assert [v for v in values if v[1] == "eval/AP"] == [(2, "eval/AP", 0.25), (4, "eval/AP", 0.5)]
    assert [s for s, tag, _ in values if tag == "train/loss"] == [1, 2, 3, 4]
    assert [s for s, tag, _ in values if tag == "train/samples"] == [2, 4]


@pytest.mark.heavy
def test_wandb_offline_writes_to_its_folder_alone(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="requirements-loggers.txt")
    monkeypatch.chdir(tmp_path)
    (tmp_path / METRICS_FILE).touch()
    run(tmp_path, create({"WandbLog": {"log_dir": str(tmp_path / "log")}}, {}), [1, 2])
    (file,) = (tmp_path / "log").rglob("run-*.wandb")
    data = file.read_bytes()
    for word in (b"train/loss", b"eval/AP", b"LiteHRNet"):
        assert word in data
    assert len(list((tmp_path / "log").rglob("*.png"))) == 2


def test_nothing_is_imported_unless_asked_for(run_script):
    script = """
import sys, ppose.engine.train
heavy = {"visualdl", "tensorboardX", "tensorboard", "wandb"} & sys.modules.keys()
assert not heavy, heavy
"""
    result = run_script("-c", script)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(("name", "package"), [("TensorBoardLog", "tensorboardX"), ("WandbLog", "wandb")])
def test_what_is_not_installed_is_an_error(monkeypatch, name, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=f"{name} needs {package}, .*pip install {package}"):
        create({name: {}}, {}, run="run")


def test_a_config_asks_for_loggers_also_for_those_of_a_plug_in(monkeypatch):
    registry.registered_names()  # all that is ours is there before what goes again
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))

    @register(RunLogger)
    class KeepsName:
        def __init__(self, place: str) -> None:
            self.place = place

    cfg = load_config(CONFIG, ["loggers=[{type: KeepsName, place: here}]", "use_vdl=true", "vdl_log_dir=own"])
    visual_dl, own = Task(cfg).loggers("run")
    assert isinstance(visual_dl, loggers.VisualDLLog)
    assert str(visual_dl._log_dir) == "own"
    assert own.place == "here"
    with pytest.raises(ConfigError, match="which is no run logger"):
        load_config(CONFIG, ["loggers=[{type: KeyPointMSELoss}]"])
