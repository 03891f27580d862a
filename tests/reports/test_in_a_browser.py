"""Pages in headless Chromium: they render, quietly, with pictures that show something."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from sparse_mixer_tf import reports
from sparse_mixer_tf.reports import comparison
from tests.optional import need_program
from tests.reports import browser as browsers
from tests.reports.made_up_runs import EVIL, write_run

MEASURES = """({
  wide: document.documentElement.scrollWidth, seen: window.innerWidth,
  dark: matchMedia('(prefers-color-scheme: dark)').matches,
  images: [...document.images].map(i => [i.naturalWidth, i.clientWidth, i.alt, i.currentSrc]),
  scripts: document.scripts.length, text: document.body.innerText,
  background: getComputedStyle(document.body).backgroundColor,
  spilling: [...document.querySelectorAll('body *')].filter(e =>
    e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.scroll')
  ).map(e => e.outerHTML.slice(0, 99)),
})"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    runs = [write_run(folder / "one"), write_run(folder / "a_run_of_a_longer_name", 8, 3e-4)]
    return {
        "run": reports.write(runs[0]),
        "comparison": comparison.write(runs, folder / "both"),
    }


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    program = need_program("chromium", "chromium-browser", "google-chrome")
    opened = browsers.Browser(program, tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1200])
@pytest.mark.parametrize("name", ["run", "comparison"])
def test_a_page_renders_quietly_and_fits(browser, pages, name, width, scheme):
    browser.open(pages[name], width, scheme)
    found = browser.evaluate(MEASURES)
    assert browser.console == []
    assert found["spilling"] == [] and found["wide"] <= found["seen"] == width
    assert found["dark"] == (scheme == "dark")
    assert (found["background"] == "rgb(255, 255, 255)") == (scheme == "light")
    assert found["scripts"] == 0 and (name == "comparison" or EVIL in found["text"])
    assert len(found["images"]) >= 10
    for natural, shown, alt, source in found["images"]:
        assert natural > 400 and shown > 250 and alt
        picture = Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
        _assert_shows_something(picture, scheme)


def test_a_layer_is_chosen_without_a_script(browser, pages):
    browser.open(pages["run"], 400, "light")
    seen = "[...document.querySelectorAll('.panel')].map(p => p.offsetHeight > 0)"
    assert browser.evaluate(seen) == [True, False, False]
    browser.evaluate("document.querySelectorAll('.tabs > label')[2].click()")
    assert browser.evaluate(seen) == [False, False, True]


def test_sixteen_experts_have_colours_of_their_own_that_words_are_read_on(browser, pages):
    for scheme in ("light", "dark"):
        browser.open(pages["run"], 1200, scheme)
        colours = browser.evaluate(
            "[...Array(16).keys()].map(i => { const e = document.querySelector('.panel .x' + i); "
            "const s = getComputedStyle(e); return [s.backgroundColor, s.color] })"
        )
        backgrounds = np.array([_rgb(background) for background, _ in colours])
        apart = np.abs(backgrounds[:, None] - backgrounds).sum(-1) + 999 * np.eye(16)
        assert apart.min() > 12
        assert all(_contrast(_rgb(b), _rgb(ink)) > 4.5 for b, ink in colours)


def test_the_policy_of_a_page_lets_nothing_in(browser, pages, tmp_path):
    page = tmp_path / "page.html"
    text = pages["run"].read_text("utf-8")
    evil = '<img src="https://example.org/x.png"><script>document.title = "ran"</script>'
    page.write_text(text.replace("</body>", f"{evil}</body>"), "utf-8")
    browser.open(page, 1200, "light")
    assert browser.evaluate("document.title") == "one"
    assert any("Content Security Policy" in str(entry) for entry in browser.console)


def _assert_shows_something(picture: Image.Image, scheme: str) -> None:
    pixels = np.asarray(picture.convert("RGBA"), float)
    opaque = pixels[..., 3] > 128
    assert 0.005 < opaque.mean() < 0.95
    ink = pixels[opaque][:, :3]
    # Letters, lines of the frame, and what is drawn in it.
    assert len(np.unique(ink.round(-1), axis=0)) >= 3
    # Letters: nearly black on light pages, nearly white on dark ones.
    assert (ink.min(0).max() < 60) if scheme == "light" else (ink.max(0).min() > 200)


def _rgb(colour: str) -> np.ndarray:
    return np.array(re.findall(r"\d+", colour)[:3], float)


def _contrast(one: np.ndarray, other: np.ndarray) -> float:
    """As the accessibility guidelines of the web define it."""

    def luminance(rgb):
        share = rgb / 255
        linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
