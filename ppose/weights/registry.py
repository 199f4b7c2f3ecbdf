"""Published models by name, as listed in `models.yml`, and their files.

The environment variable ``PPOSE_MIRROR`` names a mirror of these files, a URL or a folder. It has them under
their publisher's host and path, such as `$PPOSE_MIRROR/bj.bcebos.com/v1/paddledet/models/...`.
"""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import yaml

from ppose.errors import ConfigError
from ppose.paths import show_name, show_text
from ppose.weights.download import fetch, known_digest
from ppose.workspace.registry import suggest

Kind = Literal["pose", "detector"]

_FILE = Path(__file__).with_name("models.yml")
_MOST_NAMES = 4  # in a message


@dataclass(frozen=True, kw_only=True)
class Model:
    """A published file: weights of a keypoint network, or the archive of a detector's export.

    ``config`` and ``keypoints`` are those of a keypoint network. ``input`` is width x height; ``parameters``
    are in millions, ``macs`` in thousand millions per image. ``result`` is the figure that ``publisher``
    states on ``page``. None: unknown.
    """

    name: str
    kind: Kind
    url: str
    publisher: str
    repository: str
    page: str
    licence: str
    result: str
    size: int | None = None
    sha256: str | None = None
    config: str | None = None
    keypoints: str | None = None
    input: str | None = None
    parameters: float | None = None
    macs: float | None = None

    def fetch(self) -> Path:
        """The local file, from the cache, the mirror or the publisher; DownloadError if none has it."""
        mirror = os.environ.get("PPOSE_MIRROR")
        carry = f"`ppose models pack {self.name} -o models.zip` there, `ppose models unpack models.zip` here"
        way_out = f"check the network (HTTPS_PROXY, PPOSE_MIRROR); from a machine that has one: {carry}"
        if mirror:
            way_out = f"check the files of PPOSE_MIRROR={mirror}, or unset it"
        return fetch(self.url, sha256=self.sha256, source=_mirrored(self.url, mirror), way_out=way_out)

    @property
    def digest(self) -> str:
        """The sha256 of the file, as listed or of its first download; empty if unknown."""
        return self.sha256 or known_digest(self.url)


@cache
def list_models() -> dict[str, Model]:
    """All published models by name."""
    content = yaml.safe_load(_FILE.read_bytes())
    models: dict[str, Model] = {}
    kinds: tuple[tuple[Kind, str], ...] = (("pose", "poses"), ("detector", "detectors"))
    for kind, key in kinds:
        for name, entry in content[key].items():
            network = content["networks"][entry["config"]] if "config" in entry else {}
            publisher = content["publishers"][entry["publisher"]]
            models[name] = Model(name=name, kind=kind, **publisher, **network, **entry)
    return models


def find_model(name: str, kind: Kind) -> Model:
    """The published model of a name; ConfigError with the nearest name if there is none."""
    if os.sep in name:
        raise ConfigError(f"there is no {show_name(name)}: expected a folder, or a name of `ppose models`")
    models = list_models()
    model = models.get(name)
    if model is not None and model.kind == kind:
        return model
    names = [known for known, its in models.items() if its.kind == kind]
    near = [known for known in names if name.lower() in known][:_MOST_NAMES]
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else suggest(name, names)
    named = f"'{show_text(name)}'"
    problem = f"no {kind} model has the name {named}" if model is None else f"{named} is a {model.kind} model"
    raise ConfigError(f"{problem}{hint or ';'} `ppose models` lists them all")


def fetch_published(source: str) -> Path | None:
    """The local file of a published keypoint network's weights, by name or URL; None for another text."""
    for model in list_models().values():
        if model.kind == "pose" and source in (model.name, model.url):
            return model.fetch()
    return None


def suggest_name(source: str) -> str:
    """``"; did you mean 'x'?"`` for a text near the name of a keypoint network."""
    return suggest(source, [name for name, model in list_models().items() if model.kind == "pose"])


def mirror_path(url: str) -> str:
    """The path of a URL's file in a mirror: its publisher's host (and `_PORT`) and path."""
    parts = urlsplit(url)
    return f"{parts.netloc.replace(':', '_')}{parts.path}"


def _mirrored(url: str, mirror: str | None) -> str:
    if not mirror:
        return url
    if "://" in mirror:
        return f"{mirror.rstrip('/')}/{mirror_path(url)}"
    return (Path(mirror).expanduser().absolute() / mirror_path(url)).as_uri()
