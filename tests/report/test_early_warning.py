"""The figure of early warnings: panels with data are drawn, and first violations are marked."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from jepa_lab.diagnosis import Verdict, judge
from jepa_lab.report.early_warning import draw_early_warning, early_warning_figure, first_violations
from jepa_lab.report.panels import History

STEPS = range(10, 90, 10)
Points = list[tuple[int, float]]


def history(
    rank: list[float], spread: list[float] | None = None, loss: list[float] | None = None
) -> dict[str, Points]:
    """Returns eight validations of z and z_agg (64 features). `rank` and `spread` are of z_agg."""
    found: dict[str, Points] = {
        "train/loss/prediction": list(zip(range(5, 85, 5), loss or [0.5] * 16, strict=True))
    }
    for tap, ranks, spreads in (("z", [20.0] * 8, [0.5] * 8), ("z_agg", rank, spread or [0.5] * 8)):
        columns = {
            "effective_rank": ranks,
            "rankme": [2 * r for r in ranks],
            "participation_ratio": ranks,
            "feature_std_l2": spreads,
            "mean_pairwise_cosine": [1 - s**2 for s in spreads],
            "n": [200.0] * 8,
            "d": [64.0] * 8,
        }
        found |= {
            f"val/{tap}/{name}": list(zip(STEPS, values, strict=True))
            for name, values in columns.items()
        }
        found |= {
            f"reference/{tap}/{name}": [(0, 12.0 if "rank" in name else 0.4)]
            for name in list(columns)[:5]
        }
    return found


HEALTHY = history([20.0] * 8)
COLLAPSED = history([20, 10, 4, 3, 1.2, 1.1, 1.1, 1.1])
GONE = history([20, 10, 4, 3, 1.2, 1.1, 1.1, 1.1], [0.5] * 6 + [0.01] * 2, [0.5] * 15 + [math.nan])


def titles(figure: Figure | None) -> list[str]:
    assert figure is not None
    return [ax.get_title(loc="left") for ax in figure.axes]


def head(figure: Figure | None) -> str:
    assert figure is not None
    return "\n".join(text.get_text() for text in figure.texts)


def test_a_healthy_run_has_no_violation() -> None:
    assert judge(HEALTHY).status == "healthy"
    assert first_violations(HEALTHY) == []
    assert "no violation at any validation" in head(early_warning_figure(HEALTHY, []))


def test_the_first_violation_of_each_kind_is_dated_by_its_validation() -> None:
    found = first_violations(COLLAPSED)
    assert [(step, quantity) for step, quantity, _ in found] == [
        (30, "z_agg/effective_rank"),
        (30, "z_agg/effective_rank"),
    ]
    # judged a collapse at step 40, of a fall that began at step 30
    assert found[0][2].startswith(
        "dimensional_collapse of z_agg: effective rank fell from 20.0 at step 10 to 3.0, below"
        " 5.0 (50 % of its best) since step 30"
    )
    assert found[1][2].startswith("low_rank of z_agg: effective rank 4.0 of 64 (12.0 at start)")


def test_the_final_verdict_is_dated_by_its_own_step() -> None:
    # the first validations come too early for a verdict
    skill = list(zip(STEPS, [-2, -1.6, -1.2, -0.9, -0.6, -0.3, -0.3, -0.3], strict=True))
    information = [(step, 0.01 if 30 < step <= 60 else 1.5) for step in range(5, 85, 5)]
    entropy = [(step, 2.0) for step in range(5, 85, 5)]
    dino = {"train/dino/mutual_information": information, "train/dino/entropy_of_mean": entropy}
    run = {**HEALTHY, **dino, "val/skill": skill}
    verdict = judge(run)
    assert verdict.status == "no_learning"
    assert [(step, text) for step, _, text in first_violations(run)] == [
        (verdict.since_step, f"no_learning: {'; '.join(verdict.reasons)}")
    ]


def test_a_verdict_without_a_first_step_is_dated_by_its_first_validation() -> None:
    def judge_since(step: int) -> Verdict:
        return Verdict("no_learning" if step >= 30 else "healthy", reasons=("the skill is 0",))

    found = first_violations(
        HEALTHY, lambda h: judge_since(max(points[-1][0] for points in h.values() if points))
    )
    assert [step for step, _, _ in found] == [30]


def test_a_run_that_recovered_keeps_its_violation() -> None:
    recovered = history([20, 20, 1.2, 20, 20, 20, 20, 20])
    assert judge(recovered).status == "healthy"
    assert [step for step, _, _ in first_violations(recovered)] == [30]


def test_scale_and_loss_have_their_own_violations() -> None:
    found = {quantity: step for step, quantity, _ in first_violations(GONE)}
    assert found["z_agg/feature_std_l2"] == 70
    assert found["loss"] == 80
    assert [step for step, _, _ in first_violations(GONE)] == sorted(
        step for step, _, _ in first_violations(GONE)
    )


def test_an_empty_history_has_no_violation_and_no_figure(tmp_path: Path) -> None:
    assert first_violations({}) == []
    assert draw_early_warning({}, tmp_path) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("keys", "gone"),
    [
        (("train/loss", "val/loss"), "Prediction loss"),
        (
            ("val/z_agg/effective", "val/z_agg/rankme", "val/z_agg/participation"),
            "Rank of z_agg (64 dimensions)",
        ),
        (("val/z/feature", "val/z/mean", "val/z_agg/feature", "val/z_agg/mean"), "Scale"),
    ],
)
def test_a_panel_without_data_is_left_out_and_the_others_stay(
    keys: tuple[str, ...], gone: str
) -> None:
    every = titles(early_warning_figure(HEALTHY, []))
    assert every == [
        "Prediction loss",
        "Rank of z (64 dimensions)",
        "Rank of z_agg (64 dimensions)",
        "Scale",
    ]
    less = {key: points for key, points in HEALTHY.items() if not key.startswith(keys)}
    assert titles(early_warning_figure(less, [])) == [title for title in every if title != gone]


def test_probes_and_codebook_are_drawn_if_their_keys_exist() -> None:
    more: History = {
        **HEALTHY,
        "val/skill": [(10, 0.5)],
        "val/codebook/usage": [(10, 0.9)],
        "val/codebook/perplexity": [(10, 40.0)],
    }
    assert titles(early_warning_figure(more, []))[4:] == [
        "Probes and prediction",
        "Codebook usage",
        "Codebook perplexity",
    ]


def test_each_violation_is_a_line_in_every_panel_and_a_sentence_at_the_top() -> None:
    marks = [(20, "z/effective_rank", "rank of z fell"), (60, "loss", "loss is not finite")]
    figure = early_warning_figure(COLLAPSED, marks)
    assert figure is not None
    for ax in figure.axes:
        upright = [
            float(line.get_xdata()[0]) for line in ax.lines if list(line.get_ydata()) == [0, 1]
        ]  # type: ignore[index,arg-type]
        assert {20.0, 60.0} <= set(upright)
        assert {"1", "2"} <= {text.get_text() for text in ax.texts}
    assert "1  step 20: rank of z fell\n2  step 60: loss is not finite" in head(figure)
    assert len({ax.get_xlim() for ax in figure.axes}) == 1  # one axis of steps for all


def test_violations_that_are_close_share_a_number() -> None:
    marks = [(50, "loss", "a"), (51, "z/rankme", "b"), (52, "loss", "c"), (80, "loss", "d")]
    figure = early_warning_figure(HEALTHY, marks)
    assert figure is not None
    assert {text.get_text() for text in figure.axes[0].texts} == {"1-3", "4"}


def test_a_user_defined_function_can_find_the_violations(tmp_path: Path) -> None:
    calls: list[History] = []
    path = draw_early_warning(
        HEALTHY, tmp_path, find=lambda given: calls.append(given) or [(30, "loss", "a spike")]
    )  # type: ignore[func-returns-value]
    assert calls == [HEALTHY]
    assert path is not None
    assert path.read_bytes().startswith(b"\x89PNG")
