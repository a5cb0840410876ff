import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from jepa_lab.report import figures
from jepa_lab.report.panels import retrieval_panel
from jepa_lab.report.tap_panels import TAPS, tap_color

STEPS = range(0, 100, 10)
NOT_DRAWN = figures.not_drawn  # conftest.py replaces it


def full_history() -> dict[str, list[tuple[int, float]]]:
    keys = [
        f"{split}/loss/{term}"
        for split in ("train", "val")
        for term in ("total", "prediction", "rate")
    ]
    keys += [f"val/probe/{name}" for name in ("class_from_z_agg", "class_from_z", "action_from_z")]
    keys += [
        "val/probe/relative_action_from_z",
        "val/probe/action_from_z_agg",
        "val/probe/view_from_z_agg",
    ]
    keys += ["val/skill", "val/action_gain", "val/copy_gain", "val/z_agg/within_share"]
    history = {
        key: [(step, 0.1 + index + step / 200) for step in STEPS] for index, key in enumerate(keys)
    }
    for index, tap in enumerate(TAPS):
        for metric in ("effective_rank", "rankme", "participation_ratio", "feature_std_l2"):
            history[f"val/{tap}/{metric}"] = [(step, 1 + index + step / 50) for step in STEPS]
            history[f"reference/{tap}/{metric}"] = [(0, 7.5 + index)]
        history[f"val/{tap}/d"] = [(step, 64.0) for step in STEPS]
    return history


def titles(figure: Figure | None) -> list[str]:
    assert figure is not None
    return [ax.get_title(loc="left") for ax in figure.axes]


def axes_of(figure: Figure | None, title: str):  # type: ignore[no-untyped-def]
    assert figure is not None
    return next(ax for ax in figure.axes if ax.get_title(loc="left").startswith(title))


def labels(ax) -> list[str]:  # type: ignore[no-untyped-def]
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_every_figure_is_written_as_a_png(tmp_path: Path) -> None:
    written = figures.draw_figures(
        full_history(),
        tmp_path / "figures",
        title="teacherless_b",
        verdict_line="healthy",
        spectra={"z": [3.0, 1.0, 0.1]},
        views=np.random.default_rng(0).random((2, 3, 1, 8, 8)),
        captions=[["+10", "+20"]] * 2,
    )
    assert list(written) == ["overview", "loss", "probes", "ranks", "spectrum", "views"]
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        f"{name}.png" for name in written
    }
    for path in written.values():
        assert path.read_bytes().startswith(b"\x89PNG\r\n")
        assert path.stat().st_size > 5_000


def test_an_empty_history_draws_nothing(tmp_path: Path) -> None:
    assert figures.draw_figures({}, tmp_path / "figures") == {}
    assert figures.draw_figures({"val/z/effective_rank": []}, tmp_path / "figures") == {}
    assert not (tmp_path / "figures").exists()


def test_a_full_history_has_all_panels() -> None:
    history = full_history()
    assert titles(figures.loss_figure(history)) == [
        "Prediction loss",
        "Total loss",
        "Rate term -R(Z)",
    ]
    assert titles(figures.probes_figure(history)) == [
        "Class probes",
        "Action probes",
        "Prediction skill",
        "Gain over a wrong input",
    ]
    assert len(titles(figures.ranks_figure(history))) == 5
    assert len(titles(figures.overview_figure(history))) == 6


@pytest.mark.parametrize(
    ("prefix", "make", "gone"),
    [
        ("val/probe/class", figures.probes_figure, "Class probes"),
        ("val/skill", figures.probes_figure, "Prediction skill"),
        ("val/copy_gain|val/action_gain", figures.probes_figure, "Gain over a wrong input"),
        ("train/loss/rate|val/loss/rate", figures.loss_figure, "Rate term -R(Z)"),
        ("val/z_agg/within_share", figures.ranks_figure, "Variance over views"),
    ],
)
def test_a_missing_key_removes_only_its_panel(prefix, make, gone) -> None:  # type: ignore[no-untyped-def]
    history = full_history()
    before = titles(make(history))
    kept = {
        key: points
        for key, points in history.items()
        if not key.startswith(tuple(prefix.split("|")))
    }
    assert titles(make(kept)) == [title for title in before if title != gone]


@pytest.mark.parametrize("key", sorted(full_history()))
def test_a_single_metric_is_drawn_without_empty_panels(key: str) -> None:
    history = {key: [(5, 1.0)]}
    for make in (
        figures.loss_figure,
        figures.probes_figure,
        figures.ranks_figure,
        figures.overview_figure,
    ):
        figure = make(history)
        for ax in figure.axes if figure is not None else []:
            assert any(len(line.get_xdata()) for line in ax.lines)


