"""The page in a real browser: Playwright drives Debian's chromium, or the one that CHROMIUM names."""

import base64
import json
import os
import re
import shutil

import cv2
import numpy as np
import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("no chromium (apt install chromium, or CHROMIUM=its path)", allow_module_level=True)

_QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
_QUIET += ["--disable-background-networking", "--disable-component-update"]
_CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
_DROP = """([content, type]) => {
  const data = new DataTransfer();
  const bytes = Uint8Array.from(atob(content), (each) => each.charCodeAt(0));
  data.items.add(new File([bytes], "photo.png", {type: "image/png"}));
  const options = {bubbles: true, cancelable: true};
  document.body.dispatchEvent(type === "drop"
    ? new DragEvent("drop", {...options, dataTransfer: data})
    : new ClipboardEvent("paste", {...options, clipboardData: data}));
}"""


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=_QUIET + _CAMERA)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, start_server, predictor, crowd):
    """The page of a server that finds the crowd's people; it asks nobody else, and logs no error."""
    address, stop = start_server(find_people=lambda _: crowd[2].astype(float))
    url = "http://{}:{}/".format(*address)
    page = browser.new_page(viewport={"width": 900, "height": 800})
    asked, problems = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(url)
    playwright.expect(page.locator("#model")).to_contain_text("two_colours: 2 keypoints, onnxruntime")
    page.problems = problems
    yield page
    page.close()
    stop()
    assert not [each for each in asked if not each.startswith((url, "blob:", "data:"))]
    assert not problems


def _give(page, png, how="drop"):
    page.evaluate(_DROP, [base64.b64encode(png).decode(), how])
    playwright.expect(page.locator("#status")).to_contain_text("2 people, 320 ")


def _read_rows(page):
    """(name, x, y, score) of each row of the page's tables."""
    rows = page.locator("tr[data-place]").all()
    cells = [row.locator("th, td").all_inner_texts() for row in rows]
    return [(name, *map(float, numbers)) for name, *numbers in cells]


@pytest.mark.parametrize("how", ["drop", "paste", "choose"])
def test_a_photo_gives_its_keypoints(page, predictor, crowd, png, how, tmp_path):
    if how == "choose":
        (tmp_path / "photo.png").write_bytes(png)
        page.set_input_files("#file", tmp_path / "photo.png")
        playwright.expect(page.locator("#status")).to_contain_text("2 people")
    else:
        _give(page, png, how)
    rows = _read_rows(page)
    assert [row[0] for row in rows] == ["red", "blue"] * 2
    expected = np.concatenate([pose.to_array() for pose in predictor(crowd[0], crowd[2])])
    np.testing.assert_allclose([row[1:3] for row in rows], expected[:, :2], atol=0.051)
    np.testing.assert_allclose([row[3] for row in rows], expected[:, 2], atol=0.0051)


def test_pointer_and_keys_name_a_keypoint(page, crowd, png):
    _give(page, png)
    (x, y), box = crowd[1][0, 1], page.locator("#canvas").bounding_box()
    scale = box["width"] / 320
    page.mouse.move(box["x"] + x * scale, box["y"] + y * scale)
    playwright.expect(page.locator("#tip")).to_have_text(re.compile(r"^blue 0\.\d\d$"))
    playwright.expect(page.locator("tr.chosen th")).to_have_text("blue")
    page.mouse.move(1, 1)
    playwright.expect(page.locator("#tip")).to_be_hidden()
    page.focus("#canvas")
    for key, text in (
        ("ArrowRight", "person 1: red"),
        ("ArrowRight", "person 1: blue"),
        ("ArrowUp", "person 1: red"),
    ):
        page.keyboard.press(key)
        playwright.expect(page.locator("#status")).to_contain_text(text)
    page.keyboard.press("Escape")
    playwright.expect(page.locator("#tip")).to_be_hidden()


