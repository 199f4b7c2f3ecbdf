"""Lists the published models, shows one, and packs models for machines without a network."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ppose.commandline import align_columns
from ppose.zoo import DEFAULT_DETECTOR, DEFAULT_POSE

if TYPE_CHECKING:
    from ppose.weights.registry import Model

_ARCHIVE = Path("models.zip")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "words",
        nargs="*",
        metavar="NAME | pack [NAME ...] | unpack FILE",
        help="NAME: show that model; pack: write models into an archive (default: those of `ppose predict "
        "photo.jpg`); unpack: install the models of an archive; nothing: list all models",
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help=f"archive to write (default: {_ARCHIVE})"
    )


def main(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Run the command."""
    action, *names = args.words or [""]
    if args.output is not None and action != "pack":
        parser.error("--output needs pack")
    if action == "pack":
        _pack(names or [DEFAULT_POSE, DEFAULT_DETECTOR], args.output or _ARCHIVE)
    elif action == "unpack":
        if len(names) != 1:
            parser.error("unpack takes exactly one archive FILE")
        from ppose.zoo.packing import unpack_models

        print("\n".join(unpack_models(Path(names[0]))))
    elif names:
        parser.error(f"got '{' '.join(args.words)}', expected one NAME, pack NAME ..., or unpack FILE")
    elif action:
        print(_describe(_find(action)))
    else:
        from ppose.weights.registry import list_models

        print(_make_table(list(list_models().values())))


def _pack(names: Sequence[str], archive: Path) -> None:
    from ppose.files import check_writable
    from ppose.paths import show_name
    from ppose.zoo.packing import pack_models

    models = [_find(name) for name in names]
    check_writable(archive)
    print("\n".join(pack_models(models, archive)))
    size = archive.stat().st_size / 1e6
    print(f"{show_name(archive)}: {size:.1f} MB; on the other machine: ppose models unpack {archive.name}")


def _find(name: str) -> "Model":
    from ppose.weights.registry import find_model, list_models

    known = list_models().get(name)
    return find_model(name, "pose" if known is None else known.kind)


def _make_table(models: "Sequence[Model]") -> str:
    rows = [("name", "for", "input", "keypoints", "parameters", "MACs", "as published")]
    for model in models:
        parameters = "" if model.parameters is None else f"{model.parameters:.2f} M"
        macs = "" if model.macs is None else f"{model.macs:.3f} G"
        cells = (model.input or "", model.keypoints or "", parameters, macs, model.result)
        rows.append((model.name, model.kind, *cells))
    notes = (
        "",
        "own: with the annotated boxes, which give about 2 AP more than detected ones.",
        "`ppose models NAME` shows a model, `ppose predict photo.jpg --model NAME --detector NAME` runs it.",
    )
    return "\n".join([*align_columns(rows, left=len(rows[0])), *notes])


def _describe(model: "Model") -> str:
    from ppose.weights.download import cached_path
    from ppose.zoo.exports import list_exports

    file = cached_path(model.url)
    there = [*([file] if file.is_file() else []), *(list_exports(model) if model.kind == "pose" else [])]
    rows = {
        "name": model.name,
        "for": model.kind,
        "config": model.config,
        "input": model.input and f"{model.input} (width x height)",
        "keypoints": model.keypoints,
        "parameters": model.parameters and f"{model.parameters:.2f} M",
        "MACs": model.macs and f"{model.macs:.3f} G",
        "published": f"{model.result} ({model.publisher}, {model.page})",
        "licence": f"{model.licence}: {model.repository}",
        "file": model.url,
        "bytes": model.size and f"{model.size:,}",
        "sha256": model.digest or "not published; the first download's digest is kept",
        "here": ", ".join(map(str, there)) or "not yet",
    }
    use = f"ppose predict photo.jpg --{'model' if model.kind == 'pose' else 'detector'} {model.name}"
    return "\n".join(f"{key:<12}{value}" for key, value in {**rows, "use": use}.items() if value)
