"""examples/*.ipynb: all cells run, with small numbers."""

import json
import shlex
import shutil
from pathlib import Path

import matplotlib as mpl
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SMALL = {
    "first_pose": "IMAGES, VAL_IMAGES, EPOCHS = 64, 8, 1",
    "own_keypoints": "IMAGES, EPOCHS = 16, 1",
    "distill_and_quantize": "EPOCHS, CALIBRATION = 1, 8",
}


def read_cells(name):
    content = json.loads((ROOT / "examples" / f"{name}.ipynb").read_text(encoding="utf-8"))
    return [cell for cell in content["cells"] if cell["cell_type"] == "code"]


def to_program(name):
    """The cells as Python: parameters replaced, commands as calls of ``run_command_line``."""
    parts = []
    for cell in read_cells(name):
        text = "".join(cell["source"])
        text = SMALL[name] if cell["metadata"].get("tags") == ["parameters"] else text
        parts += [f"run_command_line(f{x[1:]!r})" if x.startswith("!") else x for x in text.splitlines()]
    return "\n".join(parts) + "\n"


@pytest.mark.parametrize("name", SMALL)
def test_the_notebook_is_clean_and_python(name):
    cells = read_cells(name)
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells)
    compile(to_program(name), name, "exec")
    (parameters,) = [cell for cell in cells if cell["metadata"].get("tags") == ["parameters"]]
    assert "".join(parameters["source"]).split(" = ")[0] == SMALL[name].split(" = ")[0]


def test_there_is_a_test_of_each():
    assert {path.stem for path in (ROOT / "examples").glob("*.ipynb")} == set(SMALL)


@pytest.mark.heavy
def test_the_cells_run(tmp_path, monkeypatch, run_tool, capsys):
    mpl.use("Agg")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "examples").mkdir()
    (tmp_path / "tools").mkdir()
    shutil.copytree(ROOT / "configs", tmp_path / "configs")

    def run_command_line(line):
        python, script, *words = shlex.split(line)
        assert python == "python"
        result = run_tool(ROOT / script, *words, cwd=Path.cwd())
        assert result.returncode == 0, (line, result.stdout, result.stderr)

    said = {}
    for name in SMALL:
        monkeypatch.chdir(tmp_path / "examples")
        exec(compile(to_program(name), name, "exec"), {"run_command_line": run_command_line})
        said[name] = capsys.readouterr().out
    assert "left_hip" in said["first_pose"]
    assert "narrow_int8: 0." in said["distill_and_quantize"]
    assert list((tmp_path / "output" / "arrows" / "vis").glob("*.png"))
