"""The page holds all it needs, and nothing of the data can act on it."""

import re

import pytest
from coco_judge import METRIC_NAMES
from report_pages import PageReader

from ppose.cli import run_command
from ppose.reports.page import Code, Page, Picture, Table, Text

HOSTILE = '<script>alert("1")</script>'
HOSTILE_FILE = '<script>alert("1")<script>'  # of the fixture


def test_the_page_of_two_results(people_folder, capsys):
    page = people_folder / "page.html"
    files = [people_folder / name for name in ("good.json", "worse.json")]
    options = ["--dataset", people_folder / "annotations.json", "--output", page]
    run_command("analyse_errors", [str(argument) for argument in (*files, *options)])
    assert capsys.readouterr().out.splitlines()[0] == "good.json"
    read = PageReader(page)
    text = read.text
    assert not {"script", "iframe", "link", "object"} & set(read.tags)
    assert all(re.match(r"data:image/(jpeg|svg\+xml);base64,|#s\d+$", link) for link in read.links)
    assert HOSTILE_FILE not in text
    assert any(HOSTILE_FILE in line for line in read.texts)
    assert read.rows[0] == list(METRIC_NAMES)
    assert read.rows[1] == ["good.json", *["1.0000"] * 3, "-", *["1.0000"] * 4, "-", "1.0000"]
    assert "worse.json minus good.json: -" in text
    assert "the interval excludes 0" in text
    assert text.count("data:image/jpeg") == 2 * 9  # of 3 of the 4 images
    assert text.count("3 pictures could not be made: image not found") == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none.json"], "results file not found"),
        (["good.json", "--output", "images"], "this is a folder"),
        (["good.json", "--dataset", "good.json"], "no annotation has keypoints"),
    ],
)
def test_mistakes_are_one_line(people_folder, capsys, arguments, words):
    given = [people_folder / a if not a.startswith("--") else a for a in arguments]
    dataset = [] if "--dataset" in arguments else ["--dataset", people_folder / "annotations.json"]
    with pytest.raises(SystemExit) as leave:
        run_command("analyse_errors", [str(argument) for argument in (*given, *dataset)])
    assert leave.value.code == 1
    assert words in capsys.readouterr().err.splitlines()[-1]


def test_every_text_of_a_page_is_escaped(tmp_path):
    blocks = [
        Text(HOSTILE),
        Code(HOSTILE),
        Table([HOSTILE], [[HOSTILE]]),
        Picture('data:image/png;base64,"><script>', f'"{HOSTILE}\ud800'),
    ]
    Page(HOSTILE, {HOSTILE: blocks}).write(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text("utf-8")
    assert "<script" not in text
    assert text.count("&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt;") == 10
