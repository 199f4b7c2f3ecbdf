"""Parses a shell line: which Python script it calls, how, and on how many processes."""

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ppose.errors import ConfigError

_ENDS = re.compile(r"[;&|<>]+$")  # end of a command; another command or a redirection follows
_VARIABLE = re.compile(r"[A-Za-z_]\w*=.*")  # environment variable before a command
_REWRITES = (
    (r"\\\s*(\n|$)", " "),  # a continued line
    (r"(?m)(^|(?<=\s))#.*$", ""),
    (r"(?<=\s)\d(?=>)", ""),  # as in 2>&1
    (r"(?<=[\w.:])\\(?=[\w.])", "/"),
)
_MODULE = re.compile(r"(\w+\.)*(train|test|valid)")  # run with -m
_PROCESSES = re.compile(r"--?(nproc_per_node|nproc-per-node|num_processes)(=(.*))?$")


@dataclass(frozen=True)
class ShellCall:
    """A script's name, the words before it (of its command and earlier ones) and its arguments."""

    before: tuple[str, ...]
    script: str
    arguments: tuple[str, ...]

    @property
    def name(self) -> str:
        """The script's file name."""
        return self.script.rpartition("/")[2]

    @property
    def variables(self) -> list[str]:
        """Environment variables that are set for it, as in A=1."""
        return [word for word in self.before if _VARIABLE.fullmatch(word)]

    @property
    def interpreter(self) -> list[str]:
        """The words from the last python on, up to the script."""
        found = [i for i, word in enumerate(self.before) if re.search(r"(^|/)python[\d.]*$", word)]
        return list(self.before[found[-1] :]) if found else ["python"]

    @property
    def processes(self) -> int:
        """The number of processes that a launcher such as torch.distributed's starts; 1 without one."""
        for i, word in enumerate(self.before):
            match = _PROCESSES.match(word)
            value = (match[3] or " ".join(self.before[i + 1 : i + 2])) if match else ""
            if match and value.isdecimal() and int(value) > 0:
                return int(value)
            if match:
                raise ConfigError(f"{word}: got '{value}', expected a number of processes")
        return 1


def split_line(text: str) -> list[str]:
    """The words of one or several shell lines; backslashes within words belong to Windows paths."""
    for pattern, new in _REWRITES:
        text = re.sub(pattern, new, text)
    lexer = shlex.shlex(text, posix=True, punctuation_chars=";&|<>")
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        return list(lexer)
    except ValueError as error:
        raise ConfigError(f"not a command line: {error}") from None


def read_call(words: list[str]) -> ShellCall | None:
    """The one call of a script among the words; None if there is none, ConfigError for several."""
    words = _name_modules(words)
    start = next((i for i, word in enumerate(words) if word.endswith(".py")), None)
    if start is None:
        return None
    arguments = words[start + 1 :]
    end = next((i for i, word in enumerate(arguments) if _ENDS.match(word)), len(arguments))
    others = [word for word in arguments[end:] if word.endswith(".py")]
    if others:
        raise ConfigError(f"{words[start]} and {others[0]}: translate one command at a time")
    return ShellCall(tuple(words[:start]), words[start], tuple(arguments[:end]))


def _name_modules(words: list[str]) -> list[str]:
    """The words with ``-m tools.train`` as the script tools/train.py."""
    for i, word in enumerate(words):
        if word == "-m" and _MODULE.fullmatch(" ".join(words[i + 1 : i + 2])):
            return [*words[:i], f"{words[i + 1].replace('.', '/')}.py", *words[i + 2 :]]
    return words


def value_of(arguments: Sequence[str], flag: str) -> str:
    """A flag's last value, after it or after its =; '' if there is none."""
    values = [
        word.partition("=")[2] or after
        for word, after in pairwise([*arguments, ""])
        if word == flag or word.startswith(f"{flag}=")
    ]
    return values[-1] if values else ""


def has_flag(arguments: Iterable[str], flag: str) -> bool:
    """Whether a flag is among the arguments, with or without a =value."""
    return any(word == flag or word.startswith(f"{flag}=") for word in arguments)
