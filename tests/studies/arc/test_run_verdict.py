"""The verdict on a run of an investigation: each flag holds for curves with its symptom only."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest

import simulated_runs as m
from gallery_histories import RUNS
from jepa_lab.diagnosis.thresholds import Thresholds
from jepa_lab.studies.arc.run_verdict import DEAD, RunVerdict, run_verdict
from jepa_lab.studies.arc.series import slope

PUBLISHED_USAGE = {  # of 768 codes, every 200 microbatches, as the public project recorded them
    "no refresh": (136, 126, 114, 106, 87, 73, 67, 56, 45, 47, 34),
    "gentle": (136, 120, 131, 88, 95, 84, 88, 75, 83, 78, 84),
}


def verdict(
    symptoms: m.Symptoms | None = None, state: str = "completed", **changed: Any
) -> RunVerdict:
    history = m.curves(m.PUBLISHED, symptoms or m.Symptoms())
    for key, values in changed.items():
        name = key.replace("__", "/")
        history[name] = m.at(m.LOGGED if len(values) == len(m.LOGGED) else m.STEPS, list(values))
    return run_verdict(history, state)


def test_a_run_without_symptoms_is_stable_with_its_codebook_in_use() -> None:
    found = verdict()
    assert found.flags == {"STABLE", "VQ_OK"}
    assert found.fired == ()
    assert found.first is None
    assert found.good


@pytest.mark.parametrize(
    ("symptoms", "flag", "step"),
    [
        (m.Symptoms(spikes=True), "SPIKE", 650),
        (m.Symptoms(collapse=True), "EMB_COLLAPSE", 750),
        (m.Symptoms(codebook="dead"), "VQ_COLLAPSE", 200),
        (m.Symptoms(codebook="slow"), "VQ_SLOW_DEATH", 200),
        (m.Symptoms(learns=False), "NO_LEARNING", 50),
        (m.Symptoms(exploding="relational"), "AUX_EXPLOSION", None),
        (m.Symptoms(nan=True), "CRASH", 600),
    ],
)
def test_each_symptom_gives_its_flag_with_the_first_step(
    symptoms: m.Symptoms, flag: str, step: int | None
) -> None:
    found = verdict(symptoms)
    fired, *_ = [f for f in found.fired if f.flag == flag]
    assert step is None or fired.step == step
    assert not found.good


def test_the_codebook_that_died_first_is_named_as_first() -> None:
    found = verdict(m.Symptoms(codebook="dead", collapse=True, spikes=True))
    assert found.first is not None
    assert (found.first.flag, found.first.step) == ("VQ_COLLAPSE", 200)
    order = list(dict.fromkeys(f.flag for f in found.fired))
    assert order[:3] == ["VQ_COLLAPSE", "SPIKE", "EMB_COLLAPSE"]


@pytest.mark.parametrize(("name", "dead"), [("no refresh", True), ("gentle", False)])
def test_the_published_usage_curves_get_the_published_verdicts(name: str, dead: bool) -> None:
    history = m.curves(m.PUBLISHED, m.Symptoms())
    steps = [100 * (i + 1) for i in range(11)]
    history["val/codebook/usage"] = m.at(steps, [n / 768 for n in PUBLISHED_USAGE[name]])
    history.pop("val/codebook/perplexity")
    assert bool(run_verdict(history, "completed").flags & DEAD) is dead


def test_usage_under_ten_per_cent_is_a_collapse_only_while_it_falls() -> None:
    low = [0.2, 0.2, 0.2, *[0.08] * 17]
    assert "VQ_OK" in verdict(val__codebook__usage=low).flags
    falling = [0.2, 0.2, 0.2, *[0.099 - 0.002 * i for i in range(17)]]
    assert "VQ_COLLAPSE" in verdict(val__codebook__usage=falling).flags


@pytest.mark.parametrize(
    ("rank", "flag"), [(1.9, "EMB_COLLAPSE"), (2.1, "WEAK"), (4.9, "WEAK"), (5.1, "STABLE")]
)
def test_the_context_rank_is_a_collapse_below_2_and_weak_below_5(rank: float, flag: str) -> None:
    assert flag in verdict(val__z_agg__effective_rank=[rank] * 20).flags


def test_a_run_with_a_weak_rank_is_stable() -> None:
    assert {"STABLE", "WEAK"} <= verdict(val__z_agg__effective_rank=[3.0] * 20).flags


def test_a_spike_within_the_first_three_validations_does_not_count() -> None:
    early = [4.0, 9.0, 4.0, *[3.9 - 0.05 * i for i in range(17)]]
    assert "SPIKE" not in verdict(val__loss__prediction=early).flags
    late = [*early[:9], 9.0, *early[10:]]
    assert "SPIKE" in verdict(val__loss__prediction=late).flags


def test_a_jump_of_two_nats_is_a_spike_even_if_the_ratio_is_small() -> None:
    loss = [9.0 - 0.1 * i for i in range(20)]
    loss[10] = 8.2 + 1.9
    assert "SPIKE" not in verdict(val__loss__prediction=loss).flags
    loss[10] = 8.1 + 2.1
    assert "SPIKE" in verdict(val__loss__prediction=loss).flags


def test_a_doubled_term_below_five_per_cent_of_the_loss_is_no_explosion() -> None:
    term = [0.2 + 0.004 * i for i in range(100)]
    small = verdict(train__loss__relational=term, train__share__relational=[0.01] * 100)
    assert "AUX_EXPLOSION" not in small.flags
    large = verdict(train__loss__relational=term, train__share__relational=[0.1] * 100)
    assert "AUX_EXPLOSION" in large.flags


def test_a_growing_commitment_loss_is_no_explosion() -> None:
    term = [0.2 + 0.004 * i for i in range(100)]
    found = verdict(train__loss__commitment=term, train__share__commitment=[0.3] * 100)
    assert "AUX_EXPLOSION" not in found.flags


@pytest.mark.parametrize("state", ["failed", "stopped", "killed"])
def test_a_run_that_did_not_finish_is_a_crash(state: str) -> None:
    assert "CRASH" in verdict(state=state).flags


def test_a_completed_run_without_validation_is_inconclusive_and_not_stable() -> None:
    found = run_verdict({"train/loss/total": [(10, 1.0)]}, "completed")
    assert found.flags == {"INCONCLUSIVE"}


def test_a_run_that_failed_without_any_metrics_is_a_crash() -> None:
    assert run_verdict({}, "failed").flags == {"CRASH"}


def test_a_growing_infonce_loss_is_no_auxiliary_explosion() -> None:
    growing = [2.0 + 0.05 * i for i in range(100)]
    assert "AUX_EXPLOSION" not in verdict(train__loss__info_nce=growing).flags


def test_a_rising_loss_and_a_falling_rank_are_not_stable() -> None:
    assert (
        "LOSS_RISES"
        in verdict(val__loss__prediction=[*[3.0] * 10, *[3.0 + 0.1 * i for i in range(10)]]).flags
    )
    falls = verdict(val__z_agg__effective_rank=[10 - 0.15 * i for i in range(20)])
    assert "RANK_FALLS" in falls.flags
    assert "STABLE" not in falls.flags


def test_no_run_with_a_failed_ordinary_verdict_is_stable() -> None:
    unstable = {
        "diverged",
        "complete_collapse",
        "dimensional_collapse",
        "uniform_output",
        "unstable",
    }
    seen = set()
    for case in RUNS:
        history, config = case.build()
        found = run_verdict(history, "completed", config=config)
        if found.status in unstable:
            seen.add(found.status)
            assert "STABLE" not in found.flags, case.name
        if found.status == "codebook_collapse":
            assert found.flags & DEAD, case.name
    assert seen == unstable


def test_the_slope_of_a_line_per_thousand_steps_ignores_its_offset() -> None:
    line = [(100 * i, 5.0 - 0.002 * 100 * i) for i in range(10)]
    assert slope(line) == pytest.approx(-2.0)
    assert slope([(step, value + 7) for step, value in line]) == pytest.approx(-2.0)
    assert math.isnan(slope(line[:2]))


def test_a_changed_threshold_changes_the_verdict() -> None:
    history = m.curves(copy.deepcopy(m.PUBLISHED), m.Symptoms(weak=True))
    assert "WEAK" in run_verdict(history, "completed").flags
    assert "WEAK" not in run_verdict(history, "completed", Thresholds().but(step_weak=2.1)).flags
