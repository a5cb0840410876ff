"""The page in a real browser: it opens without errors, sorts, filters, and makes no requests."""

import random
from pathlib import Path

import pytest

from browser import Browser
from comparison_runs import both_stages, every_state, make_run
from jepa_lab.report.comparison.find_runs import find_runs
from jepa_lab.report.comparison.report import ReportRequest, write_found, write_report

CELLS = (
    "[...document.querySelectorAll('#{table} tbody tr')].map(r => r.cells[{column}].textContent)"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("report")
    every_state(root / "runs")
    return write_report(root / "runs", root / "out").paths[-1]


@pytest.fixture(scope="module")
def two_groups(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("groups")
    for name in ("cifar10_rot", "digits_rot"):
        for arm in ("a", f"b_{name}"):
            run_id = f"{name}-{arm}"
            make_run(root / "runs" / name, arm, 0, settings={"dataset.name": name}, run_id=run_id)
    return write_report(root / "runs", root / "out", ReportRequest(group_by=("dataset",))).paths[-1]


def column(browser: Browser, table: str, name: str) -> list[str]:
    heads = browser.value(
        f"[...document.querySelectorAll('#{table} thead th')].map(h => h.innerText.trim())"
    )
    index = next(i for i, head in enumerate(heads) if head.rstrip("↑↓") == name)
    return browser.value(CELLS.format(table=table, column=index))


def click_head(browser: Browser, table: str, name: str) -> None:
    browser.value(
        f"[...document.querySelectorAll('#{table} thead button')]"
        f".find(b => b.innerText.trim().replace(/[↑↓]/, '') === {name!r}).click()"
    )


def shown_in_charts(browser: Browser) -> int:
    return browser.value(
        "document.querySelectorAll('[data-key=\"train/loss/total\"] path.line').length"
    )


def test_the_page_opens_without_errors_or_further_requests(opened: Browser, page: Path) -> None:
    assert (
        opened.value("document.querySelector('h1').textContent") == "24 runs compared on digits_rot"
    )
    assert opened.errors == []
    assert opened.requests == [page.resolve().as_uri()]
    assert opened.value("performance.getEntriesByType('resource').length") == 0


def test_the_browser_detects_errors_and_requests_of_a_page(
    browser: Browser, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text("<img src='picture.png'><script>console.error('x'); nothing();</script>")
    browser.errors.clear()
    browser.requests.clear()
    browser.open(bad)
    assert any(url.endswith("picture.png") for url in browser.requests)
    assert len(browser.errors) >= 2


def test_the_verdict_and_the_ranking_come_first(opened: Browser) -> None:
    verdict = opened.value("document.querySelector('main').firstChild.innerText")
    assert verdict.startswith("Against the control seq_jepa_baseline, no difference shown: better")
    assert opened.value("document.querySelector('main section').id") == "ranking"
    names = ["better", "seq_jepa_baseline (control)", "partial", "collapsed", "never"]
    assert [name.strip() for name in column(opened, "ranking-table", "arm")] == names
    assert column(opened, "ranking-table", "rank") == ["1", "2", "3", "4", "–"]


def test_a_header_sorts_by_value_in_both_directions_with_missing_values_last(
    opened: Browser,
) -> None:
    click_head(opened, "ranking-table", "mean, %")
    assert [text.split(" ")[0] for text in column(opened, "ranking-table", "mean, %")] == [
        "95.3",
        "92.8",
        "82.5",
        "80.2",
        "",
    ]
    click_head(opened, "ranking-table", "mean, %")
    assert [text.split(" ")[0] for text in column(opened, "ranking-table", "mean, %")] == [
        "80.2",
        "82.5",
        "92.8",
        "95.3",
        "",
    ]
    sorts = opened.value(
        "[...document.querySelectorAll('#ranking-table th[aria-sort]')].map(h => h.ariaSort)"
    )
    assert sorts == ["ascending"]


def test_a_header_can_be_sorted_with_the_keyboard(opened: Browser) -> None:
    opened.value("document.querySelector('#runs-table thead th:nth-child(2) button').focus()")
    opened.press("Enter")
    seeds = [int(text) for text in column(opened, "runs-table", "seed")]
    assert seeds == sorted(seeds, reverse=True)
    assert len(seeds) == 24


def test_filters_combine_and_the_number_of_remaining_runs_is_shown(opened: Browser) -> None:
    def choose(id_: str, value: str) -> None:
        opened.value(
            f"(e => {{ e.value = {value!r}; e.dispatchEvent(new Event('change')); }})"
            f"(document.getElementById('{id_}'))"
        )

    choose("filter-verdict", "complete_collapse")
    assert column(opened, "runs-table", "arm") == ["collapsed"] * 6
    assert opened.value("document.querySelector('#runs-table .cap').textContent") == "6 of 24 runs"
    choose("filter-verdict", "")
    choose("filter-state", "failed")
    assert column(opened, "runs-table", "arm") == ["partial", "never"]
    opened.value(
        "(e => { e.value = 'MEMORY'; e.dispatchEvent(new Event('input')); })"
        "(document.getElementById('filter-text'))"
    )
    assert column(opened, "runs-table", "arm") == ["partial"]


def test_lines_on_earlier_work_have_their_own_section(
    opened: Browser, page: Path, tmp_path: Path
) -> None:
    assert opened.value("document.querySelector('#about')") is None
    for seed in (0, 1):
        make_run(tmp_path / "runs", "one", seed)
        make_run(tmp_path / "runs", "two", seed)
    about = ["Tuning: <b>two</b> weights", "one: 0.1"]
    opened.open(write_found(find_runs(tmp_path / "runs"), tmp_path / "out", about=about).paths[-1])
    assert (
        opened.value("[...document.querySelectorAll('#about li')].map(l => l.textContent)") == about
    )
    assert opened.value("document.querySelector('nav a[href=\"#about\"]') !== null")
    assert "Tuning" not in opened.value("document.querySelector('#missing').innerText")
    assert opened.errors == []


def test_the_tuning_has_a_table_with_the_chosen_weight_and_a_chart(
    browser: Browser, tmp_path: Path
) -> None:
    write = write_report(both_stages(tmp_path / "runs"), tmp_path / "out")
    browser.errors.clear()
    browser.open(write.paths[-1], width=390)
    assert [text.strip() for text in column(browser, "tuning-table", "arm")] == ["vicreg"]
    assert column(browser, "tuning-table", "weight taken") == ["1"]
    assert browser.value("document.querySelector('#tuning-table strong').textContent") == "99.0"
    assert browser.value("document.querySelectorAll('#tuning-plot circle[r=\"8\"]').length") == 1
    assert "chose the weights" in browser.value("document.querySelector('#about').innerText")
    assert browser.value("document.documentElement.scrollWidth") == 390
    assert browser.errors == []


def test_text_of_runs_is_not_parsed_as_html(opened: Browser) -> None:
    assert "out of memory <b>bold</b>" in opened.value(
        "document.querySelector('#missing').innerText"
    )
    assert opened.value("document.querySelectorAll('#app b').length") == 0


def test_charts_draw_a_line_for_each_shown_arm_only(opened: Browser) -> None:
    keys = opened.value("[...document.querySelectorAll('[data-key]')].map(f => f.dataset.key)")
    assert {"val/z_agg/effective_rank", "val/z/feature_std", "train/gradient_cosine/rate"} <= set(
        keys
    )
    assert shown_in_charts(opened) == 5
    opened.value("document.querySelector('#legend input').click()")
    assert shown_in_charts(opened) == 4
    assert opened.value("document.querySelector('#app').innerHTML.includes('NaN')") is False


def test_arrow_keys_read_values_of_a_chart(opened: Browser) -> None:
    chart = "document.querySelector('[data-key=\"val/probe/class_from_z_agg\"]')"
    opened.value(f"{chart}.querySelector('.plot').focus()")
    opened.press("ArrowRight")
    caption = opened.value(f"{chart}.querySelector('.readout').textContent")
    assert caption.startswith("step 0: better 10.0 (10.0–10.0) · ")
    opened.press("ArrowRight")
    assert opened.value(f"{chart}.querySelector('.readout').textContent").startswith("step 10: ")


def test_the_axis_of_an_accuracy_starts_at_zero(opened: Browser) -> None:
    ticks = (
        "[...document.querySelectorAll('[data-key=\"val/probe/class_from_z_agg\"] svg text')].map(t"
        " => t.textContent)"
    )
    assert opened.value(ticks)[0] == "0"


def test_colours_follow_the_system_and_the_button(browser: Browser, page: Path) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    browser.open(page)
    light = browser.value(background)
    browser.open(page, dark=True)
    dark = browser.value(background)
    assert light != dark
    browser.value("document.getElementById('theme').click()")
    assert browser.value(background) == light
    browser.value("localStorage.clear()")


@pytest.fixture(scope="module")
def long_names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("long")
    for i in range(12):
        own = {"loss.form": f"a_form_of_a_long_name_{i} " * 6}
        make_run(root / "runs" / str(i), "a_long_experiment_name", 0, settings=own, run_id=str(i))
    return write_report(root / "runs", root / "out").paths[-1]


@pytest.mark.parametrize("width", [390, 768, 1280])
@pytest.mark.parametrize("which", ["page", "long_names"])
def test_only_tables_may_be_wider_than_the_window(
    browser: Browser, request: pytest.FixtureRequest, which: str, width: int
) -> None:
    browser.open(request.getfixturevalue(which), width=width)
    assert browser.value("document.documentElement.scrollWidth") == width
    out = f"""[...document.querySelectorAll('#app *')]
        .filter(e => !e.closest('.scroll, .legend, svg, .skip')
        && e.getBoundingClientRect().right > {width} + 1).map(e => e.outerHTML.slice(0, 80))"""
    assert browser.value(out) == []
    plain = """[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth
        && !(getComputedStyle(e).backgroundImage.includes('gradient') && e.tabIndex === 0))"""
    assert browser.value(f"{plain}.length") == 0  # whatever scrolls has a cue and takes the focus
    if width == 390:
        assert browser.value("document.querySelector('.scroll').scrollWidth") > width


def test_the_page_shows_one_group_at_a_time(browser: Browser, two_groups: Path) -> None:
    browser.errors.clear()
    browser.open(two_groups)
    assert column(browser, "runs-table", "arm") == ["a", "b_cifar10_rot"]
    browser.value(
        "(e => { e.value = '1'; e.dispatchEvent(new Event('change'));"
        " })(document.getElementById('group'))"
    )
    assert column(browser, "runs-table", "arm") == ["a", "b_digits_rot"]
    assert browser.errors == []


@pytest.mark.slow
def test_a_page_of_two_hundred_runs_is_below_five_megabytes_and_opens(
    browser: Browser, tmp_path: Path
) -> None:
    draw = random.Random(0)
    for arm in range(25):
        for seed in range(8):
            extra = {f"train/loss/term_{i}": draw.random() for i in range(3)}
            make_run(
                tmp_path / "runs",
                f"arm_{arm:02d}",
                seed,
                draw.random(),
                extra=extra,
                steps=range(0, 3000, 10),
            )
    page = write_report(tmp_path / "runs", tmp_path / "out").paths[-1]
    assert page.stat().st_size < 5e6
    browser.errors.clear()
    browser.open(page)
    assert len(column(browser, "runs-table", "arm")) == 200
    assert shown_in_charts(browser) == 8
    assert browser.errors == []
