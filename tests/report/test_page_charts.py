"""The charts of a run's page: limits, references, marks, intervals and captions."""

import json
import math

import pytest

from jepa_lab.diagnosis.finding import Finding
from jepa_lab.report.captions import CHARTS, LINES, caption
from jepa_lab.report.page_charts import MOST, SECTIONS, run_charts, thinned

STEPS = range(10, 60, 10)
HISTORY = {
    "val/z/effective_rank": [(s, 9.0 - s / 10) for s in STEPS],
    "val/z_agg/effective_rank": [(s, 8.0) for s in STEPS],
    "reference/z/effective_rank": [(0, 7.5)],
    "val/probe/class_from_z_agg": [(s, 0.5) for s in STEPS],
    "val/probe/action_from_z_agg": [(s, 0.5) for s in STEPS],
    "reference/probe/class_from_pixels": [(0, 0.92)],
    "reference/probe/class_from_untrained_z": [(0, 0.72)],
    "reference/probe/class_from_constant": [(0, 0.11)],
    "train/loss/prediction": [(s, math.nan if s == 30 else 1.0 / s) for s in STEPS],
    "val/loss/constant": [(s, 1.0) for s in STEPS],
}


def charts(**options) -> dict[str, dict]:  # type: ignore[no-untyped-def]
    found = run_charts(HISTORY, **{"limits": {}, **options})
    json.dumps(found, allow_nan=False)
    return {one["title"]: one for several in found.values() for one in several}


def test_only_panels_with_data_are_charts_and_none_is_drawn_twice() -> None:
    names = [one["title"] for several in run_charts(HISTORY, {}).values() for one in several]
    titles = ["Prediction loss", "Class probes", "Action probes", "Effective rank (centred)"]
    assert names == titles


def test_limits_that_agree_share_a_line_which_names_its_taps() -> None:
    limits = {"val/z/effective_rank": 4.0, "val/z_agg/effective_rank": 4.0}
    (bound,) = charts(limits=limits)["Effective rank (centred)"]["bounds"]
    assert bound == {"y": 4.0, "name": "limit of z, z_agg: 4", "arms": [0, 1]}
    two = charts(limits={**limits, "val/z/effective_rank": 3.0})["Effective rank (centred)"]
    assert [bound["arms"] for bound in two["bounds"]] == [[0], [1]]
    assert charts(limits=limits)["Class probes"]["bounds"] == []


def test_references_are_lines_of_their_own_and_start_levels_belong_to_theirs() -> None:
    probes, ranks = charts()["Class probes"], charts()["Effective rank (centred)"]
    names = ["from z_agg", "raw pixels 92", "untrained encoder 72", "constant 11"]
    assert [line["name"] for line in probes["lines"]] == names
    assert [one.get("level") for one in probes["series"]] == [None, 92.0, 72.0, 11.0]
    assert [one.get("start") for one in ranks["series"]] == [7.5, None]
    assert "best constant" in [line["name"] for line in charts()["Prediction loss"]["lines"]]


def test_a_class_probe_has_an_interval_if_the_number_of_images_is_known() -> None:
    (one, *_) = charts(images=340)["Class probes"]["series"]
    assert (one["lo"][0], one["hi"][0]) == pytest.approx((44.71, 55.29), abs=0.01)
    assert charts(images=340)["Class probes"]["notes"] == ["bands: 95 % interval, n = 340 images"]
    assert all("lo" not in one for one in charts()["Class probes"]["series"])
    assert all("lo" not in one for one in charts(images=340)["Action probes"]["series"])


def test_a_violation_marks_every_chart_and_is_the_own_one_of_its_quantity() -> None:
    events = [
        Finding("low_rank", "4.0", 0.9, tap="z", since=40, quantity="effective_rank"),
        Finding("diverged", "NaN", 0.9, since=50, first=30, quantity="train/loss/prediction"),
    ]
    marks = {name: one["marks"] for name, one in charts(events=events).items()}
    assert [(m["n"], m["x"]) for m in marks["Class probes"]] == [(1, 40), (2, 30)]
    own = {name: [m["own"] for m in found] for name, found in marks.items()}
    assert own["Effective rank (centred)"] == [True, False]
    assert own["Prediction loss"] == [False, True]
    assert own["Class probes"] == [False, False]


def test_a_value_that_is_not_finite_is_a_gap_with_a_note() -> None:
    loss = charts()["Prediction loss"]
    assert loss["series"][0]["y"][2] is None
    assert loss["broken"] == 30
    assert loss["notes"] == ["dotted: NaN or inf, first at step 30"]


def test_a_thinned_curve_keeps_its_ends_its_spikes_and_its_gaps() -> None:
    points = [(step, math.sin(step)) for step in range(10_000)]
    points[1234], points[4321], points[7777] = (1234, 50.0), (4321, -50.0), (7777, math.nan)
    kept = thinned(points)
    assert len(kept) <= MOST + 2
    assert {kept[0], kept[-1], (1234, 50.0), (4321, -50.0)} <= {points[0], points[-1], *kept}
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert 7777 in dict(kept)
    assert thinned(points[:MOST]) == points[:MOST]


def test_every_panel_has_a_caption_and_no_caption_is_left_over() -> None:
    titles = {make({}).title for makers in SECTIONS.values() for make in makers}
    assert titles == set(CHARTS)
    assert {title for title, _ in LINES} <= titles


def test_a_caption_explains_only_lines_that_are_there() -> None:
    panels = [make(HISTORY) for makers in SECTIONS.values() for make in makers]
    texts = {panel.title: caption(panel) for panel in panels if panel.series}
    assert texts["Prediction loss"].endswith("The best constant ignores its input.")
    assert "readout" not in texts["Prediction loss"]
    assert "raw pixels" in texts["Class probes"]
