"""Names of files: as users write them, as they are shown, and as they are looked for."""

import os
import re
import unicodedata
from pathlib import Path

_LONGEST_NAME = 255  # bytes, of a file's name in nearly all file systems
# What could break a line or the text around it, beside what is no text: control characters, separators of
# lines and paragraphs, and what turns the direction of writing.
_HIDDEN = ("Cc", "Cs", "Zl", "Zp")
_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def expand_path(text: str) -> str:
    """A path with the home folder for a leading `~`, and environment variables for `$NAME` and `${NAME}`.

    URLs, and variables that are not set, stay as they are.

    >>> os.environ["DATA"] = "/data"
    >>> expand_path("$DATA/coco"), expand_path("https://a.org/$DATA")
    ('/data/coco', 'https://a.org/$DATA')
    """
    return text if "://" in text else os.path.expanduser(os.path.expandvars(text))


def cache_folder() -> Path:
    """ppose's folder for what can be fetched or made again: `PPOSE_HOME`, else one in the user's cache."""
    home = os.environ.get("PPOSE_HOME")
    if not home:
        import platformdirs  # not part of what runs exported models

        home = platformdirs.user_cache_dir("ppose")
    return Path(home).expanduser()


def show_name(name: str | Path) -> str:
    r"""A file's name as text for one line of UTF-8, in messages and results.

    Bytes that are no UTF-8 become `\xd6`, line breaks and other control characters `\n`; then a backslash
    is two. All other names stay as they are.

    >>> print(show_name(os.fsdecode(b"\xd6\xd0.jpg")), show_name("a\nb"))
    \xd6\xd0.jpg a\nb
    """
    text = str(name)
    if not any(map(_is_hidden, text)):
        return text
    return "".join(_escape(character) for character in text)


def compose_name(name: str) -> str:
    """A name with its accents in one form, to compare it: macOS writes them apart from their letters."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def show_text(text: object, longest: int = 80) -> str:
    """A text out of a file (or bytes, or a number) for a message: as `show_name` does, and cut.

    Of what is none of these the type alone is shown: a file may make values whose text never ends.
    """
    if isinstance(text, bytes | bytearray | memoryview):
        text = bytes(text[: longest + 1]).decode("latin-1")
    elif isinstance(text, int | float | None) and not isinstance(text, bool):
        text = str(text) if not isinstance(text, int) or text.bit_length() < 128 else "a very long number"
    elif not isinstance(text, str | bool):
        text = f"a {type(text).__name__.strip('_')}"
    text = str(text)
    return show_name(text if len(text) <= longest else f"{text[:longest]}...")


def hide_secrets(text: str) -> str:
    """A text without the credentials of its URLs: user names, passwords, and what stands behind a `?`.

    >>> hide_secrets("weights=https://me:secret@a.org/w.pdparams?token=secret")
    'weights=https://***@a.org/w.pdparams?***'
    """
    text = re.sub(r"(://)[^/\s@]*(?:@[^/\s@]*)*@", r"\1***@", text)
    return re.sub(r"(://[^\s?#]*)\?[^\s]*", r"\1?***", text)


def cut_name(name: str, ending: str) -> str:
    """A file's name with that ending after it, cut before the ending to the length that file systems take."""
    while name and len(os.fsencode(name + ending)) > _LONGEST_NAME:
        name = name[:-1]
    return name + ending


def is_text(value: str) -> bool:
    """Whether a name is text: without bytes that are no UTF-8, which Python keeps as lone surrogates."""
    return re.search("[\ud800-\udfff]", value) is None


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) in _HIDDEN or character in _DIRECTIONS


def _escape(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte: see os.fsdecode
        return f"\\x{ord(character) - 0xDC00:02x}"
    if character == "\\" or _is_hidden(character):
        return character.encode("unicode_escape").decode()
    return character
