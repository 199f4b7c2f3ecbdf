"""Configs of shapes that nobody writes by hand: each ends within a second, in one error or in a config."""

import time

import pytest

from ppose.errors import ConfigError
from ppose.keypoints import make_keypoint_set
from ppose.workspace import load_config
from ppose.workspace.config import _Files
from ppose.workspace.yaml_file import parse_cells


@pytest.fixture(scope="module", autouse=True)
def _components():
    """All that is imported to check a config, which counts for none of the times below."""
    load_config("tinypose_256x192")


def _laughs(levels: int, each: int) -> str:
    lines = ["a0: &a0 [x]"]
    return "\n".join(
        [*lines, *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * each)}]" for i in range(1, levels))]
    )


_CASES = {
    "deep brackets": ("a: " + "[" * 100_000, ""),
    "deep lists on one line": ("- " * 100_000, "nested too deeply"),
    "deep blocks": ("\n".join(" " * i + "a:" for i in range(2000)), ""),
    "51 levels": ("a: " + "[" * 51 + "]" * 51, "nested too deeply"),
    "laughs": (_laughs(9, 9), "more than 100000 values"),
    "laughs that are deep": (_laughs(5000, 1), "nested too deeply"),
    "laughs that are merged": (
        "a: &a {" + ", ".join(f"k{n}: 1" for n in range(3000)) + "}\nb:\n  <<: [" + "*a, " * 3000 + "*a]",
        "inserts more than",
    ),
    "many unknown keys": ("\n".join(f"key{n}: 1" for n in range(40_000)), "there may be more errors"),
    "a long key": (f"{'k' * 1000}: 1", "unknown key"),
    "a long value": (f"architecture: [{'1, ' * 50_000}]", "got ["),
    "a large file": ("# " + "a" * (5 << 20), "larger than"),
    "a number of 65 bits": ("epoch: 18446744073709551616", "a.yml:1: '18446744073709551616' does not fit"),
    "a float beyond 64 bits": ("epoch: 10e400", "a.yml:1: '10e400' does not fit into 64 bits"),
    "a number of many digits": ("epoch: " + "9" * 100_000, "a.yml:1: '9999"),
    "a number of sixties": ("epoch: 1" + ":1" * 50_000, "a.yml:1: '1:1:"),
    "escapes": ('"a\\nerror: \\e[2J": 1', r"a\nerror: \x1b[2J: unknown key"),
}


@pytest.mark.parametrize("kind", list(_CASES))
def test_a_config_of_any_shape_ends_soon_in_one_error(tmp_path, kind):
    text, expected = _CASES[kind]
    (tmp_path / "a.yml").write_text(text)
    begin = time.process_time()
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "a.yml")
    assert time.process_time() - begin < 3  # a second where nothing else runs
    assert expected in str(caught.value)
    assert len(str(caught.value)) < 20_000


def test_bases_in_diamonds_are_read_once_each(tmp_path, monkeypatch):
    levels = 30
    for n in range(levels):
        base = f"_BASE_: [{n + 1}.yml, {n + 1}.yml]\n" if n + 1 < levels else ""
        (tmp_path / f"{n}.yml").write_text(f"{base}own{n}: {n}\nshared: &s{n} {n}\nalias: *s{n}\n")
    begin = time.process_time()
    cell = _Files().read(tmp_path / "0.yml", ())
    assert time.process_time() - begin < 1
    assert {key: child.value for key, child in cell.value.items()} == {
        "shared": 0, "alias": 0, **{f"own{n}": n for n in range(levels)}
    }  # fmt: skip
    assert cell.value["shared"] is cell.value["alias"]


def test_a_base_that_two_inherit_is_not_changed_by_the_first(tmp_path):
    (tmp_path / "base.yml").write_text("a: {x: 1, y: 1}\n")
    (tmp_path / "left.yml").write_text("_BASE_: base.yml\na: {x: 2}\n")
    (tmp_path / "right.yml").write_text("_BASE_: base.yml\na: {y: 3}\n")
    (tmp_path / "all.yml").write_text("_BASE_: [left.yml, right.yml]\n")
    cell = _Files().read(tmp_path / "all.yml", ())
    # As ever: each inherits on its own, and the later one wins.
    assert {key: child.value for key, child in cell.value["a"].value.items()} == {"x": 1, "y": 3}


def test_more_bases_than_anybody_has_are_refused(tmp_path):
    (tmp_path / "base.yml").write_text("a: 1\n")
    (tmp_path / "all.yml").write_text(f"_BASE_: [{'base.yml, ' * 300}]\n")
    with pytest.raises(ConfigError, match="more than 200 files are inherited"):
        load_config(tmp_path / "all.yml")


def test_infinity_may_be_written():
    assert parse_cells("[.inf, -.inf, 1e-3, 18446744073709551615]", "a").value[1].value == float("-inf")


def test_thirty_thousand_keypoints_take_no_time():
    names = [f"keypoint {n}" for n in range(30_000)]
    pairs = [[names[n], names[n + 1]] for n in range(0, 30_000, 2)]
    begin = time.process_time()
    keypoint_set = make_keypoint_set("many", names, pairs, skeleton=pairs, upper_body=names)
    assert time.process_time() - begin < 1
    assert keypoint_set.flip_pairs[-1] == (29_998, 29_999)
    with pytest.raises(ConfigError, match="names has 'keypoint 7' twice"):
        make_keypoint_set("many", [*names, "keypoint 7"], [])
    with pytest.raises(ConfigError, match="flip_pairs has 'keypoint 1' "):
        make_keypoint_set("many", names, [[0, 1], [1, 2]])
