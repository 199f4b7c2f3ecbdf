"""Photos of phones: HEIC, by pillow-heif where it is installed."""

import io
import sys

import numpy as np
import pytest

from ppose.errors import DataError
from ppose.transforms import read_image

STUB = b"\x00\x00\x00\x18ftypheic0000"


def test_heic_without_pillow_heif_says_what_installs_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "a.HEIC").write_bytes(STUB)
    with pytest.raises(DataError, match=r"a\.HEIC is HEIC .*: pip install 'ppose\[heif\]'"):
        read_image(tmp_path / "a.HEIC")


def test_heic(tmp_path):
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    x, y = np.meshgrid(np.arange(64), np.arange(40))
    image = np.stack([4 * x, 6 * y, x + y], axis=-1).astype(np.uint8)
    for mode, pixels in (("RGB", image), ("RGBA", np.dstack([image, np.full_like(x, 255, np.uint8)]))):
        data = io.BytesIO()
        heif.from_bytes(mode, (64, 40), pixels.tobytes()).save(data, quality=95)
        (tmp_path / "a.heic").write_bytes(data.getvalue())
        found = read_image(tmp_path / "a.heic", use_exif=True)
        assert (found.dtype, found.shape) == (np.uint8, (40, 64, 3))
        np.testing.assert_allclose(found.astype(int), image, atol=12)
    (tmp_path / "a.heic").write_bytes(STUB)
    with pytest.raises(DataError, match=r"not a readable image: .*a\.heic"):
        read_image(tmp_path / "a.heic")
