"""The answers to the four questions of the plan and a summary in plain words, derived from the
state of an investigation."""

from __future__ import annotations

from dataclasses import dataclass

from jepa_lab.config.tree import value_of
from jepa_lab.studies.arc.investigation.codebook_branch import REFRESH_QUESTION
from jepa_lab.studies.arc.investigation.overrides import override_text
from jepa_lab.studies.arc.investigation.state import BASE, Investigation
from jepa_lab.studies.arc.investigation.steps import CONTEXTS, FIXES, NO_VQ, copied_contexts

NOT_ASKED, NOT_REACHED, NOT_TESTABLE = "not asked", "not reached", "not testable"


@dataclass(frozen=True)
class Answer:
    """A question, its short answer, the reason, and the steps whose runs are the evidence."""

    question: str
    answer: str
    why: str
    steps: tuple[str, ...] = ()


def answers(investigation: Investigation) -> list[Answer]:
    """Returns the answers to the four questions, in the order of the plan."""
    return [
        _codebook(investigation),
        _refresh(investigation),
        _losses(investigation),
        _context(investigation),
    ]


def _codebook(investigation: Investigation) -> Answer:
    question = "Does removing the codebook (VQ) stabilise the run?"
    if investigation.scenario in ("healthy", "seed"):
        return Answer(question, NOT_ASKED, "the run does not fail", (BASE,))
    result = investigation.results.get(NO_VQ.name)
    if value_of(investigation.base, "vq.enabled") is False:
        return Answer(
            question,
            "no",
            f"the run has no codebook and fails: {investigation.outset.line()}",
            (BASE,),
        )
    if result is None:
        return Answer(
            question, NOT_REACHED, investigation.stopped or "the run without it was not made"
        )
    if result.error:
        return Answer(question, "not known", result.line(), (NO_VQ.name,))
    steps = (NO_VQ.name, BASE)
    if not result.stable:
        return Answer(question, "no", f"without it: {result.line()}", steps)
    if not result.learns:
        return Answer(
            question, "yes, but nothing is learned", f"without it: {result.line()}", steps
        )
    return Answer(
        question,
        "yes",
        f"without it: {result.line()}; with it: {investigation.outset.line()}",
        steps,
    )


def _refresh(investigation: Investigation) -> Answer:
    question = "Is it the refresh of dead codes?"
    step = FIXES[0].name
    if investigation.refresh:
        short = {
            "alone": "yes",
            "amplifies": "no, it amplifies",
            "innocent": "no",
            "unknown": "not known",
        }
        entry = next(e for e in investigation.trail if e.question == REFRESH_QUESTION)
        return Answer(
            question,
            short[investigation.refresh],
            entry.answer.partition(": ")[2] or entry.answer,
            entry.steps,
        )
    if investigation.scenario == "codebook":
        return Answer(question, NOT_REACHED, investigation.stopped or f"{step} was not run")
    return Answer(question, *_elsewhere(investigation))


def _losses(investigation: Investigation) -> Answer:
    question = "Which auxiliary loss is it?"
    if any(name.startswith("add_") for name in investigation.pending):
        so_far = f"so far: {', '.join(investigation.guilty) or 'none'}"
        return Answer(
            question, NOT_REACHED, f"{investigation.stopped}; {so_far}", ("info_nce_only",)
        )
    if investigation.guilty:
        steps = tuple(n for n in investigation.results if n.startswith("add_")) or (
            "info_nce_only",
            "no_vq",
        )
        kept = [n for n in steps if n in investigation.results]
        alone = "" if len(investigation.guilty) > 1 else ", and the others do not"
        return Answer(
            question,
            " and ".join(investigation.guilty),
            f"it breaks a run that is stable without it{alone}",
            tuple(kept),
        )
    if investigation.scenario == "codebook":
        return Answer(
            question,
            "none",
            "with all of them and without the codebook the run is stable",
            (NO_VQ.name,),
        )
    if (
        investigation.losses_asked
        and investigation.results.get("info_nce_only", investigation.outset).good
    ):
        return Answer(question, NOT_REACHED, investigation.stopped)
    if investigation.losses_asked:
        steps = tuple(n for n in ("info_nce_only",) if n in investigation.results) or (BASE,)
        return Answer(
            question, "none", f"without any: {investigation.results[steps[0]].line()}", steps
        )
    if investigation.scenario == "losses":
        return Answer(question, NOT_REACHED, investigation.stopped)
    return Answer(question, *_elsewhere(investigation))


