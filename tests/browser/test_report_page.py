"""The report as a reader has it: opened, filtered, sorted, in the dark, by keyboard, on paper, on a small screen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Browser

pytestmark = pytest.mark.page

TABLE = "#comparison-1"
LINES = "#chart-accuracy svg .mark-line path"


def keys() -> Any:
    from selenium.webdriver.common.keys import Keys

    return Keys


def choose(browser: Browser, name: str, value: str) -> None:
    """Choose in a chart's form as a reader does."""
    from selenium.webdriver.support.ui import Select

    Select(browser.find(f"select[name={name}]")).select_by_value(value)


def column(browser: Browser, number: int, table: str = TABLE) -> list[str]:
    """The texts of a column, as they stand from top to bottom."""
    return [cell.text for cell in browser.all(f"{table} tbody tr > *:nth-child({number})")]


def headings(browser: Browser, table: str = TABLE) -> list[str]:
    return [cell.text for cell in browser.all(f"{table} thead tr:last-child th")]


def curves(browser: Browser) -> list[str]:
    """The lines of the accuracy chart that are drawn, as paths."""
    return [path for line in browser.all(LINES) if (path := line.get_attribute("d")) and "L" in path]


def brightness(colour: str) -> float:
    """Of a computed colour, `rgb(…)` or `rgba(…)`: 0 black to 255 white."""
    return sum(map(float, colour[colour.index("(") + 1 : -1].split(",")[:3])) / 3


def test_it_opens_from_disk_without_a_complaint_or_a_request(browser: Browser, page: Path):
    browser.open(page.as_uri())
    asked = browser.asked()
    assert asked[0] == page.as_uri()
    assert not [address for address in asked[1:] if not address.startswith("data:")]
    assert not browser.complaints()
    assert len(browser.all("#chart-accuracy svg")) and len(browser.all("div.dt-container")) > 5


def test_it_opens_over_http_without_a_complaint_or_a_request(browser: Browser, served: str):
    browser.open(served)
    assert [address for address in browser.asked() if not address.startswith("data:")] == [served]
    assert not browser.complaints()


def test_a_request_would_be_seen(browser: Browser, served: str):
    browser.open(served)
    browser.asked()
    browser.run("return fetch('/elsewhere').then(() => 1)")
    assert any(address.endswith("/elsewhere") for address in browser.asked())
    assert any("404" in line for line in browser.complaints())


def test_a_filter_changes_the_curve(browser: Browser, page: Path):
    browser.open(page.as_uri())
    fixed = curves(browser)
    # Class-wise and fixed: image only, two texts by the thesis's recipe, two by the anchored one.
    assert len(fixed) >= 5
    choose(browser, "accuracy_source", "reed")
    browser.until(lambda: 0 < len(curves(browser)) < len(fixed))
    reed = curves(browser)
    choose(browser, "accuracy_recipe", "anchored")
    browser.until(lambda: curves(browser) != reed)
    anchored = curves(browser)
    choose(browser, "accuracy_recipe", "thesis")
    browser.until(lambda: curves(browser) != anchored)
    thesis = curves(browser)
    browser.find("input[name=accuracy_beside]").click()
    browser.until(lambda: 0 < len(curves(browser)) < len(thesis))
    alone = curves(browser)
    choose(browser, "accuracy_sampling", "global")
    browser.until(lambda: curves(browser) != alone)


def test_published_figures_can_be_taken_away(browser: Browser, page: Path):
    browser.open(page.as_uri())
    before = len(curves(browser))
    browser.find("input[name=accuracy_published]").click()
    browser.until(lambda: 0 < len(curves(browser)) < before)


def test_a_point_tells_its_cell(browser: Browser, page: Path):
    from selenium.webdriver import ActionChains

    browser.open(page.as_uri())
    point = browser.all("#chart-accuracy svg .mark-symbol.role-mark path")[5]
    browser.run("arguments[0].scrollIntoView({block: 'center'})", point)
    ActionChains(browser.driver).move_to_element(point).perform()
    browser.until(lambda: browser.find("#vg-tooltip-element").text)
    told = browser.find("#vg-tooltip-element").text
    assert "seeds" in told and "distinct images" in told and "95% interval" in told


def test_a_heading_sorts(browser: Browser, page: Path):
    browser.open(page.as_uri())
    assert column(browser, 1)[0] == "100:0"
    heading = browser.all(f"{TABLE} thead tr:last-child th")[1]
    heading.click()
    browser.until(lambda: heading.get_attribute("aria-sort") == "ascending")
    up = column(browser, 2)
    heading.click()
    browser.until(lambda: heading.get_attribute("aria-sort") == "descending")
    down = column(browser, 2)
    accuracies = [float(text.split()[0]) for text in up if text[0].isdigit()]
    assert len(accuracies) == 10 and accuracies == sorted(accuracies)
    assert [float(text.split()[0]) for text in down if text[0].isdigit()] == accuracies[::-1]
    assert column(browser, 1)[0] != "0:100"


