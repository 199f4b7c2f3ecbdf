"""docs/architecture.md draws what is checked."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def test_the_page_draws_the_layers_that_the_linter_checks():
    tomllib = pytest.importorskip("tomllib", reason="Python 3.11 has it")
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    checked = next(c["layers"] for c in settings["contracts"] if c["type"] == "layers")
    (drawn,) = re.findall(r"```layers\n(.*?)```", (ROOT / "docs" / "architecture.md").read_text(), re.DOTALL)
    assert drawn.splitlines() == [layer.replace("ppose.", "") for layer in checked]


def test_every_module_has_a_layer_or_is_the_package():
    text = (ROOT / "pyproject.toml").read_text()
    for path in (ROOT / "ppose").iterdir():
        if (path.suffix == ".py" or (path / "__init__.py").is_file()) and path.stem != "__init__":
            assert f"ppose.{path.stem}" in text, path
