"""Shared fixtures: where the published reference figures are, and a scratch cache folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def reference() -> Path:
    """Folder with `reference/` and `data/`; tests that need it skip where it is absent."""
    folder = (ROOT / os.environ.get("PPOSE_REFERENCE", "../shared")).resolve()
    if not (folder / "reference").is_dir():
        pytest.skip(f"no reference figures at {folder} (set PPOSE_REFERENCE)")
    return folder


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """Downloads of a test never touch the user's cache."""
    monkeypatch.setenv("PPOSE_HOME", str(tmp_path_factory.mktemp("ppose_home")))


def _write_coco(folder: Path, *, keypoints: int = 17, images: int = 3, seed: int = 0) -> Path:
    """A dataset in COCO's layout, noise for images; in each two people, a crowd and someone unlabelled."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "person"}]}
    for image_id in range(1, images + 1):
        name = f"{image_id:012d}.jpg"
        cv2.imwrite(str(folder / "images" / name), rng.integers(0, 255, (120, 160, 3), dtype=np.uint8))
        content["images"].append({"id": image_id, "file_name": name, "width": 160, "height": 120})
        for person in range(4):
            x, y, w, h = 10 + 60 * (person % 2), 10, 50, 90
            points = np.column_stack([rng.uniform(x, x + w, keypoints), rng.uniform(y, y + h, keypoints)])
            visible = np.full(keypoints, 0 if person == 3 else 2)
            content["annotations"].append(
                {
                    "id": image_id * 10 + person, "image_id": image_id, "category_id": 1,
                    "bbox": [x, y, w, h], "area": w * h * 0.6, "iscrowd": int(person == 2),
                    "num_keypoints": int((visible > 0).sum()),
                    "keypoints": np.column_stack([points, visible]).ravel().tolist(),
                }
            )  # fmt: skip
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def coco_folder(tmp_path) -> Path:
    """A small dataset in COCO's format: 3 images, 6 usable people."""
    return _write_coco(tmp_path / "coco")


@pytest.fixture
def write_coco():
    """Writes a small dataset in COCO's format with any number of keypoints."""
    return _write_coco


@pytest.fixture
def run_script():
    """Run one of the project's scripts from the repository root, as a user would."""

    def _run(*arguments: object, timeout: float = 300) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, timeout=timeout
        )

    return _run
