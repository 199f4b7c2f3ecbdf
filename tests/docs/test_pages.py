"""README and docs/: every link leads somewhere, the README is a page, figures stand in one place."""

import re
from pathlib import Path

import pytest
from doc_scripts import load_doc_script

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def anchors(page):
    """Of a page's headings, as GitHub and MkDocs make them."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text()), re.MULTILINE)
    words = [
        re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower() for heading in headings
    ]
    return {re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", text)) for text in words}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    text = re.sub(r"`[^`\n]*`(?!\])", "", _FENCE.sub("", page.read_text()))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_readmes_are_pages_that_say_the_same():
    english, chinese = (ROOT / "README.md").read_text(), (ROOT / "README_zh.md").read_text()
    for text in (english, chinese):
        assert len(text.splitlines()) <= 200
    for kind in (r"```\w+\n.*?```", r"\d+\.\d+"):  # commands, figures
        assert sorted(re.findall(kind, english, re.DOTALL)) == sorted(re.findall(kind, chinese, re.DOTALL))


def test_the_readmes_figures_are_those_of_the_benchmarks():
    """Times and rates; the ratios are made of them."""
    (table,) = re.findall(r"^## Measured\n(.*?)\n\nTwo cores", (ROOT / "README.md").read_text(), re.M | re.S)
    benchmarks = (ROOT / "docs" / "benchmarks.md").read_text()
    for line in table.splitlines()[5:]:
        _, beside, ratios, _ = line.strip("| ").split(" | ")
        (base, unit) = re.search(r"\(([\d.]+) ([^\s,)]+)", beside).groups()
        for ratio, value in re.findall(r"([\d.]+) \(([\d.]+) ", ratios):
            assert f" {value} |" in benchmarks, value
            assert f" {base} |" in benchmarks, base
            quotient = float(value) / float(base) if "/s" not in unit else float(base) / float(value)
            assert abs(quotient - float(ratio)) < 0.006, line


def test_the_picture_shows_the_benchmarks():
    make_overview = load_doc_script("make_overview")
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    rows = make_overview.read_milliseconds(page)
    assert set(make_overview.BARS) <= set(rows)
    assert rows["int8, `openvino`"] == (26, 13.1)
    assert make_overview.PICTURE.stat().st_size < 100_000


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_nothing_is_taken_for_html(page):
    """`<config>` outside of code is not shown."""
    text = re.sub(r"`[^`]*`|<!--.*?-->", "", _FENCE.sub("", page.read_text()), flags=re.DOTALL)
    assert re.findall(r"<[A-Za-z/][^>]*>", text) == []
