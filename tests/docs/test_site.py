"""The site that `make docs` builds: without a warning, and with the pages where they belong."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("material", reason="the extra docs is not installed")
    folder = tmp_path_factory.mktemp("site")
    run = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    result = subprocess.run(run, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return folder


def test_every_page_is_there_and_the_home_page_is_ours(site):
    for page in (ROOT / "docs").rglob("*.md"):
        html = page.relative_to(ROOT / "docs").with_suffix(".html")
        html = html.with_name("index.html") if page.name == "README.md" else html
        assert (site / html).is_file(), html
    assert "Where to begin" in (site / "index.html").read_text()
    assert "Your own components" in (site / "CONTRIBUTING.html").read_text()


def test_every_link_and_picture_of_the_site_is_there(site):
    for page in site.rglob("*.html"):
        for link in re.findall(r'(?:href|src)="([^"#?]+)', page.read_text()):
            if page.name != "404.html" and not re.match(r"[a-z]+:|//", link):
                assert (page.parent / link).exists(), (page.name, link)


def test_it_loads_nothing_from_elsewhere(site):
    for page in site.rglob("*.html"):
        loaded = re.findall(r'<(?:link|script|img)[^>]*(?:href|src)="(https?:[^"]+)', page.read_text())
        assert loaded == [], page
