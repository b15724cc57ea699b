"""The page of `report` in a real browser: a day with an outage in it, as people see and print it."""

import re
import zlib

import pytest

import browser
import day
from test_report import report

PHONE, DESK = 360, 1280

# Every element that is drawn in a chart, and every text, with its place in points of the screen.
CHARTS = """
[...document.querySelectorAll("svg")].map(svg => {
    const place = box => [box.left, box.top, box.right, box.bottom];
    return {
        name: svg.getAttribute("aria-label"),
        place: place(svg.getBoundingClientRect()),
        marks: [...svg.querySelectorAll("path,rect,line")].map(mark =>
            ({kind: mark.getAttribute("class"),
              box: (({x, y, width, height}) => [x, y, width, height])(mark.getBBox())})),
        texts: [...svg.querySelectorAll("text")].map(text =>
            ({text: text.textContent, place: place(text.getBoundingClientRect())})),
        view: [svg.viewBox.baseVal.width, svg.viewBox.baseVal.height],
        code: svg.outerHTML,
    };
})
"""

# What a box of the page would push out of the window, unless it lies in one that scrolls.
TOO_WIDE = """
[...document.querySelectorAll("body *")].filter(element =>
    !element.closest(".charts section, .wide table, svg") &&
    element.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5
).map(element => element.outerHTML.slice(0, 80))
"""

# Texts whose colour is too near to what is behind them: contrast as WCAG 2 counts it.
PALE = """
(() => {
    const light = colour => {
        const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map(value => value / 255)
            .map(value => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = element => {
        const colour = getComputedStyle(element).backgroundColor;
        return colour === "rgba(0, 0, 0, 0)" && element.parentElement ? behind(element.parentElement)
            : colour;
    };
    const pale = element => {
        const style = getComputedStyle(element);
        const [a, b] = [light(element.closest("svg") ? style.fill : style.color),
                        light(behind(element))].sort((x, y) => y - x);
        return (a + 0.05) / (b + 0.05) < 4.5;
    };
    return [...document.querySelectorAll("h1,h2,p,b,span,td,th,code,text")].filter(element =>
        element.textContent && pale(element)).map(element => element.outerHTML.slice(0, 80));
})()
"""


@pytest.fixture(name="page", scope="module")
def _page(tmp_path_factory):
    file = tmp_path_factory.mktemp("page") / "report.html"
    run = report(text="\n".join(day.lines()) + "\n")
    assert run.returncode == 0, run.stderr
    file.write_text(run.stdout)
    return file


@pytest.fixture(name="chromium", scope="module")
def _chromium():
    path = browser.program()
    if path is None:
        pytest.skip("chromium is not installed (tests/lib/setup.sh)")
    with browser.running(path) as started:
        yield started


@pytest.fixture(name="quiet", autouse=True)
def _quiet(chromium, page):
    """Whatever a test looks at: no complaint, and nothing fetched but the page."""
    chromium.console.clear()
    chromium.requests.clear()
    yield
    assert chromium.console == []
    assert set(chromium.requests) == {page.as_uri()}


def overlap(one, other):
    """Whether two boxes share more than a hair."""
    return (min(one[2], other[2]) - max(one[0], other[0]) > 0.5
            and min(one[3], other[3]) - max(one[1], other[1]) > 0.5)


@pytest.mark.parametrize("width, media", [(DESK, "screen"), (PHONE, "screen"), (760, "print")])
def test_charts_are_drawn_and_their_labels_can_be_read(chromium, page, width, media):
    chromium.show(page, width, media=media)
    charts = chromium.evaluate(CHARTS)
    assert len(charts) == 7
    for chart in charts:
        name = chart["name"]
        left, top, right, bottom = chart["place"]
        assert right - left > 300 and bottom - top > 20, name
        assert not re.search(r"\bnan\b|\binf|undefined", chart["code"], re.I), name
        marks = [mark["box"] for mark in chart["marks"] if mark["kind"] != "line c0"]
        assert sum(box[2] > 0 and box[3] > 0 for box in marks) >= 3, name
        for x, y, wide, high in marks:
            assert x >= 0 and y >= 0, name
            assert x + wide <= chart["view"][0] and y + high <= chart["view"][1], name
        texts = chart["texts"]
        assert len(texts) >= 8, name
        for index, text in enumerate(texts):
            assert text["place"][3] - text["place"][1] >= 7, f"{name}: {text} is too small"
            assert text["place"][0] >= 0, f"{name}: {text} is cut off"
            for other in texts[:index]:
                assert not overlap(text["place"], other["place"]), f"{name}: {text}, {other}"


