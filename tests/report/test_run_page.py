"""The page of a run: what stands on it, in which order, and nothing from outside."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from jepa_lab.report.run_page import RunPage, write_run_page
from run_pages import collapsed


class Reader(HTMLParser):
    """Collects tags with their attributes, and checks that every element is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def written(folder: Path, page: RunPage, *pictures: str) -> str:
    (folder / "figures").mkdir(exist_ok=True)
    for name in pictures:
        (folder / "figures" / f"{name}.png").write_bytes(b"png")
    path = write_run_page(folder, page)
    assert path == folder / "report.html"
    return path.read_text(encoding="utf-8")


def test_the_page_loads_nothing_and_its_policy_forbids_it(tmp_path: Path) -> None:
    html = written(tmp_path, collapsed(), "loss")
    reader = Reader()
    reader.feed(html)
    assert reader.open == []
    assert {tag for tag, _ in reader.tags}.isdisjoint({"img", "link", "iframe", "object"})
    assert not [attrs for _, attrs in reader.tags if "src" in attrs]
    (policy,) = (a["content"] for t, a in reader.tags if t == "meta" and "http-equiv" in a)
    inline = "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; script-src"
    assert policy == f"default-src 'none'; {inline} 'unsafe-inline'"


def test_the_page_answers_in_order(tmp_path: Path) -> None:
    html = written(tmp_path, collapsed(), "views")
    marks = [
        '<div class="verdict bad"',
        "<p>dimensional_collapse of z</p>",
        "<p>Prediction: learned (skill 0.9)</p>",
        "<p>Gates: 1 of 1 passed</p>",
        '<th scope="row">dimensional_collapse of z</th>',
        "The prediction loss rises.",
        "target=shared lets the targets become easy to predict",
        '<tr class="outside"><th scope="row">z effective rank</th><td class="num">1.2</td>',
        '<tr><th scope="row">z spread</th><td class="num">0.8</td>',
        "z 512",
        '<pre class="command">python -m jepa_lab target=ema</pre>',
        "<li>Wait.</li>",
        'data-charts="Representation"',
        "84.3 %<br><small>80.1 to 87.8</small>",
        "n = 340",
        '<a href="figures/views.png">',
        "<dt>commit</dt><dd>0123abc</dd>",
        "glob(teacherless_?)",
        "<summary>Configuration</summary>",
    ]
    places = [html.index(mark, html.index("<body>")) for mark in marks]
    assert places == sorted(places)


def test_pictures_are_named_with_a_caption_in_their_order_and_not_embedded(tmp_path: Path) -> None:
    (tmp_path / "figures" / "same").mkdir(parents=True)
    names = ("another", "ranks", "loss", "overview", "views", "same/heatmap_loss")
    html = written(tmp_path, collapsed(), *names)
    found = re.findall(r'href="figures/(.+?)\.png">.+?\.png</a>(.*?)</li>', html)
    order = ["views", "same/heatmap_loss", "overview", "loss", "ranks", "another"]
    assert [name for name, _ in found] == order
    assert [words.startswith(": ") for _, words in found] == [True] * 5 + [False]
    assert "base64" not in html


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
    assert f'class="verdict {tone}"' in written(tmp_path, collapsed(verdict))


def test_a_run_without_figures_or_metrics_has_a_page(tmp_path: Path) -> None:
    html = written(tmp_path, RunPage("t", "too_short", [], "c", "", unfinished="was stopped"))
    assert "Nothing was measured" in html
    assert "<p>was stopped</p>" in html
    assert {"#try", "#curves", "#pictures"}.isdisjoint(re.findall(r'href="(#\w+)"', html))


def test_only_columns_with_values_are_shown(tmp_path: Path) -> None:
    html = written(tmp_path, collapsed())
    assert ">validation</th>" in html
    assert ">test</th>" not in html
