"""File names: expanding what users write, showing names in messages, and comparing them."""

import os
import re
import unicodedata
from pathlib import Path

_LONGEST_NAME = 255  # bytes, of a file's name in nearly all file systems
# Characters that could break a line or the text around it: control characters, line and paragraph separators,
# and marks of writing direction.
_HIDDEN = ("Cc", "Cs", "Zl", "Zp")
_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def expand_path(text: str) -> str:
    """Replace a leading `~` by the home folder, and `$NAME` and `${NAME}` by environment variables.

    URLs, and variables that are not set, stay unchanged.

    >>> os.environ["DATA"] = "/data"
    >>> expand_path("$DATA/coco"), expand_path("https://a.org/$DATA")
    ('/data/coco', 'https://a.org/$DATA')
    """
    return text if "://" in text else os.path.expanduser(os.path.expandvars(text))


def cache_folder() -> Path:
    """ppose's folder for files that can be fetched or made again: `PPOSE_HOME`, else in the user's cache."""
    home = os.environ.get("PPOSE_HOME")
    if not home:
        import platformdirs  # not needed, nor installed, to run exported models

        home = platformdirs.user_cache_dir("ppose")
    return Path(home).expanduser()


def show_name(name: str | Path) -> str:
    r"""A file's name as text for one line of UTF-8, in messages and results.

    Bytes that are no UTF-8 become `\xd6`, line breaks and other control characters `\n`; backslashes are then
    doubled. All other names stay unchanged.

    >>> print(show_name(os.fsdecode(b"\xd6\xd0.jpg")), show_name("a\nb"))
    \xd6\xd0.jpg a\nb
    """
    text = str(name)
    if not any(map(_is_hidden, text)):
        return text
    return "".join(_escape(character) for character in text)


def compose_name(name: str) -> str:
    """Bring a name's accents to one form, to compare it: macOS writes them separate from their letters."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def show_text(text: object, longest: int = 80) -> str:
    """Show a text from a file (or bytes, or a number) in a message: as `show_name`, and cut to ``longest``.

    For any other value it shows only the type: a file may make values whose text never ends.
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
    """Hide the credentials in the URLs of a text: user names, passwords, and everything after a `?`.

    >>> hide_secrets("weights=https://me:secret@a.org/w.pdparams?token=secret")
    'weights=https://***@a.org/w.pdparams?***'
    """
    text = re.sub(r"(://)[^/\s@]*(?:@[^/\s@]*)*@", r"\1***@", text)
    return re.sub(r"(://[^\s?#]*)\?[^\s]*", r"\1?***", text)


def cut_name(name: str, ending: str) -> str:
    """Append an ending to a file's name; cut the name to the length that file systems allow."""
    while name and len(os.fsencode(name + ending)) > _LONGEST_NAME:
        name = name[:-1]
    return name + ending


def is_text(value: str) -> bool:
    """Whether a name is valid UTF-8; Python keeps other bytes as lone surrogates."""
    return re.search("[\ud800-\udfff]", value) is None


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) in _HIDDEN or character in _DIRECTIONS


def _escape(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte: see os.fsdecode
        return f"\\x{ord(character) - 0xDC00:02x}"
    if character == "\\" or _is_hidden(character):
        return character.encode("unicode_escape").decode()
    return character
