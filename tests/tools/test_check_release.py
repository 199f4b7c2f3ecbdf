"""tools/check_release.py: tag, version, citation and changelog say the same."""

import importlib.util
from pathlib import Path

import pytest

import ppose
from ppose.errors import DataError

ROOT = Path(__file__).resolve().parent.parent.parent
spec = importlib.util.spec_from_file_location("check_release", ROOT / "tools" / "check_release.py")
check_release = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check_release)


def test_the_version_that_is_here():
    """CITATION.cff has it too, or that would be reported first."""
    tag = f"v{ppose.__version__}"
    if f"## {ppose.__version__} (unreleased)" in (ROOT / "CHANGELOG.md").read_text():
        with pytest.raises(DataError, match="unreleased"):
            check_release.check_release(tag)
    else:
        assert check_release.check_release(tag).startswith(("- ", "###"))


def test_another_tag():
    with pytest.raises(DataError, match=r"the tag is v0\.0\.1, but ppose/__init__\.py says"):
        check_release.check_release("v0.0.1")


def test_sections_of_a_changelog():
    text = "# Changelog\n\n## 1.1.0 (unreleased)\n\n- b\n\n## 1.0.0\n\n### Added\n\n- a\n\n## 0.9.0\n\n"
    assert check_release.read_changes(text, "1.0.0") == "### Added\n\n- a"
    for version, words in (("1.1.0", "unreleased"), ("1.2.0", "no section"), ("0.9.0", "no section")):
        with pytest.raises(DataError, match=words):
            check_release.read_changes(text, version)
