"""The features of the processor, as the system reports them."""

import threading
from types import SimpleNamespace

import pytest

from ppose import processor
from ppose.errors import DeviceError


@pytest.fixture
def pretend(monkeypatch):
    """Make the processor one of this machine and these flags."""

    def set_flags(machine, flags, vendor="generic"):
        monkeypatch.setattr(processor.platform, "machine", lambda: machine)
        detected = SimpleNamespace(features=set(flags.split()), vendor=vendor)
        monkeypatch.setattr(processor, "detected_info", lambda: detected)
        forget()

    def forget():
        processor._detect.cache_clear()
        processor.processor_flags.cache_clear()

    yield set_flags
    forget()


def test_bf16(pretend):
    for flags in ("fpu avx512_bf16 avx2", "amx_bf16", "asimd bf16"):
        pretend("x86_64", flags)
        processor.check_bf16()
    pretend("x86_64", "fpu avx2")
    with pytest.raises(DeviceError, match="no bfloat16"):
        processor.check_bf16()


@pytest.mark.parametrize(
    ("machine", "flags", "expected"),
    [
        ("x86_64", "avx2 fma", True),
        ("x86_64", "avx2 avx512f avx512bw", True),
        ("AMD64", "avx2", True),
        ("x86_64", "", True),  # who does not tell may saturate
        ("x86_64", "avx2 avx_vnni", False),
        ("AMD64", "avx512f avx512_vnni", False),
        ("x86_64", "avx512f avx512vnni", False),  # as macOS writes it
        ("aarch64", "asimd", False),
        ("arm64", "", False),
    ],
)
def test_which_processors_saturate_int8(pretend, machine, flags, expected):
    pretend(machine, flags)
    assert processor.saturates_int8() is expected


@pytest.mark.parametrize(
    ("vendor", "flags", "expected"),
    [
        ("AuthenticAMD", "avx avx2", True),
        ("AuthenticAMD", "avx avx2 avx512f avx512bw", False),
        ("AuthenticAMD", "avx", False),
        ("AuthenticAMD", "", False),
        ("GenuineIntel", "avx avx2", False),
    ],
)
def test_who_is_amd_with_avx2_alone(pretend, vendor, flags, expected):
    pretend("x86_64", flags, vendor)
    assert processor.is_amd_with_avx2_alone() is expected


def test_this_processor_has_flags():
    assert processor.processor_flags()


def test_cores_are_counted_where_the_system_has_no_affinity(monkeypatch):
    """As on macOS and Windows."""
    monkeypatch.delattr(processor.os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(processor.os, "cpu_count", lambda: 6)
    assert processor.own_cores() == 6
    monkeypatch.setattr(processor.os, "cpu_count", lambda: None)
    assert processor.own_cores() == 1


def test_threads_that_cannot_be_started_are_an_error(monkeypatch):
    start, left = threading.Thread.start, iter(range(3))

    def start_three(thread):
        if next(left, None) is None:
            raise RuntimeError("can't start new thread")
        start(thread)

    before = threading.active_count()
    processor.check_threads(9, "Paddle")
    monkeypatch.setattr(threading.Thread, "start", start_three)
    with pytest.raises(
        DeviceError, match=r"^Paddle needs 9 more threads, .* start only 3 \(raise the limit: `ulimit -u`"
    ):
        processor.check_threads(9, "Paddle")
    assert threading.active_count() == before
