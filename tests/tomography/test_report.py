"""Reports and previews, opened in a browser: what is shown, that sliders move it, that it fits a phone."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest
from browser import chromium
from typer.testing import CliRunner

import varinv as vi
from varinv import page
from varinv.cli import app
from varinv.scan import demo

SCAN = str(demo.path())


def call(*args):
    done = CliRunner().invoke(app, [str(a) for a in args])
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A preview, the report of a stack, and the report of a result."""
    folder = tmp_path_factory.mktemp("pages")
    call("preview", SCAN, "-o", folder / "preview.html", "--views", "::6", "--bin", "4")
    short = ["--views", "::12", "--bin", "4", "--weight", "5", "--iterations", "40"]
    call("reconstruct", SCAN, "-o", folder / "x.h5", *short, "--rows", "all", "--report", folder / "stack.html")
    x = np.zeros((40, 60), np.float32)
    x[:10, :20] = 1.0  # the upper left is bright
    result = vi.solve(vi.L2Squared(x) + 0.01 * vi.TV(x.shape), stop=vi.iterations(30))
    result.report(folder / "result.html", pixel_size=0.02, unit="mm", title="</script><b>name", checks=["a <i>doubt"])
    return folder


@pytest.fixture(scope="module")
def wide():
    with chromium(1200) as browser:
        yield browser


def opened(browser, path):
    browser.get(path.as_uri())
    for _ in range(100):
        if browser.execute_script("return [...document.querySelectorAll('canvas')].every(c => c.dataset.ready)"):
            break
        time.sleep(0.05)
    assert browser.get_log("browser") == []  # errors, refused loads, anything said


def pixels(browser, k=0):
    """The grey values of a canvas as they are drawn."""
    found = browser.execute_script(
        "const c = document.querySelectorAll('canvas')[arguments[0]], d = document.createElement('canvas');"
        "d.width = c.width; d.height = c.height; const e = d.getContext('2d', {willReadFrequently: true});"
        "e.drawImage(c, 0, 0); return [c.width, c.height, [...e.getImageData(0, 0, c.width, c.height).data]]", k
    )  # fmt: skip
    return np.reshape(found[2], (found[1], found[0], 4))


def move(browser, name, keys):
    from selenium.webdriver.common.by import By

    label = browser.find_element(By.XPATH, f"//label[text()='{name}']")
    field = browser.find_element(By.ID, label.get_attribute("for"))
    field.send_keys(*keys)
    time.sleep(0.2)
    return field


def text(browser):
    return browser.execute_script("return document.body.innerText")


def test_the_image_stands_as_it_is_stored(pages, wide):
    opened(wide, pages / "result.html")
    grey = pixels(wide)
    assert grey.shape == (40, 60, 4)
    assert grey[:8, :18, 0].min() > 200  # bright where the array is
    assert grey[20:, 30:, 0].max() < 50
    assert (grey[..., 0] == grey[..., 1]).all()
    told = text(wide)
    assert re.search(r"0\.2 mm", told)  # of the 1.2 mm of the width: the scale bar
    assert "40 × 60 pixels of 0.02 mm" in told


def test_names_and_doubts_are_text_and_never_markup(pages, wide):
    opened(wide, pages / "result.html")
    assert "</script><b>name" in text(wide)
    assert "a <i>doubt" in text(wide)
    assert wide.execute_script("return document.querySelectorAll('b, p i').length") == 0


def test_level_and_window_change_the_grey_by_the_keyboard(pages, wide):
    from selenium.webdriver.common.keys import Keys

    opened(wide, pages / "stack.html")
    assert len(wide.execute_script("return document.querySelectorAll('canvas')")) == 4  # three planes and the sinogram
    before, sinogram = pixels(wide), pixels(wide, 3)
    field = move(wide, "Level", [Keys.END])
    darker = pixels(wide)
    assert darker[..., 0].mean() < 0.6 * before[..., 0].mean()
    assert "1/pixel" in field.get_attribute("aria-valuetext")
    wide.execute_script("document.querySelector('button').click()")
    assert np.array_equal(pixels(wide), before)
    move(wide, "Window", [Keys.HOME])  # black and white alone
    assert np.isin(pixels(wide)[..., 0], (0, 255)).mean() > 0.9
    assert np.array_equal(pixels(wide, 3), sinogram)  # line integrals have a grey scale of their own


