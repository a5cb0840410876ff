import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from jepa_lab.diagnosis import examine
from jepa_lab.diagnosis.remedies import Remedies
from jepa_lab.report.run_page import write_run_page
from jepa_lab.report.table import TableRow
from jepa_lab.report.why import why

ROWS = [
    TableRow("Probes", "class from z_agg", validation="84.3 %", reference="expected <85 %>"),
    TableRow("Prediction", "skill", validation="0.710"),
]
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Reader(HTMLParser):
    """Collects tags with their attributes, and checks that every element is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page(
    folder: Path, verdict: str = "healthy: all taps keep their rank", rows: list[TableRow] = ROWS
) -> str:
    path = write_run_page(
        folder,
        title="teacherless_b <seed 0>",
        verdict_line=verdict,
        table_rows=rows,
        command="python -m jepa_lab '+experiment=glob(teacherless_?)' & echo",
        config_yaml="loss: {lambda_rate: 0.001}  # <script>alert(1)</script>\n",
    )
    assert path == folder / "report.html"
    return path.read_text(encoding="utf-8")


def with_figures(folder: Path, *names: str) -> Path:
    (folder / "figures").mkdir()
    for name in names:
        (folder / "figures" / f"{name}.png").write_bytes(PIXEL)
    return folder


def test_the_page_is_self_contained(tmp_path: Path) -> None:
    html = page(with_figures(tmp_path, "loss"))
    assert not re.search(r"https?://|//[a-z]", html.replace("<!doctype html>", ""))
    reader = Reader()
    reader.feed(html)
    assert reader.open == []
    assert {tag for tag, _ in reader.tags}.isdisjoint({"script", "link", "iframe", "object"})
    sources = [attrs["src"] or "" for _, attrs in reader.tags if "src" in attrs]
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert base64.b64decode(sources[0].partition(",")[2]) == PIXEL


def test_the_page_has_verdict_table_figures_command_and_config_in_this_order(
    tmp_path: Path,
) -> None:
    html = page(with_figures(tmp_path, "loss"))
    marks = [
        "all taps keep",
        "84.3 %",
        "0.710",
        "<img",
        "glob(teacherless_?)",
        "<details>",
        "lambda_rate",
    ]
    places = [html.index(mark, html.index("<body>")) for mark in marks]
    assert places == sorted(places)


def test_user_text_is_escaped(tmp_path: Path) -> None:
    html = page(tmp_path)
    assert "<script>" not in html
    assert "teacherless_b &lt;seed 0&gt;" in html
    assert "expected &lt;85 %&gt;" in html
    assert "&amp; echo" in html


def test_known_figures_have_a_fixed_order_and_others_follow(tmp_path: Path) -> None:
    html = page(with_figures(tmp_path, "views", "another", "ranks", "loss", "overview"))
    assert re.findall(r'alt="(\w+)"', html) == ["overview", "loss", "ranks", "views", "another"]


@pytest.mark.parametrize(
    ("verdict", "tone"),
    [
        ("healthy: fine", "good"),
        ("low_rank: graded", "note"),
        ("inconclusive (64 samples)", "note"),
        ("", "note"),
        ("complete_collapse since step 40", "bad"),
        ("diverged", "bad"),
    ],
)
def test_the_status_sets_the_colour_of_the_verdict(tmp_path: Path, verdict: str, tone: str) -> None:
    assert f'class="verdict {tone}"' in page(tmp_path, verdict)


def test_the_page_supports_phones_and_dark_mode(tmp_path: Path) -> None:
    html = page(tmp_path)
    assert 'name="viewport" content="width=device-width' in html
    assert "prefers-color-scheme: dark" in html
    assert "color-scheme: light dark" in html


def test_a_run_without_figures_or_metrics_has_a_page(tmp_path: Path) -> None:
    html = page(tmp_path, rows=[])
    assert "<img" not in html
    assert "<h2>Figures</h2>" not in html
    assert "Nothing was measured" in html


def test_only_columns_with_values_are_shown(tmp_path: Path) -> None:
    html = page(tmp_path)
    assert ">validation</th>" in html
    assert ">test</th>" not in html


def test_the_page_shows_what_failed_first_and_every_range(tmp_path: Path) -> None:
    steps = [100 * i for i in range(1, 9)]
    fallen = {
        "val/z/effective_rank": [(s, 20.0 if s < 500 else 1.2) for s in steps],
        "val/z/feature_std_l2": [(s, 0.8) for s in steps],
        "val/z/n": [(s, 512.0) for s in steps],
        "val/z/d": [(s, 64.0) for s in steps],
    }
    config = {"target": {"name": "shared"}, "loss": {"lambda_rate": 0.0}, "optim": {"lr": 0.1}}
    reasons = why(examine(fallen, config=config), fallen, config, Remedies())
    page = write_run_page(
        tmp_path,
        title="t",
        verdict_line="dimensional_collapse of z",
        table_rows=[],
        command="c",
        config_yaml="",
        why=reasons,
        diagnose="jepa-lab diagnose runs/x",
    ).read_text()
    assert "<td>dimensional_collapse of z</td><td>500</td>" in page
    assert '<tr class="outside"><td>z effective rank</td><td>1.2</td>' in page
    assert "<tr><td>z spread</td><td>0.8</td>" in page
    assert "z 512" in page
    assert "target=shared lets the targets become easy to predict" in page
    assert "<code>jepa-lab diagnose runs/x</code>" in page
