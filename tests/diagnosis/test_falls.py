"""A run's own best is a reference: what fell, when, and whether it is a failure. Every symptom also
occurs where it is harmless."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest

from feature_histories import STEPS, history, line, then
from jepa_lab.diagnosis import Thresholds, Verdict, judge
from jepa_lab.diagnosis.falls import fall_of


def judged(curves: Mapping[str, list]) -> Verdict:
    return judge(curves, taps=("z",))


SAID: dict[str, tuple[dict[str, list], str, tuple[str, ...]]] = {
    "rank falls at once": (
        history([24.0, 40, 55, 62, 60, 18, 18, 17, 18, 18, 18, 18]),
        "low_rank",
        ("low_rank of z since step 600", "fell from 62.0 to 18.0, at once at step 600"),
    ),
    "rank falls gradually": (
        history(line(60, 12)),
        "low_rank",
        ("fell from 60.0 at step 100 to 12.0", "low_rank of z since step 900"),
    ),
    "rank and probe fall": (
        history(then(60, 20), probe__knn=then(0.8, 0.5)),
        "dimensional_collapse",
        ("at once at step 700", "the probe or the skill fell"),
    ),
    "rank and skill fall": (
        history(then(60, 20), skill=then(0.6, 0.4)),
        "dimensional_collapse",
        ("at once at step 700",),
    ),
    "rank falls to a few directions": (
        history(then(20, 3)),
        "dimensional_collapse",
        ("fell from 20.0 to 3.0",),
    ),
    "four validations": (
        {k: p[4:8] for k, p in history(then(60, 20)).items()},
        "low_rank",
        ("fell from 60.0 to 20.0",),
    ),
    "spread falls": (history(spread=then(0.8, 0.2)), "healthy", ("z spread fell from 0.8 to 0.2",)),
    "skill breaks": (
        history(skill=then(0.7, 0.2)),
        "unstable",
        ("skill fell from 0.70 to 0.20, at once at step 700",),
    ),
    "skill fades": (history(skill=line(0.7, 0.4)), "healthy", ("skill fell from 0.70",)),
    "probe falls": (
        history(probe__class_from_z=then(0.8, 0.5)),
        "healthy",
        ("probe class from z fell from 0.80 to 0.50, at once at step 700",),
    ),
    "half of the codes given up": (
        history(codebook__usage=then(0.9, 0.3)),
        "healthy",
        ("codebook usage fell from 90 % to 30 %, at once at step 700",),
    ),
    "codes used unevenly": (
        history(codebook__usage=0.9, codebook__perplexity=then(300.0, 40.0)),
        "healthy",
        ("codebook perplexity fell from 300.0 to 40.0",),
    ),
}


@pytest.mark.parametrize("case", SAID)
def test_a_fall_is_named_with_its_step(case: str) -> None:
    curves, status, words = SAID[case]
    verdict = judged(curves)
    assert verdict.status == status, verdict.line()
    assert all(word in verdict.line() for word in words), verdict.line()


HARMLESS: dict[str, dict[str, list]] = {
    "one high validation": history([20.0, 21, 60, 22, 23, 23, 24, 24, 25, 25, 25, 25]),
    "noise of the first steps": history([50.0, 20, 21, 22, 24, 25, 26, 27, 28, 29, 29, 30]),
    "one low validation in between": history([30.0] * 5 + [9] + [30.0] * 6),
    "a fall by a third": history(line(60, 40)),
    "a rank that grows": history(line(8, 50)),
    "a dip of the skill": history(skill=[0.6] * 6 + [0.3] + [0.6] * 5),
    "a skill that was never above 0": history(skill=line(-1.0, -5.0)),
    "codes given up a little": history(codebook__usage=line(0.9, 0.6)),
}


def test_a_slow_fall_names_its_own_limit_which_is_no_limit_of_a_healthy_value() -> None:
    points = [(100 * k, value) for k, value in enumerate([0.8, 0.8, 0.6, 0.39, 0.3, 0.21, 0.15])]
    found = fall_of(points, lambda best: 0.5 * best)
    assert found is not None
    assert found.text("spread", lambda v: f"{v:.2g}") == (
        "spread fell from 0.8 at step 0 to 0.15, below 0.4 (50 % of its best) since step 300"
    )
    probe = fall_of(points, lambda best: best - 0.2)
    assert probe is not None
    assert (probe.limit, probe.share) == pytest.approx((0.6, 0.75))


@pytest.mark.parametrize("case", HARMLESS)
def test_noise_and_small_falls_get_no_word(case: str) -> None:
    verdict = judged(HARMLESS[case])
    assert " fell from " not in verdict.line(), verdict.line()
    assert verdict.status in ("healthy", "no_learning"), verdict.line()


NOTED: dict[str, tuple[dict[str, list], str]] = {
    "fewer directions, a better probe": (
        history(line(60, 12), probe__class_from_z=line(0.4, 0.9)),
        "while the probe rose",
    ),
    "three classes told apart": (
        history(line(40, 10), probe__knn=line(0.6, 0.99)),
        "while the probe rose",
    ),
    "a rank that comes back": (
        history([60.0] * 4 + [15.0] * 3 + [17.0, 19.0, 22.0, 25.0, 28.0]),
        "it rises again",
    ),
    "the last validation alone": (history([60.0] * 11 + [20.0]), "one validation only"),
}


@pytest.mark.parametrize("case", NOTED)
def test_a_harmless_fall_of_the_rank_is_a_note(case: str) -> None:
    curves, words = NOTED[case]
    verdict = judged(curves)
    assert verdict.status == "healthy", verdict.line()
    assert words in verdict.line()


def test_a_skill_that_falls_while_the_features_grow_is_a_note() -> None:
    verdict = judged(history(line(10, 60), skill=then(0.6, 0.25)))
    assert verdict.status == "healthy"
    assert "skill fell from 0.60 to 0.25" in verdict.line()


def test_a_probe_of_actions_does_not_excuse_a_lost_rank() -> None:
    curves = history(then(20, 3), probe__relative_action_from_z=line(0.0, 0.5))
    assert judged(curves).status == "dimensional_collapse"


def test_a_few_directions_are_no_collapse_if_the_classes_are_told_apart_better() -> None:
    better = history(then(20, 3), probe__class_from_z=line(0.3, 0.9))
    assert judged(better).status == "low_rank"
    assert judged(history(then(20, 3), probe__class_from_z=0.3)).status == "dimensional_collapse"


def test_a_lost_skill_is_not_called_not_yet_learned() -> None:
    verdict = judged(history(skill=line(0.7, 0.05)))
    assert verdict.reasons[0] == "the prediction lost what it had learned"


def test_the_best_value_has_to_last_two_validations() -> None:
    def limit(best: float) -> float:
        return 0.5 * best

    peak = list(zip(STEPS, [20.0, 70, 20, 20], strict=False))
    assert fall_of(peak, limit) is None
    held = list(zip(STEPS, [70.0, 66, 20, 20], strict=False))
    fall = fall_of(held, limit)
    assert fall is not None
    assert (fall.best, fall.best_step, fall.last, fall.step) == (70.0, 100, 20.0, 300)
    assert fall.sudden
    assert fall.lasting
    assert fall_of(held[:2], limit) is None
    assert fall_of([*held, (500, math.nan)], limit) == fall


def test_falls_of_any_unit_are_the_same() -> None:
    t = Thresholds()
    for scale in (1e-6, 1.0, 1e6):
        points = [(s, scale * v) for s, v in zip(STEPS, then(8, 3), strict=True)]
        fall = fall_of(points, lambda best: t.rank_fall * best)
        assert fall is not None
        assert fall.step == 700