def test_the_threshold_hides_and_the_files_hold_what_is_shown(page, png, crowd, predictor, tmp_path):
    _give(page, png)
    with page.expect_download() as drawn:
        page.click("#save-png")
    page.locator("#threshold").fill("1")
    assert page.locator("tr.low").count() == 4
    with page.expect_download() as bare:
        page.click("#save-png")
    with page.expect_download() as saved:
        page.click("#save-json")
    found = json.loads(saved.value.path().read_text())
    assert found["keypoint_names"] == ["red", "blue"]
    expected = [pose.to_record() for pose in predictor(crowd[0], crowd[2])]
    np.testing.assert_allclose(found["poses"][1]["keypoints"], expected[1]["keypoints"], rtol=1e-5, atol=1e-4)
    image = crowd[0].astype(int)
    read = lambda download: cv2.imread(str(download.value.path()), cv2.IMREAD_COLOR_RGB)  # noqa: E731
    assert np.abs(read(bare) - image).max() == 0
    changed = np.abs(read(drawn) - image).max(axis=2) > 0
    (x, y), (other_x, other_y) = crowd[1][0]
    assert changed[(y + other_y) // 2, (x + other_x) // 2]  # on the limb
    assert not changed[:, 150:180].any()


def test_the_camera_shows_poses_until_it_is_stopped(page):
    page.click("#camera")
    playwright.expect(page.locator("#canvas")).to_have_attribute(
        "aria-label", "Photo with the poses of 2 people"
    )
    page.click("#camera")
    playwright.expect(page.locator("#camera")).to_have_attribute("aria-pressed", "false")
    assert page.evaluate("document.getElementById('video').srcObject") is None


def test_what_the_server_refuses_is_reported(page):
    with page.expect_console_message(lambda message: message.type == "error"):  # as of every answer of 4xx
        page.evaluate(_DROP, ["AAAA", "drop"])
    playwright.expect(page.locator("#status")).to_contain_text("No poses: ")
    assert page.locator("#status").get_attribute("class") == "error"
    page.problems.clear()


def test_nobody_in_the_photo_and_a_server_that_is_gone_are_reported(browser, start_server, png, tmp_path):
    address, stop = start_server(find_people=lambda _: np.zeros((0, 4)))
    page = browser.new_page(viewport={"width": 360, "height": 700})
    page.goto("http://{}:{}/".format(*address))
    (tmp_path / "photo.png").write_bytes(png)
    status = playwright.expect(page.locator("#status"))
    page.set_input_files("#file", tmp_path / "photo.png")
    status.to_contain_text("Nobody was found, 320 ")
    stop()
    page.set_input_files("#file", tmp_path / "photo.png")  # the same photo again
    status.to_contain_text("No poses: the server does not answer")
    page.close()


def test_a_phones_width_is_enough(page, png):
    page.set_viewport_size({"width": 320, "height": 600})
    _give(page, png)
    page.focus("#canvas")
    for _ in range(4):
        page.keyboard.press("ArrowRight")
        tip = page.locator("#tip").bounding_box()
        assert tip["x"] >= 0
        assert tip["x"] + tip["width"] <= 320
    assert page.evaluate("document.documentElement.scrollWidth") == 320


def test_keyboard_and_screen_reader_find_every_control(page, png):
    _give(page, png)
    reached = set()
    for _ in range(8):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
    assert {"file", "camera", "threshold", "save-json", "save-png", "canvas"} <= reached
    for role, name in (("slider", "Lowest score"), ("button", "Use the camera"), ("img", "2 people")):
        assert page.get_by_role(role, name=re.compile(name)).count() == 1
    assert page.get_by_role("table", name="Person 2").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(page, scheme):
    page.emulate_media(color_scheme=scheme)
    for element in ("body", "#keys", "#camera"):
        colours = page.evaluate(
            """(selector) => {
              const style = getComputedStyle(document.querySelector(selector));
              const ground = getComputedStyle(document.body).backgroundColor;
              const own = style.backgroundColor;
              return [style.color, own === "rgba(0, 0, 0, 0)" ? ground : own];
            }""",
            element,
        )
        light, dark = sorted((_luminance(colour) for colour in colours), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (element, colours)  # WCAG 2, AA


def _luminance(colour):
    """Relative luminance of `rgb(r, g, b)` (WCAG 2)."""
    values = np.array([int(each) for each in re.findall(r"\d+", colour)[:3]]) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])