def test_ratios_sort_as_numbers(browser: Browser, page: Path):
    browser.open(page.as_uri())
    browser.all(f"{TABLE} thead tr:last-child th")[0].click()
    browser.until(lambda: column(browser, 1) == [f"{p}:{100 - p}" for p in range(0, 101, 10)])


def test_columns_hide_and_come_back(browser: Browser, page: Path):
    browser.open(page.as_uri())
    before = headings(browser)
    assert any("published" in heading for heading in before)
    browser.find("#comparison .dt-buttons .buttons-colvis").click()
    choice = browser.all(".dt-button-collection .dt-button")[1]
    assert "published" in choice.text and "image only" in choice.text
    choice.click()
    browser.until(lambda: len(headings(browser)) == len(before) - 1)
    choice.click()
    browser.until(lambda: headings(browser) == before)


def test_an_accuracy_tells_its_seeds_by_pointing(browser: Browser, page: Path):
    from selenium.webdriver import ActionChains

    browser.open(page.as_uri())
    cell = browser.find(f"{TABLE} tbody td")
    assert browser.style(f"{TABLE} tbody td", "content", "::after") == "none"
    ActionChains(browser.driver).move_to_element(cell).perform()
    browser.until(lambda: browser.style(f"{TABLE} tbody td", "content", "::after") != "none")
    told = browser.style(f"{TABLE} tbody td", "content", "::after")
    assert "seeds 0: " in told and "95% interval" in told and "distinct images" in told


def test_the_table_can_be_walked_by_keys(browser: Browser, page: Path):
    from selenium.webdriver import ActionChains

    browser.open(page.as_uri())
    browser.find(f"{TABLE} tbody td").click()
    ActionChains(browser.driver).send_keys(keys().ARROW_DOWN, keys().ARROW_RIGHT).perform()
    focused = f"const cell = document.querySelector('{TABLE} td.focus'); "
    place = "return [cell.closest('tr').rowIndex, cell.cellIndex]"
    browser.until(lambda: browser.run(focused + place) == [3, 2])
    ActionChains(browser.driver).send_keys(keys().ARROW_LEFT).perform()
    browser.until(lambda: "seeds" in browser.style(f"{TABLE} td.focus", "content", "::after"))


def tab_to(browser: Browser, wanted: str, most: int = 40) -> list[str]:
    """Press Tab until something has the focus; what had it on the way."""
    from selenium.webdriver import ActionChains

    seen: list[str] = []
    for _ in range(most):
        ActionChains(browser.driver).send_keys(keys().TAB).perform()
        name = "e.id || e.name || e.getAttribute('href') || e.className"
        seen.append(str(browser.run(f"const e = document.activeElement; return {name}")))
        if wanted in seen[-1]:
            return seen
    raise AssertionError(f"Tab does not reach {wanted}: {seen}")


def test_all_can_be_reached_by_tab_alone(browser: Browser, page: Path):

    browser.open(page.as_uri())
    assert "#comparison" in tab_to(browser, "#curves")
    assert tab_to(browser, "theme-auto")
    assert tab_to(browser, "buttons-colvis")
    browser.find("nav a[href='#curves']").send_keys(keys().ENTER)
    seen = tab_to(browser, "accuracy_recipe")
    assert "accuracy_source" in seen
    assert browser.style("select[name=accuracy_recipe]", "outlineStyle") == "solid"


def test_a_heading_sorts_and_a_filter_changes_by_keys(browser: Browser, page: Path):
    browser.open(page.as_uri())
    # DataTables gives a heading's focus to the button that stands in it.
    heading = browser.find(f"{TABLE} thead tr:last-child th:first-child [tabindex='0']")
    heading.send_keys(keys().ENTER)
    browser.until(lambda: column(browser, 1)[0] == "0:100")
    before = curves(browser)
    browser.find("select[name=accuracy_source]").send_keys(keys().ARROW_DOWN)
    browser.until(lambda: curves(browser) != before)


def test_it_is_dark_where_the_system_is(browser: Browser, page: Path):
    browser.open(page.as_uri())
    assert brightness(browser.style("body", "backgroundColor")) > 240
    browser.emulate("dark")
    assert brightness(browser.style("body", "backgroundColor")) < 40
    assert brightness(browser.style("body", "color")) > 200
    # Axes, and the lines of image only, follow.
    assert brightness(browser.style("#chart-accuracy svg .role-axis-label text", "fill")) > 200
    assert brightness(browser.style(f"{TABLE} thead tr:last-child th", "color")) > 120