def test_the_slider_over_weights_moves_the_image_and_the_mark(pages, wide):
    from selenium.webdriver.common.keys import Keys

    opened(wide, pages / "preview.html")
    ring = "return document.querySelector('circle[r=\"7\"]').getAttribute('cx')"
    before, mark = pixels(wide), wide.execute_script(ring)
    field = move(wide, "Weight", [Keys.END])
    heavy = pixels(wide)
    assert "residual" in field.get_attribute("aria-valuetext")
    assert not np.array_equal(heavy, before)
    assert wide.execute_script(ring) != mark
    move(wide, "Weight", [Keys.HOME])

    def rough(grey):
        return np.abs(np.diff(grey[..., 0].astype(float))).sum()

    assert rough(pixels(wide)) > 1.3 * rough(heavy)  # little weight: noise; measured 2.1
    assert "held-out residual" in text(wide)


def test_everything_has_a_name_for_those_who_do_not_see_it(pages, wide):
    for name in ("preview", "stack", "result"):
        opened(wide, pages / f"{name}.html")
        nameless = wide.execute_script(
            "return [...document.querySelectorAll('canvas, svg')].filter(e => !e.getAttribute('aria-label')).length"
            " + [...document.querySelectorAll('input')].filter(e => !e.labels.length).length"
        )
        assert nameless == 0
        assert wide.execute_script("return document.documentElement.lang") == "en"


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_shows_it_without_scrolling_sideways_and_with_contrast(pages, dark):
    with chromium(390, 844, dark) as browser:
        for name in ("preview", "stack", "result"):
            opened(browser, pages / f"{name}.html")
            wide, window = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
            assert window == 390
            assert wide <= window
            assert contrast(browser, ".under") >= 4.5  # WCAG AA, of the faintest text
            assert contrast(browser, "dt") >= 4.5
        paper = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (np.mean([int(v) for v in re.findall(r"\d+", paper)[:3]]) < 100) == dark


def contrast(browser, what):
    """The contrast ratio of text against the page or card behind it."""
    ink, paper = browser.execute_script(
        "const e = document.querySelector(arguments[0]);"
        "const behind = e.closest('section') || document.body;"
        "return [getComputedStyle(e).color, getComputedStyle(behind).backgroundColor]",
        what,
    )

    def light(colour):
        parts = np.array([int(v) for v in re.findall(r"\d+", colour)[:3]]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    low, high = sorted((light(ink), light(paper)))
    return (high + 0.05) / (low + 0.05)


# ------------------------------------------------------------------------------------------------- without a browser


def test_a_page_needs_no_network(pages):
    for path in pages.glob("*.html"):
        words = path.read_text()
        assert "default-src 'none'" in words
        assert not re.search(r"(src|href)=[\"']?(http|//)|@import|url\(|fetch\(|XMLHttp", words)


def test_values_come_back_from_the_picture():
    from base64 import b64decode
    from io import BytesIO

    from PIL import Image

    x = np.linspace(-3.0, 5.0, 300).reshape(15, 20)
    x[2, 3] = np.nan
    png, (low, high) = page.coded(x)
    rgb = np.asarray(Image.open(BytesIO(b64decode(png))), dtype=np.int64)
    back = low + (256 * rgb[..., 0] + rgb[..., 1]) * (high - low) / 65534
    assert 256 * rgb[2, 3, 0] + rgb[2, 3, 1] == 65535
    assert np.nanmax(np.abs(np.where(np.isnan(x), np.nan, back - x))) <= 8 / 65534  # half a step, and rounding


def test_large_images_are_averaged_and_say_so():
    made = page.picture(np.ones((3, 2500)), (1, 1), "mm", "wide", "wide")
    assert (made["rows"], made["columns"], made["pixel"]) == (3, 833, [1, 3])
    assert "3 pixels averaged along columns" in made["caption"]


@pytest.mark.parametrize("x", [np.zeros((4, 5)), np.full((4, 5), np.nan), np.zeros((1, 1)), np.zeros((1, 3, 3))])
def test_flat_and_empty_images_make_pages(x):
    assert "<html" in page.Page("t", images=page.planes(x, [1.0] * x.ndim, "mm", "x"), extent=page.extent(x)).html()


def test_what_cannot_be_shown_is_refused(tmp_path):
    result = vi.solve(vi.L2Squared([1.0, 2.0]), stop=vi.iterations(2))
    with pytest.raises(ValueError, match="two or three axes"):
        result.report(tmp_path / "x.html")
    with pytest.raises(ValueError, match=r"must end in \.html"):
        vi.solve(vi.L2Squared(np.eye(3)), stop=vi.iterations(2)).report(tmp_path / "x.pdf")
    assert list(tmp_path.iterdir()) == []