def test_the_total_loss_is_left_out_if_it_equals_the_prediction_loss() -> None:
    history = full_history()
    for split in ("train", "val"):
        history[f"{split}/loss/total"] = history[f"{split}/loss/prediction"]
    assert "Total loss" not in titles(figures.loss_figure(history))


def test_other_loss_terms_have_their_own_panel() -> None:
    history = full_history() | {"train/loss/vicreg_variance": [(0, 1.0), (1, 0.5)]}
    ax = axes_of(figures.loss_figure(history), "Regulariser")
    assert labels(ax) == ["vicreg_variance"]


def test_accuracy_is_drawn_in_percent() -> None:
    ax = axes_of(figures.probes_figure({"val/probe/class_from_z": [(0, 0.25), (10, 0.5)]}), "Class")
    assert list(ax.lines[0].get_ydata()) == [25.0, 50.0]
    assert ax.get_ylabel() == "accuracy, %"


def test_the_accuracies_before_training_are_dashed_levels_of_the_class_probes() -> None:
    history = full_history() | {
        f"reference/probe/class_from_{name}": [(0, value)]
        for name, value in (("pixels", 0.9), ("untrained_z", 0.7), ("constant", 0.12))
    }
    ax = axes_of(figures.probes_figure(history), "Class")
    levels = [line for line in ax.lines if line.is_dashed()]
    assert [line.get_ydata()[0] for line in levels] == [90.0, 70.0, 12.0]
    assert [line.get_label() for line in levels] == ["raw pixels", "untrained encoder", "constant"]
    assert labels(ax)[-3:] == ["raw pixels", "untrained encoder", "constant"]
    assert ax.get_ylim()[0] < 12.0
    only_levels = {key: value for key, value in history.items() if "val/probe/class" not in key}
    assert "Class probes" not in titles(figures.probes_figure(only_levels))


def test_the_loss_of_the_best_constant_is_drawn_beside_the_prediction_loss() -> None:
    history = full_history() | {"val/loss/constant": [(0, 0.8), (90, 0.6)]}
    ax = axes_of(figures.loss_figure(history), "Prediction")
    assert "best constant" in labels(ax)
    assert titles(figures.loss_figure(history)) == titles(figures.loss_figure(full_history()))


def test_a_single_point_is_drawn_as_a_marker() -> None:
    ax = axes_of(figures.probes_figure({"val/skill": [(7, 0.5)]}), "Prediction skill")
    assert ax.lines[0].get_marker() == "o"


def test_the_level_at_initialisation_is_a_dashed_line_in_the_colour_of_its_tap() -> None:
    ax = axes_of(figures.ranks_figure(full_history()), "Effective rank")
    levels = {
        line.get_ydata()[0]: line for line in ax.lines if line.is_dashed() and len(line.get_ydata())
    }
    assert sorted(levels) == [7.5, 8.5, 9.5, 10.5]
    assert [levels[7.5 + index].get_color() for index in range(4)] == [
        tap_color(tap, TAPS) for tap in TAPS
    ]
    assert labels(ax) == ["z (64)", "z_agg (64)", "z_hat (64)", "z_target (64)", "at start"]


def test_taps_never_share_a_colour() -> None:
    taps = [*TAPS, "codebook", "context"]
    assert len({tap_color(tap, taps) for tap in taps}) == len(taps)


def test_the_legend_lies_outside_the_axes() -> None:
    for make in (figures.loss_figure, figures.probes_figure, figures.ranks_figure):
        figure = make(full_history())
        assert figure is not None
        figure.draw_without_rendering()
        for ax in figure.axes:
            box, legend = ax.get_window_extent(), ax.get_legend().get_window_extent()
            assert legend.y0 >= box.y1 - 1
            assert legend.x1 <= figure.bbox.x1


def test_neighbouring_titles_are_aligned_and_inside_the_page() -> None:
    figure = figures.overview_figure(full_history(), title="name", verdict_line="word " * 60)
    assert figure is not None
    figure.draw_without_rendering()
    boxes = [ax._left_title.get_window_extent() for ax in figure.axes]
    for row in (boxes[:3], boxes[3:]):
        assert max(box.y0 for box in row) - min(box.y0 for box in row) < 1
    lowest_text = min(text.get_window_extent().y0 for text in figure.texts)
    assert max(box.y1 for box in boxes) < lowest_text
    assert all(text.get_window_extent().x1 < figure.bbox.x1 for text in figure.texts)