@pytest.mark.parametrize("system", ["light", "dark"])
def test_the_theme_can_be_chosen_against_the_system(browser: Browser, page: Path, system: str):
    browser.emulate(system)
    browser.open(page.as_uri())
    browser.find("#theme-dark").click()
    assert brightness(browser.style("body", "backgroundColor")) < 40
    browser.find("#theme-light").click()
    assert brightness(browser.style("body", "backgroundColor")) > 240


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_can_be_read_in_both_themes(browser: Browser, page: Path, scheme: str):
    """The contrast of WCAG 2 for small text, 4.5 to 1, everywhere where the page sets a colour of its own."""
    browser.emulate(scheme)
    browser.open(page.as_uri())

    def luminance(colour: str) -> float:
        parts = [float(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    paper = luminance(browser.style("body", "backgroundColor"))
    for selector in ("body", "nav a", ".quiet", "dt", f"{TABLE} tbody td", f"{TABLE} thead tr:last-child th"):
        ink = luminance(browser.style(selector, "color"))
        contrast = (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05)
        assert contrast >= 4.5, (selector, contrast)


def test_on_paper_it_is_light_and_without_controls(browser: Browser, page: Path):
    browser.emulate("dark")
    browser.open(page.as_uri())
    browser.emulate("dark", "print")
    assert brightness(browser.style("body", "color")) < 60
    for selector in ("nav", ".theme", ".dt-buttons", ".vega-bindings"):
        assert browser.style(selector, "display") == "none", selector
    assert browser.find(TABLE).is_displayed()


def test_a_small_screen_does_not_scroll_sideways(browser: Browser, page: Path):
    browser.driver.set_window_size(500, 900)
    browser.open(page.as_uri())
    width, inner = browser.run("return [document.documentElement.scrollWidth, window.innerWidth]")
    assert width <= inner


def test_a_small_screen_cuts_no_legend_and_keeps_the_first_column(browser: Browser, page: Path):
    browser.driver.set_window_size(500, 900)
    browser.open(page.as_uri())
    right, inner = browser.run(
        "const of = document.querySelectorAll('#chart-accuracy .role-legend-label text');"
        "return [Math.max(...[...of].map((t) => t.getBoundingClientRect().right)), window.innerWidth]"
    )
    assert right <= inner
    scrolled, left = browser.run(
        "const box = document.querySelector('#comparison-1').closest('.dt-layout-cell'); box.scrollLeft = 120;"
        "const th = box.querySelector('tbody th');"
        "return [box.scrollLeft, th.getBoundingClientRect().left - box.getBoundingClientRect().left]"
    )
    assert scrolled > 0
    assert abs(left) < 2


def test_a_measure_tells_its_meaning_and_unit(browser: Browser, page: Path):
    browser.open(page.as_uri())
    title = "return document.querySelector('#chart-conversion .role-title-text').textContent"
    assert browser.run(title) == "cosine of a translated caption to its own image"
    options = browser.run(
        "return [...document.querySelectorAll('[name=conversion_measure] option')].map((o) => o.text)"
    )
    assert "all" not in options
    choose(browser, "conversion_measure", options[1])
    browser.until(lambda: browser.run(title) != "cosine of a translated caption to its own image")


def test_confused_classes_are_shown_with_photographs_and_texts(browser: Browser, page: Path):
    browser.open(page.as_uri())
    pair = browser.find("#confusions .pair")
    assert "Oak Wren taken for" in pair.text and "37.5% of its test images" in pair.text
    images = pair.find_elements("css selector", "img")
    assert len(images) == 3
    assert all(browser.run("return arguments[0].naturalWidth", image) == 144 for image in images)
    assert "Size: Size of Oak Wren by" in pair.text


def test_names_and_texts_are_never_taken_for_markup(browser: Browser, page: Path):
    browser.open(page.as_uri())
    assert browser.run("return window.broken") is None
    assert "<img src=x" in browser.find("#confusions .pair h4").text


def test_what_was_not_made_is_left_out_with_a_sentence(browser: Browser, bare_page: Path):
    browser.open(bare_page.as_uri())
    assert not browser.complaints()
    for section in ("conversion", "worth", "confusions", "classes", "costs"):
        said = browser.find(f"#{section}").text.splitlines()
        assert len(said) == 2 and said[1].endswith("."), section
    assert not browser.all("#further")
    assert not any("published" in heading for heading in headings(browser))


def test_headings_in_japanese(browser: Browser, japanese_page: Path):
    browser.open(japanese_page.as_uri())
    assert not browser.complaints()
    found = headings(browser)
    assert found[0] == "画像:テキスト (%)" and any(heading.endswith("画像のみ") for heading in found)
    assert browser.run(f"return document.querySelector('{TABLE}').closest('[lang]').lang") == "ja"