@pytest.mark.parametrize("width", [PHONE, 720, DESK])
def test_the_page_is_not_wider_than_the_window(chromium, page, width):
    chromium.show(page, width)
    assert chromium.evaluate("document.documentElement.scrollWidth") == width
    assert chromium.evaluate(TOO_WIDE) == []
    # Nor is a text squeezed to a letter a line.
    assert chromium.evaluate("""Math.min(...[...document.querySelectorAll("td.w:not(:empty)")]
        .map(cell => cell.getBoundingClientRect().width))""") >= 150


def test_on_a_phone_all_charts_scroll_together_under_their_headings(chromium, page):
    chromium.show(page, PHONE)
    places = chromium.evaluate("""(() => {
        document.querySelector(".charts").scrollLeft = 200;
        return [...document.querySelectorAll(".charts section")].map(section =>
            ["h2", "svg"].map(name => section.querySelector(name).getBoundingClientRect().left));
    })()""")
    assert len({svg for _, svg in places}) == 1 and places[0][1] < -150
    assert {heading for heading, _ in places} == {12}


@pytest.mark.parametrize("scheme, paper, media", [
    ("light", "rgb(255, 255, 255)", "screen"), ("dark", "rgb(18, 22, 29)", "screen"),
    ("dark", "rgb(255, 255, 255)", "print")])
def test_texts_stand_out_in_the_light_and_in_the_dark(chromium, page, scheme, paper, media):
    chromium.show(page, DESK, scheme=scheme, media=media)
    assert chromium.evaluate("getComputedStyle(document.body).backgroundColor") == paper
    assert chromium.evaluate(PALE) == []


def test_the_outage_is_where_it_was(chromium, page):
    """The red band lies from 13:10 to 13:58 of its day, to a bucket of five minutes."""
    chromium.show(page, DESK)
    down = chromium.evaluate("""[...document.querySelectorAll("svg .band.s-down")].map(band =>
        [band.x.baseVal.value, band.width.baseVal.value])""")
    assert len(down) == 1
    minute = (1000 - 72 - 12) / (24 * 60)
    begin, end = (down[0][0] - 72) / minute, (down[0][0] - 72 + down[0][1]) / minute
    assert abs(begin - (13 * 60 + 10)) <= 5 and abs(end - (13 * 60 + 58)) <= 5


def test_it_prints(chromium, page):
    """A few sheets with all colours, also where backgrounds are left out."""
    chromium.show(page, DESK, scheme="dark")
    pdf = chromium.pdf()
    assert pdf.startswith(b"%PDF-") and 2 <= len(re.findall(rb"/Type */Page\b", pdf)) <= 4
    drawn = b"".join(unpacked(pdf))
    colours = {tuple(round(float(part) * 255) for part in match.split())
               for match in re.findall(rb"([\d.]+ [\d.]+ [\d.]+) rg\b", drawn)}
    for name, colour in (("down", (0xC9, 0x30, 0x3E)), ("unauthorized", (0xB8, 0x32, 0x8F)),
                         ("retried", (0xC7, 0x77, 0x00)), ("open", (0x3F, 0x9B, 0x68))):
        assert colour in colours, name


def unpacked(pdf):
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.S):
        try:
            yield zlib.decompress(stream)
        except zlib.error:
            continue


def test_a_log_of_nothing_but_a_start_makes_a_page_as_well(chromium, page, tmp_path):
    file = tmp_path / "short.html"
    file.write_text(report(text=day.lines()[0] + "\n").stdout)
    chromium.show(page)
    chromium.show(file, PHONE)
    assert chromium.evaluate("document.documentElement.scrollWidth") == PHONE
    assert chromium.evaluate("document.querySelectorAll('.none').length") >= 7
    chromium.requests.remove(file.as_uri())


def test_what_the_page_would_load_is_seen(chromium, page, tmp_path):
    """The proof that this file notices: a script and a picture, and a policy that forbids them."""
    file = tmp_path / "loads.html"
    file.write_text(page.read_text().replace(
        "</body>", '<img src="http://127.0.0.1:9/x.png"><script>1</script></body>'))
    chromium.show(file)
    assert sum("Content Security Policy" in str(entry) for entry in chromium.console) >= 2
    chromium.console.clear()
    chromium.show(page)
    chromium.requests[:] = [page.as_uri()]
