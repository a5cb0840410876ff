"""The four questions of the plan, and the answer in plain words, read from the state of an investigation."""

from __future__ import annotations

from dataclasses import dataclass

from jepa_lab.config.tree import value_of
from jepa_lab.studies.arc.investigation.inquiry import BASE, Inquiry
from jepa_lab.studies.arc.investigation.overlay import words
from jepa_lab.studies.arc.investigation.steps import CONTEXTS, FIXES, NO_VQ, copied_contexts

NOT_ASKED, NOT_REACHED, NOT_TESTABLE = "not asked", "not reached", "not testable"


@dataclass(frozen=True)
class Answer:
    """A question, its answer in a word or two, why, and the steps whose runs say so."""

    question: str
    answer: str
    why: str
    steps: tuple[str, ...] = ()


def answers(inquiry: Inquiry) -> list[Answer]:
    """The answers to the four questions, in the plan's order."""
    return [_codebook(inquiry), _refresh(inquiry), _losses(inquiry), _context(inquiry)]


def _codebook(inquiry: Inquiry) -> Answer:
    question = "Does removing the codebook (VQ) stabilise the run?"
    if inquiry.scenario in ("healthy", "seed"):
        return Answer(question, NOT_ASKED, "the run does not fail", (BASE,))
    result = inquiry.results.get(NO_VQ.name)
    if value_of(inquiry.base, "vq.enabled") is False:
        return Answer(question, "no", f"the run has no codebook and fails: {inquiry.outset.line()}", (BASE,))
    if result is None:
        return Answer(question, NOT_REACHED, inquiry.stopped or "the run without it was not made")
    if result.error:
        return Answer(question, "not known", result.line(), (NO_VQ.name,))
    steps = (NO_VQ.name, BASE)
    if not result.stable:
        return Answer(question, "no", f"without it: {result.line()}", steps)
    if not result.learns:
        return Answer(question, "yes, but nothing is learned", f"without it: {result.line()}", steps)
    return Answer(question, "yes", f"without it: {result.line()}; with it: {inquiry.outset.line()}", steps)


def _refresh(inquiry: Inquiry) -> Answer:
    question = "Is it the refresh of dead codes?"
    step = FIXES[0].name
    if inquiry.refresh:
        short = {"alone": "yes", "amplifies": "no, it amplifies", "innocent": "no", "unknown": "not known"}
        said = next(e for e in inquiry.trail if e.question == "what does that say of the refresh?")
        return Answer(question, short[inquiry.refresh], said.answer.partition(": ")[2] or said.answer, said.steps)
    if inquiry.scenario == "codebook":
        return Answer(question, NOT_REACHED, inquiry.stopped or f"{step} was not run")
    return Answer(question, *_elsewhere(inquiry))


def _losses(inquiry: Inquiry) -> Answer:
    question = "Which auxiliary loss is it?"
    if any(name.startswith("add_") for name in inquiry.pending):
        so_far = f"so far: {', '.join(inquiry.guilty) or 'none'}"
        return Answer(question, NOT_REACHED, f"{inquiry.stopped}; {so_far}", ("info_nce_only",))
    if inquiry.guilty:
        steps = tuple(n for n in inquiry.results if n.startswith("add_")) or ("info_nce_only", "no_vq")
        kept = [n for n in steps if n in inquiry.results]
        alone = "" if len(inquiry.guilty) > 1 else ", and the others do not"
        return Answer(question, " and ".join(inquiry.guilty), f"it breaks a run that is stable without it{alone}",
                      tuple(kept))  # fmt: skip
    if inquiry.scenario == "codebook":
        return Answer(question, "none", "with all of them and without the codebook the run is stable", (NO_VQ.name,))
    if inquiry.losses_asked and inquiry.results.get("info_nce_only", inquiry.outset).good:
        return Answer(question, NOT_REACHED, inquiry.stopped)
    if inquiry.losses_asked:
        steps = tuple(n for n in ("info_nce_only",) if n in inquiry.results) or (BASE,)
        return Answer(question, "none", f"without any: {inquiry.results[steps[0]].line()}", steps)
    if inquiry.scenario == "losses":
        return Answer(question, NOT_REACHED, inquiry.stopped)
    return Answer(question, *_elsewhere(inquiry))