def _context(investigation: Investigation) -> Answer:
    question = "Does the aggregation of the contexts matter?"
    why = copied_contexts(investigation.base)
    if why:
        return Answer(question, NOT_TESTABLE, f"{why}: any pooling gives the same vector")
    steps = tuple(s.name for s in CONTEXTS if s.name in investigation.results)
    if investigation.context:
        return Answer(
            question, "yes", f"with model.context={investigation.context} the run is stable", steps
        )
    if investigation.contexts_asked and not investigation.pending:
        return Answer(question, "no", "with none of them the run is stable", steps)
    if investigation.scenario == "codebook":
        kind = value_of(investigation.base, "model.context")
        return Answer(
            question,
            "no",
            f"with model.context={kind} and without the codebook the run is stable",
            (NO_VQ.name,),
        )
    if investigation.scenario == "losses" and (
        investigation.guilty or investigation.repair is not None
    ):
        return Answer(
            question,
            "no",
            f"the run is stable with its own aggregation: {investigation.cause}",
            (investigation.repair.name,) if investigation.repair else (),
        )
    if investigation.scenario == "losses":
        return Answer(question, NOT_REACHED, investigation.stopped)
    return Answer(question, *_elsewhere(investigation))


def _elsewhere(investigation: Investigation) -> tuple[str, str]:
    if investigation.scenario in ("healthy", "seed"):
        return NOT_ASKED, "the run does not fail"
    if investigation.scenario == "losses":
        return NOT_ASKED, "the run fails without its codebook too"
    if investigation.scenario == "data":
        return (
            NOT_ASKED,
            "stability is not the problem: without the codebook the run is stable and learns too"
            " little",
        )
    return NOT_REACHED, investigation.stopped or "the run without the codebook was not made"


IN_WORDS = {
    "CRASH": "it did not finish",
    "EMB_COLLAPSE": "its embedding collapsed",
    "SPIKE": "its loss spiked",
    "AUX_EXPLOSION": "an auxiliary term exploded",
    "LOSS_RISES": "its loss ended above its best",
    "RANK_FALLS": "its context lost directions",
    "VQ_COLLAPSE": "its codebook collapsed",
    "VQ_SLOW_DEATH": "its codebook died slowly",
    "NO_LEARNING": "its prediction is no better than chance",
    "INCONCLUSIVE": "too little was logged to judge it",
}


def _failure(investigation: Investigation) -> str:
    flags = investigation.outset.flags - (
        {"RANK_FALLS"} if investigation.outset.has("EMB_COLLAPSE") else set()
    )
    first = investigation.outset.first
    texts = [text for flag, text in IN_WORDS.items() if flag in flags]
    what = ", ".join(texts) or investigation.outset.line()
    if first is None or first.flag not in IN_WORDS:
        return what
    if texts == [IN_WORDS[first.flag]]:
        return f"{what}, at step {first.step} ({first.reason})"
    return f"{what}. First {IN_WORDS[first.flag]}, at step {first.step} ({first.reason})"


def paragraph(investigation: Investigation) -> str:
    """Returns the answer of the investigation in plain words."""
    outset = investigation.outset
    if investigation.scenario == "healthy":
        return (
            f"Nothing is wrong with this run ({outset.line()}): there is nothing to investigate,"
            " and no run was made."
        )
    if investigation.scenario == "seed":
        bad = sum(not run.verdict.good for run in outset.runs)
        return (
            f"The run fails with {bad} of its {len(outset.runs)} seeds only: most of its runs are"
            " good, so there is no defect of the configuration to find. Give more seeds."
        )
    sentences = [f"The run fails: {_failure(investigation)}."]
    if investigation.cause:
        sentences.append(
            f"Cause: {investigation.cause}."
            if investigation.scenario
            else f"{investigation.cause}."
        )
    if investigation.repair is not None:
        sentences.append(
            f"Repaired by {override_text(investigation.repair.overrides)} (step"
            f" {investigation.repair.name})."
        )
        if investigation.repair.has("WEAK"):
            sentences.append(
                "Its context keeps few directions: stable, but limited by the data or the network."
            )
    elif investigation.stopped:
        sentences.append(
            f"The investigation ended early ({investigation.stopped}); the same command resumes it."
        )
    elif investigation.scenario == "data":
        sentences.append("Stability is not the problem: no change of codebook or losses will help.")
    else:
        sentences.append(
            f"Nothing that was tried repairs it ({len(investigation.results) - 1} changes)."
        )
    if investigation.repair is None and investigation.fallback is not None:
        sentences.append(
            f"Stable, but with parts left out: {override_text(investigation.fallback.overrides)}"
            f" (step {investigation.fallback.name})."
        )
    return " ".join(sentences)
