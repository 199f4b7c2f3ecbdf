"""Paddle's CPU libraries find their settings, unless the user has others or was quicker."""

import json
import os
import subprocess
import sys
from pathlib import Path

from ppose.processor import is_amd_with_avx2_alone
from ppose.processor_settings import describe_settings

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("KMP_BLOCKTIME", "MKL_DEBUG_CPU_TYPE")


def run(script, **environment):
    """The settings of a fresh process after a script, where the user has set those of ``environment``."""
    own = {key: value for key, value in os.environ.items() if key not in NAMES}
    script += f"; import json, os; print(json.dumps({{name: os.environ.get(name) for name in {NAMES}}}))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env={**own, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_they_are_set_before_paddle_comes():
    settings = run("import ppose")
    assert settings["KMP_BLOCKTIME"] == "1"
    assert settings["MKL_DEBUG_CPU_TYPE"] == ("5" if is_amd_with_avx2_alone() else None)


def test_what_the_user_has_set_stays():
    assert run("import ppose", KMP_BLOCKTIME="200", MKL_DEBUG_CPU_TYPE="4") == {
        "KMP_BLOCKTIME": "200",
        "MKL_DEBUG_CPU_TYPE": "4",
    }


def test_a_paddle_that_is_there_already_has_read_its_own():
    settings = run("import sys, types; sys.modules['paddle'] = types.ModuleType('paddle'); import ppose")
    assert settings == dict.fromkeys(NAMES)


def test_importing_ppose_stays_quick():
    script = """
import sys, ppose
heavy = {"paddle", "numpy", "cv2", "yaml"} & sys.modules.keys()
assert not heavy, heavy
"""
    run(script.strip())


def test_settings_in_words():
    assert describe_settings({"KMP_BLOCKTIME": "0", "MKL_DEBUG_CPU_TYPE": "5"}) == (
        "KMP_BLOCKTIME=0, MKL_DEBUG_CPU_TYPE=5"
    )
    assert describe_settings({}) == "none"


def test_no_runtime_calls_anybody():
    """ONNX Runtime says that it heeds its variable; OpenVINO would look a server up as it is imported."""
    script = """
import ppose, os, socket, sys, threading, time
def look_up(*address, **more):
    print("called", address)
    raise OSError
socket.getaddrinfo = look_up
import openvino
print(os.environ["ORT_DISABLE_TELEMETRY"], "openvino_telemetry.main" in sys.modules)
time.sleep(0.5)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "1 False\n", done.stdout + done.stderr
