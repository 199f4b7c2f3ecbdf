"""Records what is needed to repeat a training run."""

import logging
import platform
import shlex
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import paddle
import yaml

from ppose.engine.distill import TeacherSetup
from ppose.engine.distributed.ranks import rank_count
from ppose.engine.settings import RunSettings, run_settings
from ppose.engine.state import STATE_FILE
from ppose.files import write_bytes, write_json
from ppose.paths import hide_secrets
from ppose.processor_settings import settings_in_force
from ppose.version import VERSION
from ppose.workspace.registry import find_entry

_logger = logging.getLogger(__name__)


def record_run(
    folder: Path,
    cfg: dict[str, Any],
    *,
    seed: int,
    arguments: Sequence[str],
    resumes: bool,
    teacher: TeacherSetup | None = None,
) -> None:
    """Write what is needed to repeat a run: `config.yml` and a `teacher.yml` as resolved, and `run.json`."""
    if not resumes and (folder / STATE_FILE).exists():
        _logger.warning("overwriting the earlier run in %s (--resume would continue it)", folder)
    write_bytes(folder / "config.yml", hide_secrets(dump_config(cfg)).encode())
    (folder / "teacher.yml").unlink(missing_ok=True)
    if teacher is not None:
        write_bytes(folder / "teacher.yml", hide_secrets(dump_config(teacher.cfg)).encode())
    run = {
        "command": shlex.join(map(hide_secrets, arguments)),
        "seed": seed,
        "measure": run_settings(cfg).headline[0],
        "started": time.strftime("%Y-%m-%d %H:%M:%S%z"),
        "device": paddle.device.get_device(),
        "ranks": rank_count(),
        "processor_settings": settings_in_force(),
        "ppose": VERSION,
        "paddle": paddle.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    write_json(folder / "run.json", run, indent=1)


def dump_config(cfg: dict[str, Any]) -> str:
    """A checked config as self-contained YAML: nothing inherited, no anchors.

    Top-level values that only served as anchors are omitted, since no component knows them.
    """
    known = {setting.name for setting in fields(RunSettings)}
    blocks = {key: value for key, value in cfg.items() if key in known or find_entry(key) is not None}
    return yaml.dump(blocks, Dumper=_PlainDumper, sort_keys=False, default_flow_style=None, width=110)


class _PlainDumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        """Write out a value wherever it occurs."""
        return True
