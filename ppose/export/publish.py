"""Moves an export to its folder atomically."""

import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from ppose.errors import PposeError
from ppose.files import file_digest, remove_folder
from ppose.inference.model_folder import (
    INFER_CFG,
    MODEL_FILES,
    PADDLE_2_FILES,
    PADDLE_FILES,
    ModelFolder,
    read_model_folder,
    write_infer_cfg,
)
from ppose.interrupts import cleaned, held

_logger = logging.getLogger(__name__)

# Both graphs read these weights in the order of the names that Paddle gave them. The order is the same in
# each command, but not if a process makes several networks.
_WEIGHTS = PADDLE_FILES[1]
_PADDLES_GRAPHS = PADDLE_FILES[0], PADDLE_2_FILES[0]


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder within ``folder``, created if necessary; delete it at the end.

    Raises OSError that names ``folder``, before any work, if it is not writable. If ``folder`` is empty at
    the end, it is deleted too, with its parents created here.
    """
    made = [folder, *(parent for parent in folder.parents if not parent.exists())]
    temporary = folder / f".export-{secrets.token_hex(4)}"

    def clean() -> None:
        remove_folder(temporary)
        with suppress(OSError):  # not empty
            for empty in made:
                empty.rmdir()

    with cleaned(clean):
        try:
            temporary.mkdir(0o700, parents=True)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(folder)) from error
        yield temporary


def publish(temporary: Path, model: ModelFolder) -> ModelFolder:
    """Move the model files of a temporary folder to ``model.path``, `infer_cfg.yml` last; returns the result.

    Fills in ``model.files``. Keeps another format of the same model beside the new one; deletes files of
    another model, and a graph whose weights the new ones replace.
    """
    new = [name for name in MODEL_FILES if (temporary / name).is_file()]
    files = {name: file_digest(temporary / name) for name in new}
    kept = _kept_files(model)
    if kept.get(_WEIGHTS) != files.get(_WEIGHTS, kept.get(_WEIGHTS)):
        for name in kept.keys() & set(_PADDLES_GRAPHS) - set(new):
            _logger.warning("deleting %s, since the order in %s changed; export it again", name, _WEIGHTS)
            del kept[name]
    model = replace(model, files={**kept, **files})
    write_infer_cfg(model, temporary / INFER_CFG)
    for name in new:
        _flush(temporary / name)
    with held():  # so that an interrupt does not mix files of two exports
        for name in (*new, INFER_CFG):
            (temporary / name).replace(model.path / name)
        for name in set(MODEL_FILES) - set(model.files):
            (model.path / name).unlink(missing_ok=True)
    return model


def _kept_files(model: ModelFolder) -> dict[str, str]:
    """The files of an earlier export of the same model by the same versions; none if anything differs."""
    with suppress(PposeError):
        earlier = read_model_folder(model.path)
        if replace(earlier, files=model.files) == model:
            return dict(earlier.files)
    return {}


def _flush(file: Path) -> None:
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())
