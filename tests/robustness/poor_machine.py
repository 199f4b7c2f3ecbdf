"""Runs real commands without enough descriptors, threads, memory, shared memory, or writable folders."""

import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from robustness.interrupted import ROOT, START, find_leftovers

_SECONDS = 40
_GB = 1 << 30
_CAPABILITIES = ("bounding-set", "inh-caps", "ambient-caps")  # only for reading root's files
KINDS = ("descriptors", "memory", "threads", "shared memory", "read-only home", "read-only output")


def starve(kind: str, arguments: list[str], folder: Path, rng: np.random.Generator) -> tuple[str, list[str]]:
    """Run a command in the new ``folder`` with too little of a resource; return the limit, and the faults."""
    (folder / "out").mkdir(parents=True)
    (folder / "home").mkdir()
    limits: dict[int, int] = {}
    mount, before = "", list[str]()
    what = kind
    if kind == "descriptors":
        limits[resource.RLIMIT_NOFILE] = int(rng.integers(8, 40))  # with fewer, Python cannot import ppose
    elif kind == "memory":
        limits[resource.RLIMIT_AS] = int(rng.uniform(0.3, 5) * _GB)
    elif kind == "threads" and os.geteuid() == 0 and shutil.which("setpriv"):  # as a user with a low limit
        count = int(rng.integers(1, 25))
        user = ["--reuid", str(20_000 + count), *(f"--{of}=-all,+dac_override" for of in _CAPABILITIES)]
        before = ["setpriv", *user, "prlimit", f"--nproc={count}:{count}"]
        what = f"{count} threads"
    elif kind == "threads":  # too little address space for their stacks
        limits[resource.RLIMIT_STACK] = _GB
        limits[resource.RLIMIT_AS] = int(rng.uniform(4, 8) * _GB)
    elif kind == "shared memory":
        mount = f"mount -t tmpfs -o size={int(rng.integers(1, 64)) * 4}k none /dev/shm && "
    else:
        place = folder / kind.rpartition("-only ")[2].replace("output", "out")
        mount = f"mount -t tmpfs -o ro none '{place}' && "
    if limits:
        what = f"{kind} {list(limits.values())}"

    def limit() -> None:
        for number, value in limits.items():
            resource.setrlimit(number, (value, value))

    command = [sys.executable, "-c", START, *[text.replace("OUT", str(folder / "out")) for text in arguments]]
    command = [*before, *command]
    if mount:
        command = ["unshare", "-m", "sh", "-c", f'{mount} exec "$@"', "sh", *command]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PPOSE_HOME": str(folder / "home" / "ppose")}
    environment["HOME"] = str(folder / "home")
    begin = time.monotonic()
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_SECONDS, cwd=folder,
            env=environment, preexec_fn=limit, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return what, [f"{arguments[0]}: hangs"]
    faults = list(_find_faults(done.returncode, done.stderr))
    faults += find_leftovers(folder / "out")
    said = done.stderr.strip().splitlines()[-3:]
    seconds = time.monotonic() - begin
    return f"{what} -> {done.returncode} in {seconds:.1f} s", [f"{fault} ({said})" for fault in faults]


def _find_faults(code: int, errors: str) -> Iterator[str]:
    if code not in (0, 1, 2):
        yield f"exit code {code}"
    if "Traceback" in errors:
        yield "a traceback"
    count = sum(line.startswith("error: ") for line in errors.splitlines())
    if count != (code != 0):
        yield f"{count} errors"
