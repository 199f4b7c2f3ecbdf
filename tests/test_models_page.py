"""docs/models.md is in step with the configs, the networks and what was published."""

import pytest
from doc_scripts import load_doc_script

make_models = load_doc_script("make_models")


def configs():
    """All; those of larger networks take longer."""
    for config in make_models.list_configs():
        marks = () if config.startswith(("tinypose", "synthetic")) else pytest.mark.heavy
        yield pytest.param(config, marks=marks)


def test_the_page_has_every_config_and_what_was_published():
    page = make_models.PAGE.read_text()
    sizes = make_models.read_sizes(page)
    assert list(sizes) == make_models.list_configs()
    assert make_models.make_page(sizes) == page
    assert set(make_models.read_published()) <= set(sizes)
    assert set(make_models.read_milliseconds()[1]) <= set(sizes)
    assert "| 192x256 | coco17 | 1.32 M | 0.302 G | 0.28 | 10.5 | AP 68.8 own" in page  # of tinypose_256x192


@pytest.mark.parametrize("config", configs())
def test_the_page_has_the_networks_sizes(config):
    sizes = make_models.read_sizes(make_models.PAGE.read_text())
    assert make_models.measure(config) == sizes[config]


@pytest.mark.parametrize(
    ("config", "parameters", "gflops"),
    [
        ("hrnet_w32_256x192", "28.5", 7.12),
        ("hrnet_w48_384x288", "63.6", 32.9),
        ("pose_resnet_50_256x192_coco", "34.0", 8.99),
        ("pose_resnet_152_384x288_coco", "68.6", 35.5),
        ("lite_hrnet_18_256x192_coco", "1.1", None),
        ("lite_hrnet_30_384x288_coco", "1.8", None),
        ("tinypose_256x192", "1.3", None),
    ],
)
def test_sizes_are_those_of_the_official_tables(config, parameters, gflops):
    """READMEs of leoxiaobin/deep-high-resolution-net.pytorch, HRNet/Lite-HRNet and PaddleDetection."""
    cells = make_models.read_sizes(make_models.PAGE.read_text())[config]
    assert f"{float(cells[2].split()[0]):.1f}" == parameters
    if gflops is not None:
        assert float(cells[4]) == pytest.approx(gflops, rel=0.01)
