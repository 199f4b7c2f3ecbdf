"""docs/reference/ is what docs/make_reference.py writes, and tells of every flag and key."""

import re

import pytest
from doc_scripts import DOCS, load_doc_script

make_reference = load_doc_script("make_reference")


@pytest.mark.parametrize("page", make_reference.MAKERS)
def test_the_page_is_in_step_with_the_code(page):
    made = make_reference.MAKERS[page]().rstrip() + "\n"
    assert (DOCS / page).read_text(encoding="utf-8") == made, "run python docs/make_reference.py"


def test_every_key_has_a_meaning():
    """In its docstring, or in docs/key_meanings.tsv."""
    rows = re.findall(r"^\| (`\w+`) \| .* \| (.*) \|$", make_reference.make_config(), re.MULTILINE)
    assert len(rows) > 200
    assert [key for key, meaning in rows if not meaning.strip()] == []


def test_sentences_and_types_are_distinguished():
    text = "What it is (Sun et al., CVPR 2019). `width` are channels; depth the layers.\n\n>>> f(1)\n2"
    assert make_reference.split_sentences(text)[:2] == [
        "What it is (Sun et al., CVPR 2019).",
        "`width` are channels;",
    ]
    assert (
        make_reference._find_meaning("width", make_reference.split_sentences(text)) == "`width` are channels."
    )
