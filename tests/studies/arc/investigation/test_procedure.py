"""The decision procedure finds the cause in simulated worlds with a known mechanism, without
unnecessary runs."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

import simulated_runs as m
from jepa_lab.studies.arc.investigation.decision_tree import decide
from jepa_lab.studies.arc.investigation.overrides import overridden
from jepa_lab.studies.arc.investigation.questions import answers, paragraph
from jepa_lab.studies.arc.investigation.repeats import Ran, Result
from jepa_lab.studies.arc.investigation.run_verdict import run_verdict
from jepa_lab.studies.arc.investigation.state import BASE, Intervention, Investigation


def judged(world: m.World, config: dict[str, Any], name: str, overrides: dict[str, Any]) -> Result:
    symptoms = world(config)
    verdict = run_verdict(
        m.curves(config, symptoms), "failed" if symptoms.nan else "completed", config=config
    )
    return Result(name, overrides, (Ran(Path(name), 0, "completed", verdict),))


def investigated(world: m.World, **overrides: Any) -> tuple[Investigation, list[str]]:
    """Returns the finished investigation and the steps that it requested."""
    base = overridden(
        copy.deepcopy(m.PUBLISHED), {k.replace("__", "."): v for k, v in overrides.items()}
    )
    investigation = Investigation(base, judged(world, base, BASE, {}))
    asked: list[str] = []
    steps = decide(investigation)
    result: Result | None = None
    while True:
        try:
            trial: Intervention = next(steps) if result is None else steps.send(result)
        except StopIteration:
            return investigation, asked
        asked.append(trial.name)
        result = judged(world, overridden(base, trial.overrides), trial.name, trial.overrides)


def short(investigation: Investigation) -> list[str]:
    return [answer.answer for answer in answers(investigation)]


def test_a_guilty_refresh_ends_the_investigation_after_two_runs() -> None:
    investigation, asked = investigated(m.only_refresh)
    assert asked == ["no_vq", "no_refresh"]
    assert short(investigation) == ["yes", "yes", "none", "not testable"]
    assert investigation.repair is not None
    assert investigation.repair.overrides == {"vq.refresh.enabled": False}
    assert investigation.cause == "the refresh"


def test_a_guilty_initialisation_is_distinguished_from_the_refresh() -> None:
    investigation, asked = investigated(m.initialisation)
    assert asked == [
        "no_vq",
        "no_refresh",
        "low_commitment",
        "gentle_refresh",
        "gradient_codebook",
        "in_objective",
        "kmeans_init",
    ]
    assert short(investigation)[:2] == ["yes", "no, it amplifies"]
    assert investigation.cause == "the codebook's initialisation, which the refresh amplifies"
    assert any("does not reach the objective" in note for note in investigation.notes)


def test_an_irrelevant_commitment_cost_still_reaches_the_objective() -> None:
    investigation, _ = investigated(m.initialisation, vq__in_objective=True)
    assert not any("does not reach the objective" in note for note in investigation.notes)
    assert any(entry.answer.startswith("yes: its gradient") for entry in investigation.trail)


def test_a_refresh_amplifies_if_only_the_collapse_disappears_without_it() -> None:
    def world(config: m.Config) -> m.Symptoms:
        found = m.initialisation(config)
        found.spikes = False
        return found

    investigation, _ = investigated(world)
    refresh = answers(investigation)[1]
    assert refresh.answer == "no, it amplifies"
    assert refresh.why.startswith("without it EMB_COLLAPSE")
    assert refresh.why.endswith("VQ_SLOW_DEATH remains")


def test_a_run_with_a_tenth_more_loss_than_without_codebook_is_no_repair() -> None:
    def world(config: m.Config) -> m.Symptoms:
        kept = m.get(config, "vq.refresh.enabled") is False or m.get(config, "vq.init") == "kmeans"
        loss = 1.3 if m.get(config, "vq.refresh.enabled") is False else 1.05
        return (
            m.Symptoms(codebook="ok" if kept else "dead", worse=loss)
            if m.on(config)
            else m.Symptoms()
        )

    investigation, _ = investigated(world)
    assert investigation.repair is not None
    assert investigation.repair.name == "kmeans_init"
    # without the refresh the codes stay alive, which answers the question about the refresh
    assert investigation.refresh == "alone"
    assert any(
        note.startswith("no_refresh is stable with its codebook in use, but")
        for note in investigation.notes
    )


def test_a_commitment_loss_without_a_gradient_is_noted() -> None:
    def world(config: m.Config) -> m.Symptoms:
        found = m.initialisation(config)
        found.reached = 0.0
        return found

    investigation, _ = investigated(world, vq__in_objective=True)
    assert any("train/gradient/commitment is 0" in note for note in investigation.notes)


def test_a_low_rank_is_the_verdict_only_if_nothing_else_needs_repair() -> None:
    def world(config: m.Config) -> m.Symptoms:
        return m.Symptoms(weak=True, codebook=m.initialisation(config).codebook)

    investigation, _ = investigated(world)
    assert investigation.scenario == "codebook"
    assert any("limited by the data" in note for note in investigation.notes)
    assert "few directions" in paragraph(investigation)

    def only_rank(config: m.Config) -> m.Symptoms:
        return m.Symptoms(weak=True, exploding="sigreg" if m.on(config) else "")

    investigation, asked = investigated(
        only_rank,
        dataset__problem="demos",
        dataset__slot_features="objects",
        model__predictor="mlp",
        model__projection_form="linear_end",
    )
    assert investigation.scenario == "data"
    assert asked == ["no_vq"]
    assert any("problem is solvable already" in entry.answer for entry in investigation.trail)


def test_a_run_that_learns_nothing_without_its_losses_leads_to_the_data() -> None:
    def world(config: m.Config) -> m.Symptoms:
        solvable = m.get(config, "dataset.problem") != "copies"
        return m.Symptoms(
            learns=solvable,
            exploding="sigreg" if m.weight(config, "sigreg") and not solvable else "",
        )

    investigation, asked = investigated(world)
    assert asked == ["no_vq", "info_nce_only", "well_posed", "repaired"]
    assert investigation.scenario == "data"
    assert investigation.repair is not None
    assert "dataset.problem" in investigation.repair.overrides
    assert not set(m.LOSSES["sigreg"]) & set(investigation.repair.overrides)


def test_a_codebook_that_fails_beside_a_guilty_loss_is_removed_and_named() -> None:
    def world(config: m.Config) -> m.Symptoms:
        found = m.a_loss("color")(config)
        found.codebook = m.initialisation(config).codebook
        return found

    investigation, asked = investigated(world)
    assert asked[-2:] == ["repaired", "repaired_no_vq"]
    assert investigation.repair is not None
    assert investigation.repair.overrides == {"loss.invariance.color": 0.0, "vq.enabled": False}
    assert any("fails in its own right" in note for note in investigation.notes)


def test_two_defects_are_repaired_only_by_all_corrections_together() -> None:
    investigation, asked = investigated(m.two_defects)
    assert asked[-1] == "all_corrections"
    assert investigation.repair is not None
    assert investigation.repair.overrides["vq.init"] == "kmeans"
    assert investigation.repair.overrides["vq.count_padding"] is False
    assert short(investigation)[1] == "no"


def test_codes_that_cannot_be_learned_are_replaced_by_fsq() -> None:
    investigation, asked = investigated(m.learned_codes)
    assert asked[-1] == "fsq"
    assert investigation.cause == "learned codes as such"


def test_without_a_repair_of_the_codebook_the_fallback_has_none() -> None:
    investigation, asked = investigated(m.hopeless_codebook)
    assert investigation.repair is None
    assert investigation.fallback is not None
    assert investigation.fallback.overrides == {"vq.enabled": False}
    assert not investigation.answered
    assert len(asked) == 12
    assert "Nothing that was tried repairs it (12 changes)" in paragraph(investigation)


@pytest.mark.parametrize("name", list(m.LOSSES))
def test_the_guilty_loss_is_named_and_everything_else_is_restored(name: str) -> None:
    investigation, asked = investigated(m.a_loss(name))
    assert investigation.guilty == [name]
    assert short(investigation)[0] == "no"
    assert short(investigation)[2] == name
    assert asked[:2] == ["no_vq", "info_nce_only"]
    assert asked[-1] == "repaired"
    assert investigation.repair is not None
    # codebook and other losses are unchanged
    assert set(investigation.repair.overrides) == set(m.LOSSES[name])


def test_a_single_active_loss_is_named_without_runs_that_add_it() -> None:
    off = {
        "loss__invariance__color": 0.0,
        "loss__invariance__translation": 0.0,
        "loss__invariance__symmetry": 0.0,
        "loss__sigreg__weight": 0.0,
    }
    investigation, asked = investigated(m.a_loss("relational"), **off)
    assert asked == ["no_vq", "info_nce_only", "repaired"]
    assert investigation.guilty == ["relational"]


def test_two_losses_that_are_harmless_alone_are_found_by_adding_them() -> None:
    investigation, _ = investigated(m.two_losses_together)
    assert investigation.guilty == ["relational"]
    assert any("no loss breaks the run alone" in note for note in investigation.notes)
    assert investigation.repair is not None


def test_a_clamped_temperature_is_repaired_with_losses_and_codebook() -> None:
    investigation, asked = investigated(m.temperature)
    assert asked == ["no_vq", "info_nce_only", "wide_temperature", "repaired"]
    assert any("on its bound" in note for note in investigation.notes)
    assert investigation.repair is not None
    assert set(investigation.repair.overrides) == {"loss.temperature.min", "loss.temperature.max"}
    assert short(investigation) == ["no", "not asked", "none", "not testable"]


def test_the_target_branch_is_found_by_the_minimal_run() -> None:
    investigation, asked = investigated(m.target)
    assert asked == ["no_vq", "info_nce_only", "wide_temperature", "minimal", "repaired"]
    assert investigation.cause == "the target branch"
    assert investigation.repair is not None
    assert investigation.repair.overrides == {"target.name": "shared", "target.tau": None}


def test_a_guilty_context_aggregation_is_named_if_the_contexts_differ() -> None:
    investigation, _ = investigated(m.context, dataset__problem="frames")
    assert investigation.context == "attention"
    assert short(investigation)[3] == "yes"
    assert investigation.repair is not None
    assert investigation.repair.overrides == {"model.context": "attention"}


def test_copied_contexts_are_not_testable_and_cost_no_run() -> None:
    investigation, asked = investigated(m.context)
    assert not any(name.endswith("_context") for name in asked)
    assert short(investigation)[3] == "not testable"
    assert investigation.repair is None


def test_a_learning_rate_that_is_too_high_is_found_last() -> None:
    investigation, asked = investigated(m.learning_rate)
    assert asked[-2:] == ["low_lr", "repaired"]
    assert investigation.repair is not None
    assert investigation.repair.overrides == {"optim.lr": 3e-4}


def test_a_run_that_cannot_predict_gets_a_verdict_on_the_data() -> None:
    investigation, asked = investigated(m.unpredictable)
    assert asked == ["no_vq", "well_posed"]
    assert investigation.scenario == "data"
    assert investigation.repair is None
    assert investigation.answered
    assert short(investigation)[0] == "yes, but nothing is learned"


def test_an_ill_posed_problem_is_repaired_by_a_solvable_problem() -> None:
    investigation, asked = investigated(m.ill_posed)
    assert asked == ["no_vq", "well_posed", "repaired"]
    assert investigation.repair is not None
    assert investigation.repair.overrides["dataset.problem"] == "demos"
    assert "vq.enabled" not in investigation.repair.overrides


def test_without_a_repair_all_steps_were_tried_and_are_reported() -> None:
    investigation, asked = investigated(m.hopeless, dataset__problem="demos")
    assert investigation.repair is None
    assert not investigation.answered
    assert asked == [
        "no_vq",
        "info_nce_only",
        "wide_temperature",
        "minimal",
        "last_context",
        "learned_context",
        "attention_context",
        "gru_context",
        "low_lr",
        "fp32",
    ]
    assert short(investigation) == ["no", "not asked", "none", "no"]


def test_a_healthy_run_needs_no_further_run() -> None:
    investigation, asked = investigated(m.healthy)
    assert asked == []
    assert investigation.scenario == "healthy"
    assert set(short(investigation)[:3]) == {"not asked"}


def test_without_a_codebook_the_losses_are_tested_first() -> None:
    investigation, asked = investigated(m.a_loss("sigreg"), vq__enabled=False)
    assert "no_vq" not in asked
    assert short(investigation)[0] == "no"
    assert investigation.guilty == ["sigreg"]
    assert investigation.trail[1].skipped


def test_steps_of_a_disabled_refresh_are_recorded_and_not_run() -> None:
    investigation, asked = investigated(m.initialisation, vq__refresh__enabled=False)
    assert not {"no_refresh", "gentle_refresh", "relative_refresh"} & set(asked)
    assert investigation.refresh == "innocent"
    assert sum("refresh is off" in entry.answer for entry in investigation.trail) >= 2
    assert investigation.cause == "the codebook's initialisation"
