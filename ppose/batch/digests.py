"""Digests by which a run recognizes the job of an earlier run."""

import hashlib
import json
from pathlib import Path
from typing import Any

from ppose.files import file_digest
from ppose.inference.model_folder import INFER_CFG
from ppose.inference.paddle_pose import read_export


def digest(value: Any) -> str:
    """Return the SHA-256 digest of a value's JSON form."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def digest_models(model_dir: str | Path, detector_dir: str | Path | None) -> str:
    """Return the digest of the exported model, its settings and the detector; raises as `read_export`."""
    folder = read_export(model_dir)
    settings = Path(model_dir) / INFER_CFG
    files = {**folder.files, INFER_CFG: file_digest(settings) if settings.is_file() else ""}
    of_detector: dict[str, str] = {}
    if detector_dir is not None:
        of_detector = {
            file.name: file_digest(file) for file in sorted(Path(detector_dir).iterdir()) if file.is_file()
        }
    return digest([files, of_detector])
