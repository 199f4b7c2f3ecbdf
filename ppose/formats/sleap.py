"""SLEAP's .slp files (HDF5): skeleton and videos as JSON, frames, instances and points as tables.

As sleap-io reads them (io.sleap.ai/formats): before format 1.1 points count from the first pixel's corner.
"""

import json
from collections.abc import Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from ppose.errors import DataError
from ppose.files import replacing
from ppose.formats.hdf5 import open_hdf5, read_texts
from ppose.formats.labels import ContentBuilder, Labels
from ppose.keypoints import KeypointSet
from ppose.paths import show_name

_FORMAT = 1.2
_EDGE, _SYMMETRY = 1, 2
_FRAMES = [
    ("frame_id", "u8"), ("video", "u4"), ("frame_idx", "u8"),
    ("instance_id_start", "u8"), ("instance_id_end", "u8"),
]  # fmt: skip
_INSTANCES = [
    ("instance_id", "i8"), ("instance_type", "u1"), ("frame_id", "u8"), ("skeleton", "u4"), ("track", "i4"),
    ("from_predicted", "i8"), ("score", "f4"), ("point_id_start", "u8"), ("point_id_end", "u8"),
    ("tracking_score", "f4"),
]  # fmt: skip
_POINTS = [("x", "f8"), ("y", "f8"), ("visible", "?"), ("complete", "?")]


def read_sleap(path: Path, keypoint_set: KeypointSet | None, image_dir: Path | None) -> dict[str, Any]:
    """Read instances labelled by users; a video's frames are named VIDEO/000012.png. A NaN is not labelled.

    Points with `visible` off are hidden. A symmetry of the skeleton is a flip pair. Raises DataError.
    """
    with open_hdf5(path, "SLEAP's labels") as file:
        try:
            return _read_content(file)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
            reason = " ".join(str(error).split())
            raise DataError(f"{show_name(path)}: not labels of SLEAP's: {reason}") from None


def _read_content(file: Any) -> dict[str, Any]:
    metadata = json.loads(file["metadata"].attrs["json"])
    shift = -0.5 if float(file["metadata"].attrs["format_id"]) < 1.1 else 0.0
    skeleton = metadata["skeletons"][0]
    ids = [node["id"] if isinstance(node, Mapping) else node for node in skeleton["nodes"]]
    names = [str(metadata["nodes"][index]["name"]) for index in ids]
    videos = [json.loads(text) for text in read_texts(file["videos_json"])]
    instances, points = file["instances"][()], file["points"][()]
    builder = ContentBuilder()
    builder.add_names(names)
    for frame in file["frames"][()]:
        size = _find_size(videos[frame["video"]])
        image = builder.add_image(_name_frame(videos[frame["video"]], int(frame["frame_idx"])), size)
        for instance in instances[int(frame["instance_id_start"]) : int(frame["instance_id_end"])]:
            if instance["instance_type"] != 0:
                builder.count("predicted instances skipped")
                continue
            own = points[int(instance["point_id_start"]) : int(instance["point_id_end"])]
            labelled = {
                name: (float(p["x"]) + shift, float(p["y"]) + shift, 2 if p["visible"] else 1)
                for name, p in zip(names, own, strict=True)
                if np.isfinite([p["x"], p["y"]]).all()
            }
            track = int(instance["track"])
            builder.add_person(image, labelled, track_id=track if track >= 0 else None)
    links = _read_links(
        skeleton["links"],
        [names.index(str(n["name"])) if n["name"] in names else -1 for n in metadata["nodes"]],
    )
    pairs = sorted({tuple(sorted(pair)) for pair in links[_SYMMETRY]})
    limbs = [[a + 1, b + 1] for a, b in links[_EDGE]]
    return builder.finish(skeleton=limbs, **({"flip_pairs": [list(pair) for pair in pairs]} if pairs else {}))


def _read_links(links: Any, place: list[int]) -> dict[int, list[tuple[int, int]]]:
    """Pairs of nodes by kind. jsonpickle writes a kind in full first, later as its number in the file."""
    found: dict[int, list[tuple[int, int]]] = {_EDGE: [], _SYMMETRY: []}
    seen: list[int] = []
    for link in links:
        kind = link["type"]
        if "py/reduce" in kind:
            (number,) = kind["py/reduce"][1]["py/tuple"]
            seen.append(number)
        else:
            number = seen[kind["py/id"] - 1]
        found[number].append((place[link["source"]], place[link["target"]]))
    return found


