"""Opens a model the way that was measured to be fastest."""

import logging
from collections.abc import Sequence

from ppose.errors import DeviceError
from ppose.inference.model_folder import ModelFolder
from ppose.inference.pose_spec import PoseSpec
from ppose.inference.runtimes import Hint, Runtime, open_runtime
from ppose.inference.tuning.records import find_choice
from ppose.paths import show_text

_logger = logging.getLogger(__name__)


def open_tuned(
    folder: ModelFolder, hint: Hint, batches: Sequence[int] = ()
) -> tuple[PoseSpec, Runtime, int] | None:
    """As `open_folder` returns; None if there is no record, or it no longer fits or runs."""
    found = find_choice(folder, hint)
    if found is None:
        return None
    export, choice = found
    try:
        opened = open_runtime(
            export,
            choice.runtime,
            precision=choice.precision,
            cpu_threads=choice.threads,
            streams=choice.streams,
            batches=[*batches, choice.batch],
        )
    except DeviceError as error:
        _logger.warning("the choice of `ppose tune` does not run, using the default: %s", error)
        return None
    _logger.info("using the choice of `ppose tune` for %s: %s", hint, show_text(choice.why, 400))
    return export.spec, opened, choice.batch