def _context(inquiry: Inquiry) -> Answer:
    question = "Does the aggregation of the contexts matter?"
    why = copied_contexts(inquiry.base)
    if why:
        return Answer(question, NOT_TESTABLE, f"{why}: any pooling gives the same vector")
    steps = tuple(s.name for s in CONTEXTS if s.name in inquiry.results)
    if inquiry.context:
        return Answer(question, "yes", f"with model.context={inquiry.context} the run is stable", steps)
    if inquiry.contexts_asked and not inquiry.pending:
        return Answer(question, "no", "with none of them the run is stable", steps)
    if inquiry.scenario == "codebook":
        kind = value_of(inquiry.base, "model.context")
        return Answer(question, "no", f"with model.context={kind} and without the codebook the run is stable",
                      (NO_VQ.name,))  # fmt: skip
    if inquiry.scenario == "losses" and (inquiry.guilty or inquiry.repair is not None):
        return Answer(question, "no", f"the run is stable with its own: {inquiry.cause}",
                      (inquiry.repair.name,) if inquiry.repair else ())  # fmt: skip
    if inquiry.scenario == "losses":
        return Answer(question, NOT_REACHED, inquiry.stopped)
    return Answer(question, *_elsewhere(inquiry))


def _elsewhere(inquiry: Inquiry) -> tuple[str, str]:
    if inquiry.scenario in ("healthy", "seed"):
        return NOT_ASKED, "the run does not fail"
    if inquiry.scenario == "losses":
        return NOT_ASKED, "the run fails without its codebook too"
    if inquiry.scenario == "data":
        return NOT_ASKED, "no matter of stability: without the codebook the run is stable and learns too little"
    return NOT_REACHED, inquiry.stopped or "the run without the codebook was not made"


IN_WORDS = {
    "CRASH": "it did not come to its end",
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


def _failure(inquiry: Inquiry) -> str:
    flags = inquiry.outset.flags - ({"RANK_FALLS"} if inquiry.outset.has("EMB_COLLAPSE") else set())
    first = inquiry.outset.first
    texts = [text for flag, text in IN_WORDS.items() if flag in flags]
    what = ", ".join(texts) or inquiry.outset.line()
    if first is None or first.flag not in IN_WORDS:
        return what
    if texts == [IN_WORDS[first.flag]]:
        return f"{what}, at step {first.step} ({first.reason})"
    return f"{what}. First {IN_WORDS[first.flag]}, at step {first.step} ({first.reason})"


def paragraph(inquiry: Inquiry) -> str:
    """The answer in plain words."""
    outset = inquiry.outset
    if inquiry.scenario == "healthy":
        return (
            f"Nothing is wrong with this run ({outset.line()}): there is nothing to investigate, and no run was made."
        )
    if inquiry.scenario == "seed":
        bad = sum(not run.verdict.good for run in outset.runs)
        return (
            f"The run fails with {bad} of its {len(outset.runs)} seeds only: most of its runs are well, so there is no "
            "defect of the configuration to find. Give more seeds."
        )
    says = [f"The run fails: {_failure(inquiry)}."]
    if inquiry.cause:
        says.append(f"Guilty: {inquiry.cause}." if inquiry.scenario else f"{inquiry.cause}.")
    if inquiry.repair is not None:
        says.append(f"Repaired by {words(inquiry.repair.overlay)} (step {inquiry.repair.name}).")
        if inquiry.repair.has("WEAK"):
            says.append("Its context keeps few directions: stable, but limited by the data or the network.")
    elif inquiry.stopped:
        says.append(f"It ended early ({inquiry.stopped}); the same line goes on.")
    elif inquiry.scenario == "data":
        says.append("This is no matter of stability: no change of codebook or losses will help.")
    else:
        says.append(f"Nothing that was tried repairs it ({len(inquiry.results) - 1} changes).")
    if inquiry.repair is None and inquiry.fallback is not None:
        says.append(f"Stable, with less: {words(inquiry.fallback.overlay)} (step {inquiry.fallback.name}).")
    return " ".join(says)
