"""The report on an investigation: one sentence, a table of changes, and the curves of all trials.

It reads an Inquiry and writes investigation.json, .md and .html.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jepa_lab.diagnosis.inquiry import Inquiry
from jepa_lab.diagnosis.trials import CONTROL, Trials
from jepa_lab.ledger.atomic import write_atomic, write_json
from jepa_lab.ledger.parquet import history_of
from jepa_lab.ledger.read import finite_or_null
from jepa_lab.report.fan_figure import HistoryOf, encoded, fan_figure
from jepa_lab.report.templates import render

HEADS = ("change", "from", "effect", "without failure", "interval", "delay", "skill", "probe")
NAME = "investigation"


def content_of(
    inquiry: Inquiry,
    run: Path,
    status: str,
    tap: str | None,
    stopped: str = "",
    curves: Sequence[str] = ("val/z_agg/effective_rank", "val/skill"),
    exact: int | None = None,
) -> dict[str, Any]:
    """Returns the content of investigation.json. `stopped` is the reason for an early end, `curves`
    are the metrics of its figure. `exact` is the onset to the step, if it is known."""
    best = inquiry.best
    content = {
        "run": str(run),
        "status": status,
        "tap": tap,
        "onset": inquiry.onset,
        "onset_to_the_step": exact,
        "branched_from": inquiry.before,
        "answer": sentence(inquiry, status, exact),
        "finished": inquiry.finished,
        "curves": list(curves),
        "stopped": stopped,
        "point_of_no_return": inquiry.point,
        "recommended": None if best is None else list(best.candidate.overrides),
        "trials": [_entry(inquiry, trials) for trials in ordered(inquiry)],
    }
    plain: dict[str, Any] = finite_or_null(content)
    return plain


def sentence(inquiry: Inquiry, status: str, exact: int | None = None) -> str:
    """Returns the answer in one to three sentences."""
    control = inquiry.of(CONTROL, 0)
    began = "" if exact is None or exact == inquiry.onset else f" (since step {exact})"
    subject = f"The failure ({status}) at step {inquiry.onset}{began}"
    if inquiry.explained_by_chance:
        kept = f"{control.prevented} of {len(control.results)}"
        return f"{subject} depends on the draw: {kept} unchanged runs do not fail."
    parts = []
    for effect, verb in EFFECTS.items():
        tried = [t for t in ordered(inquiry) if _effect(inquiry, t) == effect]
        tried.sort(key=lambda t: t.start != inquiry.starts[0])  # branches before the start
        if effect == "unaffected":
            elsewhere = {t.candidate for t in ordered(inquiry) if _effect(inquiry, t) != effect}
            texts = [t.candidate.name for t in tried if t.candidate not in elsewhere]
        else:
            texts = [_counted(t, inquiry) for t in tried]
        if texts:
            parts.append(f"{verb} {_listed(texts)}")
    text = f"{subject} is {'; '.join(parts)}." if parts else f"{subject}: nothing was tried yet."
    if inquiry.point is not None and inquiry.saved_by is not None:
        place = f"step {inquiry.point}" if inquiry.point else "the start"
        text += f" The latest state from which {inquiry.saved_by.name} still helps is {place}."
    if inquiry.best is not None:
        text += f" Cheapest repair that keeps skill and probe: {inquiry.best.candidate.name}"
        skill = inquiry.best.mean("skill")
        unlearned = skill is not None and skill <= 0
        text += f" (skill {skill:.2f}: the prediction has not learned yet)." if unlearned else "."
    elif inquiry.finished:
        text += " No change that was tried prevents it."
    return text


EFFECTS = {
    "prevented": "prevented by",
    "delayed": "delayed by",
    "sometimes": "perhaps prevented by",
    "unaffected": "not touched by",
}


def ordered(inquiry: Inquiry) -> list[Trials]:
    """Returns all results: repairs first, then by start, the control last."""
    rank = {name: at for at, name in enumerate(EFFECTS)}
    return sorted(
        inquiry.trials.values(),
        key=lambda t: (
            not t.candidate.overrides,
            rank.get(_effect(inquiry, t), len(rank)),
            -t.start,
        ),
    )


def table(content: Mapping[str, Any]) -> list[list[str]]:
    """Returns the cells of the table of changes, without the heads."""
    return [
        [
            trial["change"],
            f"step {trial['start']}" if trial["start"] else "the start",
            trial["effect"],
            f"{trial['prevented']} of {trial['n']}",
            f"{100 * trial['interval'][0]:.0f} to {100 * trial['interval'][1]:.0f} %",
            "" if trial["delay"] is None else f"{trial['delay']:+d} steps",
            _number(trial["skill"]),
            _number(trial["probe"]),
        ]
        for trial in content["trials"]
    ]


def markdown(content: Mapping[str, Any]) -> str:
    """Returns investigation.md."""
    lines = [f"# Investigation of {content['run']}", "", content["answer"], ""]
    if content["stopped"]:
        lines += [f"Not finished: {content['stopped']}. The same command goes on.", ""]
    lines += [f"| {' | '.join(HEADS)} |", f"|{'---|' * len(HEADS)}"]
    lines += [f"| {' | '.join(cells)} |" for cells in table(content)]
    runs = [f"- {t['change']}: {run}" for t in content["trials"] for run in t["runs"]]
    return "\n".join([*lines, "", "Runs:", "", *runs, ""])


def write_report(
    content: Mapping[str, Any], folder: Path, history_of: HistoryOf = history_of
) -> list[Path]:
    """Writes the three reports and returns their paths. `history_of` reads the metrics of a run's
    folder. Raises OSError on failure."""
    paths = [folder / f"{NAME}.{kind}" for kind in ("md", "html", "json")]
    write_atomic(paths[0], markdown(content))
    page = render(
        "investigation.html",
        title="Investigation",
        tone="good" if content["recommended"] else "note" if content["stopped"] else "bad",
        verdict=content["answer"],
        heads=HEADS,
        rows=table(content),
        content=content,
        figure=encoded(fan_figure(content, history_of)),
    )
    write_atomic(paths[1], page)
    write_json(paths[2], dict(content))
    return paths


def _entry(inquiry: Inquiry, trials: Trials) -> dict[str, Any]:
    share, low, high = trials.share
    return {
        "change": trials.candidate.name,
        "overrides": list(trials.candidate.overrides),
        "why": trials.candidate.why,
        "start": trials.start,
        "effect": _effect(inquiry, trials),
        "prevented": trials.prevented,
        "n": len(trials.results),
        "share": share,
        "interval": [low, high],
        "delay": trials.delay,
        "skill": trials.mean("skill"),
        "probe": trials.mean("probe"),
        "runs": [result.run for result in trials.results.values()],
    }


def _effect(inquiry: Inquiry, trials: Trials) -> str:
    if not trials.candidate.overrides:
        return "unchanged"
    return inquiry.effect(trials.candidate, trials.start)


def _counted(trials: Trials, inquiry: Inquiry) -> str:
    n, k = len(trials.results), trials.prevented
    place = "" if trials.start == inquiry.starts[0] else " from the start"
    if trials.start not in inquiry.starts:
        place = f" from step {trials.start}"
    how = f"median {trials.delay} steps" if not k and trials.delay is not None else f"{k} of {n}"
    return f"{trials.candidate.name}{place} ({how})"


def _listed(texts: Sequence[str]) -> str:
    unique = list(dict.fromkeys(texts))
    return unique[0] if len(unique) == 1 else f"{', '.join(unique[:-1])} and {unique[-1]}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