def test_a_diverged_run_is_drawn_until_its_first_nan_and_marked() -> None:
    loss = [(step, 1.0 if step < 50 else math.nan) for step in STEPS]
    ax = axes_of(figures.loss_figure({"train/loss/prediction": loss}), "Prediction")
    assert "NaN or inf" in labels(ax)
    assert any(list(line.get_xdata()) == [50, 50] for line in ax.lines)


@pytest.mark.parametrize(
    "values", [[math.nan], [math.inf, -math.inf], [0.0, 0.0], [-7.0], [1e38, 1.0]]
)
@pytest.mark.parametrize("key", ["train/loss/prediction", "val/skill", "val/z/feature_std_l2"])
def test_extreme_values_are_drawn_with_an_increasing_axis(
    key: str, values: list[float], tmp_path: Path
) -> None:
    for path in figures.draw_figures({key: list(enumerate(values))}, tmp_path).values():
        assert path.stat().st_size > 1_000
    for make in (figures.loss_figure, figures.probes_figure, figures.ranks_figure):
        figure = make({key: list(enumerate(values))})
        for ax in figure.axes if figure is not None else []:
            low, high = ax.get_ylim()
            assert low < high


def test_a_loss_over_decades_has_a_log_axis() -> None:
    ax = axes_of(
        figures.loss_figure({"train/loss/prediction": [(0, 1000.0), (1, 0.01)]}), "Prediction"
    )
    assert ax.get_yscale() == "log"


def test_one_outlier_does_not_flatten_the_r2_panel() -> None:
    history = {"val/probe/action_from_z": [(0, -900.0), (1, 0.5), (2, 0.6)]}
    ax = axes_of(figures.probes_figure(history), "Action")
    assert ax.get_ylim()[0] > -0.5
    assert any("lowest -900" in text.get_text() for text in ax.texts)


def test_the_spectrum_is_sorted_and_relative_to_its_largest_eigenvalue() -> None:
    figure = figures.spectrum_figure({"z": [1.0, 4.0, 2.0], "reference/z": [1.0, 1.0, 1.0]})
    assert figure is not None
    line, reference = figure.axes[0].lines
    assert list(line.get_ydata()) == [1.0, 0.5, 0.25]
    assert reference.is_dashed()
    assert line.get_color() == reference.get_color()
    assert figure.axes[0].get_yscale() == "log"


def test_a_spectrum_without_variance_is_not_drawn() -> None:
    assert figures.spectrum_figure({"z": [0.0, 0.0], "z_agg": [], "z_hat": [math.nan, 1.0]}) is None


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_actions_are_captions_of_the_view_that_they_lead_to(channels: int) -> None:
    figure = figures.views_figure(np.zeros((9, 4, channels, 5, 5)), [["a", "b", "c"]] * 9, rows=2)
    assert len(figure.axes) == 8
    assert [ax.get_xlabel() for ax in figure.axes[:4]] == ["", "a", "b", "c"]


def test_views_of_another_shape_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"\(4, 3, 8, 8\)"):
        figures.views_figure(np.zeros((4, 3, 8, 8)))


def test_drawing_does_not_import_pyplot() -> None:
    code = "import sys, jepa_lab.report.figures; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_retrieval_without_a_network_is_a_level_over_all_validations() -> None:
    history = {
        "val/retrieval/top1": [(10, 0.1), (20, 0.2), (30, 0.4)],
        "reference/retrieval/plain/combined/top1": [(0, 0.75)],
    }
    panel = retrieval_panel(history)
    assert [(one.label, one.points[-1]) for one in panel.series] == [("prediction", (30, 40.0))]
    assert [(level.label, level.value) for level in panel.levels] == [("without a network", 75.0)]
    del history["val/retrieval/top1"]
    assert retrieval_panel(history).series == []


def test_a_figure_that_cannot_be_drawn_is_logged_and_a_page_with_a_word_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(history: object) -> Figure:
        raise ValueError("no such panel")

    monkeypatch.setattr(figures, "not_drawn", NOT_DRAWN)
    monkeypatch.setattr(figures, "ranks_figure", broken)
    written = figures.draw_figures(full_history(), tmp_path)
    assert set(written) == {"overview", "loss", "probes", "ranks"}
    assert written["ranks"].stat().st_size > 1000
    assert "ranks.png: cannot be drawn" in caplog.text
    assert "no such panel" in caplog.text


def test_a_full_disk_is_not_taken_for_a_figure_that_cannot_be_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(figures, "not_drawn", NOT_DRAWN)
    monkeypatch.setattr(figures, "write_atomic", full)
    with pytest.raises(OSError, match="No space"):
        figures.draw_figures(full_history(), tmp_path)
