"""The sources of datasets, and the files that they make."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ppose.downloads.unpack import unpack
from ppose.errors import DownloadError
from ppose.paths import show_name
from ppose.weights.receive import Limits, download

_SPARE = 200 << 20  # bytes of a disk that stay free


@dataclass(frozen=True)
class Part:
    """A file of a dataset: about the ``size`` of the download and ``unpacked``, in bytes; what it ``makes``.

    A file that is no archive is stored at the path in ``makes``. ``md5`` is from PaddleDetection and others,
    since COCO's site states none.
    """

    name: str
    url: str
    size: int
    makes: tuple[str, ...]
    unpacked: int = 0
    md5: str | None = None

    @property
    def file_name(self) -> str:
        """The name of the downloaded file."""
        return self.url.rpartition("/")[2]

    def is_in(self, folder: Path) -> bool:
        """Whether all of it is there; folders are moved to their place only as a whole."""
        return all((folder / made).exists() for made in self.makes)


_COCO = "http://images.cocodataset.org"
_MPII = "https://datasets.d2.mpi-inf.mpg.de/andriluka14cvpr"
DATASETS = {
    "coco": (
        Part(
            "annotations",
            f"{_COCO}/annotations/annotations_trainval2017.zip",
            252_907_541,
            ("annotations/person_keypoints_train2017.json", "annotations/person_keypoints_val2017.json"),
            900_000_000,
            "f4bbac642086de4f52a3fdda2de5fa2c",
        ),
        Part(
            "test-dev",  # names and sizes of its images
            f"{_COCO}/annotations/image_info_test2017.zip",
            1_200_000,
            ("annotations/image_info_test-dev2017.json",),
            50_000_000,
            "85da7065e5e600ebfee8af1edb634eb5",
        ),
        Part(
            "detections",  # by the detector with a person AP of 56.4 that published tables use
            "https://paddledet.bj.bcebos.com/data/bbox.json",
            20_000_000,
            ("person_detection_results/COCO_val2017_detections_AP_H_56_person.json",),
        ),
        Part(
            "val2017",
            f"{_COCO}/zips/val2017.zip",
            815_585_330,
            ("val2017",),
            900_000_000,
            "442b8da7639aecaf257c1dceb8ba8c80",
        ),
        Part(
            "train2017",
            f"{_COCO}/zips/train2017.zip",
            19_336_861_798,
            ("train2017",),
            20_000_000_000,
            "cced6f7f71b7629ddf16f17bbcfab6b2",
        ),
    ),
    "mpii": (
        Part(
            "annotations",
            f"{_MPII}/mpii_human_pose_v1_u12_2.zip",
            13_000_000,
            ("mpii_human_pose_v1_u12_2",),
            500_000_000,
        ),
        Part("images", f"{_MPII}/mpii_human_pose_v1.tar.gz", 12_950_000_000, ("images",), 14_000_000_000),
    ),
}


def fetch_parts(parts: Sequence[Part], folder: Path, mirror: str | None) -> list[str]:
    """Download and unpack parts of a dataset into its folder; return the names of those already there.

    ``mirror`` is a URL with files of the same names. An archive is deleted once it is unpacked. One process
    at a time works in a folder. Raises DownloadError, before the first byte if the disk is too full.
    """
    import filelock

    folder.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder / ".download.lock"):
        kept = [part.name for part in parts if part.is_in(folder)]
        missing = [part for part in parts if not part.is_in(folder)]
        _check_space(missing, folder)
        for part in missing:
            url = part.url if mirror is None else f"{mirror.rstrip('/')}/{part.file_name}"
            most = 2 * part.size
            if not part.unpacked:
                download(url, folder / part.makes[0], limits=Limits(bytes=most), md5=part.md5)
                continue
            archive = folder / part.file_name
            download(url, archive, limits=Limits(bytes=most), md5=part.md5)
            count = unpack(archive, folder, most_bytes=2 * part.unpacked)
            if not part.is_in(folder):
                raise DownloadError(
                    f"{show_name(archive)} was unpacked, {count} files, but had no {', '.join(part.makes)}: "
                    "is it the right file?"
                )
            archive.unlink()
    return kept


def _check_space(parts: Sequence[Part], folder: Path) -> None:
    """Raise DownloadError if the disk cannot hold the parts plus, temporarily, the largest archive."""
    here = [folder / f"{part.file_name}{ending}" for part in parts for ending in ("", ".part")]
    have = sum(file.stat().st_size for file in here if file.is_file())
    sizes = [part.size for part in parts if part.unpacked]
    needed = sum(part.unpacked or part.size for part in parts) + max(sizes, default=0) - have + _SPARE
    free = shutil.disk_usage(folder).free
    if parts and needed > free:
        names = ", ".join(part.name for part in parts)
        raise DownloadError(
            f"{show_name(folder)} has {free / 1e9:.1f} GB free, {names} need {needed / 1e9:.1f} GB: choose "
            "another folder with --dir, or fewer parts with --only"
        )