def _find_size(video: Mapping[str, Any]) -> tuple[int, int]:
    shape = video["backend"].get("shape") or video["backend"].get("shape_") or [0, 0, 0, 0]
    return (int(shape[2]), int(shape[1])) if len(shape) == 4 else (0, 0)


def _name_frame(video: Mapping[str, Any], frame: int) -> str:
    backend = video["backend"]
    files = backend.get("filenames")
    if isinstance(files, list):
        return str(files[frame]).replace("\\", "/")
    name = video.get("filename") or backend.get("filename") or "video"
    return f"{PureWindowsPath(str(name)).stem or 'video'}/{frame:06d}.png"


def write_sleap(path: Path, labels: Labels) -> None:
    """Write a .slp of format 1.2, in which all images of one size form one video of image files."""
    people, known = labels.people, labels.keypoint_set
    sizes = list(dict.fromkeys(size for _, _, size, _ in labels.by_image()))
    files: dict[tuple[int, int], list[str]] = {size: [] for size in sizes}
    tracks = sorted({track for track in people.tracks.tolist() if track >= 0})
    frames: list[tuple[Any, ...]] = []
    instances: list[tuple[Any, ...]] = []
    points: list[tuple[Any, ...]] = []
    for number, (_, name, size, rows) in enumerate(labels.by_image()):
        start = len(instances)
        for row in rows:
            track = int(people.tracks[row])
            place = tracks.index(track) if track >= 0 else -1
            span = len(points), len(points) + known.num_keypoints
            instances.append((len(instances), 0, number, 0, place, -1, 0, *span, 0))
            for (x, y), flag in zip(people.keypoints[row], people.visibility[row], strict=True):
                points.append((x, y, flag == 2, True) if flag > 0 else (np.nan, np.nan, False, False))
        frames.append((number, sizes.index(size), len(files[size]), start, len(instances)))
        files[size].append(name)
    videos = [_make_video(names, *size) for size, names in files.items()]
    with replacing(path) as temporary, open_hdf5(temporary, "SLEAP's labels", "w") as file:
        metadata = file.create_group("metadata")
        metadata.attrs["format_id"] = _FORMAT
        metadata.attrs["json"] = np.bytes_(json.dumps(_make_metadata(known)))
        file["videos_json"] = [np.bytes_(json.dumps(video)) for video in videos]
        file["tracks_json"] = np.array([np.bytes_(json.dumps([0, str(t)])) for t in tracks], "S")
        file["suggestions_json"] = np.array([], "S1")
        for name, table, kind in (
            ("frames", frames, _FRAMES),
            ("instances", instances, _INSTANCES),
            ("points", points, _POINTS),
            ("pred_points", [], [*_POINTS, ("score", "f8")]),
        ):
            file[name] = np.array(table, kind)


def _make_video(names: list[str], width: int, height: int) -> dict[str, Any]:
    backend = {"type": "ImageVideo", "filename": names[0], "filenames": names}
    sizes = {"shape": [len(names), height, width, 3], "height_": height, "width_": width, "channels_": 3}
    return {"filename": names[0], "backend": {**backend, **sizes}}


def _make_metadata(known: KeypointSet) -> dict[str, Any]:
    links: list[dict[str, Any]] = []
    for kind, pairs in ((_EDGE, known.skeleton), (_SYMMETRY, known.flip_pairs)):
        for index, (a, b) in enumerate(pairs):
            whole = {"py/reduce": [{"py/type": "sleap.skeleton.EdgeType"}, {"py/tuple": [kind]}]}
            earlier = {"py/id": kind if known.skeleton else 1}
            links.append(
                {
                    "edge_insert_idx": len(links), "key": 0, "source": a, "target": b,
                    "type": earlier if index else whole,
                }
            )  # fmt: skip
    skeleton = {
        "directed": True, "graph": {"name": "Skeleton-0", "num_edges_inserted": len(known.skeleton)},
        "links": links, "multigraph": True, "nodes": [{"id": index} for index in range(known.num_keypoints)],
    }  # fmt: skip
    return {
        "version": "2.0.0", "skeletons": [skeleton], "provenance": {}, "videos": [], "tracks": [],
        "nodes": [{"name": name, "weight": 1.0} for name in known.names],
        "suggestions": [], "negative_anchors": {},
    }  # fmt: skip
