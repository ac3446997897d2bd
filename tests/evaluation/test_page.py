"""report.html in a browser: readable on a phone, with nothing from elsewhere, and with words for every picture."""

import shutil
from html.parser import HTMLParser

import numpy as np
import pytest

import advcore

WIDTHS = (360, 1200)


@pytest.fixture(scope="module")
def report(plain, x, y, tmp_path_factory):
    class Flat:
        """Fails a check: no gradient."""

        def logits(self, x):
            return plain.logits(np.round(x * 7) / x.dtype.type(7))

        def vjp(self, x, cotangent):
            return np.zeros_like(x)

    folder = tmp_path_factory.mktemp("page")
    attacks = [("pgd", {"steps": 5}), ("square", {"steps": 50})]
    advcore.evaluate(
        Flat(), x[:24], y[:24], norm="linf", eps=[0.1, 0.3], attacks=attacks, output=folder, checks="quick",
        names={"model": "<b>my model</b>", "data": "digits"}, command="advcore evaluate model.onnx",
    )  # fmt: skip
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser():
    from selenium import webdriver

    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("needs chromium and chromedriver, which .ci/run installs")
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.binary_location = shutil.which("chromium")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


def test_the_page_is_small_and_alone(report):
    page = report.read_text()
    assert len(page.encode()) < 3_000_000
    assert "<script" not in page
    assert "<b>my model</b>" not in page  # escaped
    assert 'lang="en"' in page


class Outline(HTMLParser):
    """The levels of headings, the cells of headers, and the first cell of each row."""

    def __init__(self):
        super().__init__()
        self.levels, self.headers, self.first = [], [], []
        self.tags = []

    def handle_starttag(self, tag, attributes):
        if tag in ("h1", "h2", "h3"):
            self.levels.append(int(tag[1]))
        if tag == "th":
            self.headers.append(dict(attributes).get("scope"))
        if self.tags[-2:] == ["tbody", "tr"]:
            self.first.append((tag, dict(attributes).get("scope")))
        self.tags = [*self.tags, tag][-2:]


def test_headings_and_tables_have_an_order(report):
    outline = Outline()
    outline.feed(report.read_text())
    assert outline.levels[0] == 1
    assert all(after <= before + 1 for before, after in zip(outline.levels, outline.levels[1:], strict=False))
    assert set(outline.headers) == {"row", "col"}
    assert len(outline.first) >= 2  # of the attacks and of a matrix
    assert set(outline.first) == {("th", "row")}


def test_the_page_in_a_browser(report, browser):
    for width in WIDTHS:
        browser.set_window_size(width, 900)
        browser.get(report.as_uri())
        script = "return [document.documentElement.scrollWidth, window.innerWidth]"
        scroll, inner = browser.execute_script(script)
        assert scroll <= inner, "the page scrolls sideways"
        images = browser.find_elements("css selector", "img")
        assert images
        for image in images:
            assert len(image.get_attribute("alt")) > 20
            assert browser.execute_script("return arguments[0].naturalWidth", image) > 0
    alarms = [alarm.text for alarm in browser.find_elements("css selector", "[role=alert]")]
    assert any("gradients are neither zero" in text for text in alarms)
    asked = [log["message"] for log in browser.get_log("performance") if "Network.requestWillBeSent" in log["message"]]
    assert not [message for message in asked if '"url":"http' in message]
    assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def test_the_page_in_a_browser_by_keyboard(report, browser):
    from selenium.webdriver.common.keys import Keys

    browser.get(report.as_uri())
    browser.find_element("css selector", "body").send_keys(Keys.TAB)
    focused = browser.switch_to.active_element
    assert focused.text == "To the checklist"
    reachable = browser.execute_script("return document.querySelectorAll('.scroll:not([tabindex=\"0\"])').length")
    assert reachable == 0  # everything that scrolls can be scrolled by keys


CONTRAST = """
function light(c) { c = c.map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
  return .2126 * c[0] + .7152 * c[1] + .0722 * c[2]; }
function colour(text) { return text.match(/[\\d.]+/g).map(Number); }
function behind(e) { for (; e; e = e.parentElement) { const c = colour(getComputedStyle(e).backgroundColor);
  if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; }
let worst = 99;
for (const e of document.querySelectorAll('h1, h2, h3, p, span, td, th, dt, dd, figcaption, pre, footer')) {
  if (!e.innerText) continue;
  const a = light(colour(getComputedStyle(e).color)), b = light(behind(e));
  worst = Math.min(worst, (Math.max(a, b) + .05) / (Math.min(a, b) + .05)); }
return worst;
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_in_a_browser_has_contrast(report, browser, scheme):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get(report.as_uri())
    assert browser.execute_script(CONTRAST) >= 4.5  # WCAG AA
