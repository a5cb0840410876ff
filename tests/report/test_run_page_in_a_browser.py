"""The page of a run in a real browser: charts, buttons, keyboard, phone, and no requests."""

from pathlib import Path

import pytest

from browser import Browser
from jepa_lab.report.run_page import RunPage, write_run_page
from run_pages import collapsed

RANK = "[data-key='Effective rank (centred)']"
COMMAND = "python -m jepa_lab target=ema"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    (folder / "figures").mkdir()
    (folder / "figures" / "overview.png").write_bytes(b"png")
    return write_run_page(folder, collapsed())


def text(browser: Browser, selector: str) -> str:
    return str(browser.value(f"document.querySelector({selector!r}).textContent"))


def test_the_page_opens_without_errors_or_requests(opened: Browser, page: Path) -> None:
    assert opened.value("document.querySelectorAll('.plot').length") == 2
    assert opened.errors == []
    assert opened.requests == [page.resolve().as_uri()]
    assert opened.value("document.body.innerHTML.includes('NaN')") is False


def test_values_are_read_under_the_pointer_and_with_the_arrow_keys(opened: Browser) -> None:
    opened.hover(f"{RANK} svg[role=img]", across=0.98)
    assert text(opened, f"{RANK} .readout") == "step 800: z (64) 1.200"
    opened.value(f'document.querySelector("{RANK} .plot").focus()')
    opened.press("ArrowRight")
    opened.press("Escape")
    assert text(opened, f"{RANK} .readout") == ""
    opened.press("ArrowRight")
    assert text(opened, f"{RANK} .readout") == "step 100: z (64) 20.0"


def test_an_axis_of_small_settings_spreads_over_the_chart(browser: Browser, tmp_path: Path) -> None:
    series = {"arm": 0, "x": [1e-4, 1e-3, 1e-2], "y": [1.0, 2.0, 3.0]}
    lines = [{"name": "a", "colour": 0, "control": False}]
    chart = {"key": "k", "title": "k", "lines": lines, "series": [series], "bounds": []}
    chart |= {"notes": [], "x": "tau", "log_steps": True}
    page = RunPage("t", "healthy", [], "c", "", charts={"s": [chart]})
    browser.open(write_run_page(tmp_path, page))
    centres = (
        "[...document.querySelectorAll('.plot circle')].map(c => Math.round(c.cx.baseVal.value))"
    )
    assert browser.value(centres) == [46, 208, 370]


def test_limits_and_first_violations_are_marked(opened: Browser) -> None:
    assert text(opened, f"{RANK} .limit-name").startswith("limit: ")
    assert opened.value(f'document.querySelectorAll("{RANK} .mark.own").length') == 1
    assert text(opened, f"{RANK} .mark-name") == "1"
    other = "[data-key^='Scale'] .mark"
    assert opened.value(f'document.querySelector("{other}").classList.contains("own")') is False


def test_a_line_is_hidden_and_shown_with_the_keyboard_and_its_button_keeps_the_focus(
    opened: Browser,
) -> None:
    lines = f'document.querySelectorAll("{RANK} path.line").length'
    opened.value(f'document.querySelector("{RANK} .lines button").focus()')
    opened.press("Enter")
    assert opened.value(lines) == 0
    assert opened.value("document.activeElement.getAttribute('aria-pressed')") == "false"
    opened.press("Enter")
    assert opened.value(lines) == 1


def test_every_control_is_reached_with_tab_and_shows_its_focus(opened: Browser) -> None:
    opened.value(
        "window.controls ="
        " [...document.querySelectorAll('a[href], button, summary, [tabindex=\"0\"]')]"
    )
    reached = []
    for _ in range(opened.value("controls.length")):
        opened.press("Tab")
        at = "[controls.indexOf(document.activeElement), getComputedStyle(document.activeElement)"
        reached.append(opened.value(f"{at}.outlineStyle]"))
    assert [number for number, _ in reached] == list(range(len(reached)))
    assert len(reached) > 15
    assert {style for _, style in reached} == {"solid"}


@pytest.mark.parametrize("older", [False, True])
def test_a_command_is_copied_with_or_without_the_newer_interface(
    opened: Browser, older: bool
) -> None:
    if older:
        opened.value("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    opened.click(".copyable .copy")
    opened.value("new Promise(done => setTimeout(done, 100))")
    assert text(opened, ".copyable [role=status]") == "copied"
    assert opened.pasted() == COMMAND


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280])
def test_only_tables_may_be_wider_than_the_window(
    browser: Browser, page: Path, width: int, dark: bool
) -> None:
    browser.open(page, width=width, dark=dark)
    assert browser.value("document.documentElement.scrollWidth") == width
    out = f"""[...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll, svg, .skip')
        && e.getBoundingClientRect().right > {width} + 1).map(e => e.outerHTML.slice(0, 80))"""
    assert browser.value(out) == []
    empty = """[...document.querySelectorAll('thead tr')].flatMap(head => [...head.cells].filter(
        cell => getComputedStyle(cell).display === 'none' || cell.offsetWidth < 20))"""
    assert browser.value(empty) == []
