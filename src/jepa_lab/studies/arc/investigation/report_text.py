"""The report investigation.md: the answer, the four questions, the recommended command, the steps
and the trail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jepa_lab.studies.arc.investigation.overrides import brief, override_text
from jepa_lab.studies.arc.investigation.report_data import COLUMNS, order_of, shown


def markdown(content: Mapping[str, Any]) -> str:
    """Returns the report in Markdown. `content` is the result of `content_of`."""
    parts = [f"# Investigation of {content['experiment']}", content["answer"], _seeds(content)]
    parts += ["## The four questions", _questions(content)]
    if content["recommended"]:
        parts += [
            "## Recommended",
            recommendation(content),
            f"```\n{content['recommended']['command']}\n```",
        ]
    parts += ["## Steps", _table(content["steps"]), "## Order of events", _events(content["steps"])]
    parts += [
        "## How it went",
        "\n".join(f"- {code} {question} {answer}" for code, question, answer in trail(content)),
    ]
    if content["notes"]:
        parts += ["## Notes", "\n".join(f"- {note}" for note in content["notes"])]
    if content["not_reached"]:
        parts += ["## Not reached", not_reached(content)]
    parts += ["## Runs", _runs(content["steps"])]
    return "\n\n".join(part for part in parts if part) + "\n"


def _seeds(content: Mapping[str, Any]) -> str:
    return f"{seeds(content)} Failing run: `{content['run_dir']}`."


def seeds(content: Mapping[str, Any]) -> str:
    """Describes the number of runs of each step and their epochs."""
    n, epochs = content["seeds"], content["epochs"]
    budget = f" Every run has {epochs} epochs." if epochs is not None else ""
    if n == 1:
        return (
            "One seed: each step rests on one run, so chance and effect cannot be separated (give"
            f" --seeds 3).{budget}"
        )
    return (
        f"{n} seeds: a property holds for a step if it holds in most of its runs; ranges are over"
        f" seeds.{budget}"
    )


def recommendation(content: Mapping[str, Any]) -> str:
    """Describes the recommended configuration and its evidence."""
    advice = content["recommended"]
    kind = (
        "The failing run with" if advice["whole"] else "Stable, but no repair: the failing run with"
    )
    unchecked = (
        ""
        if advice["checked"]
        else " The command was not composed here: check it with jepa_lab.check first."
    )
    changes = override_text(advice["overrides"])
    return f"{kind} {changes}; step {advice['step']} shows it.{unchecked}"


def trail(content: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Returns (code, question, answer) for every line of the trail, in order."""
    return [(entry["code"], entry["question"], entry["answer"]) for entry in content["trail"]]


def not_reached(content: Mapping[str, Any]) -> str:
    """Lists the steps that were not reached, with the reason."""
    why = f" ({content['stopped']})" if content["stopped"] else ""
    return f"{', '.join(content['not_reached'])}{why}"


def _questions(content: Mapping[str, Any]) -> str:
    lines = []
    for number, q in enumerate(content["questions"], 1):
        runs = f" Evidence: {', '.join(f'`{run}`' for run in q['runs'])}." if q["runs"] else ""
        lines.append(f"{number}. {q['question']} **{q['answer']}**: {q['why']}.{runs}")
    return "\n".join(lines)


def _table(steps: list[dict[str, Any]]) -> str:
    lines = [
        "| step | changes | verdict | "
        + " | ".join(name for name, _, _ in COLUMNS)
        + " | fired first |",
        "|---" * (len(COLUMNS) + 4) + "|",
    ]
    for step in steps:
        figures = [shown(step["figures"].get(key), percent) for _, key, percent in COLUMNS]
        first = step["first"]
        fired = f"{first['flag']} at {first['step']}" if first else ""
        cells = [
            f"{step['code']} {step['name']}",
            brief(step["overrides"]) or "the failing run",
            step["verdict"],
        ]
        lines.append(
            f"| {' | '.join(cell.replace('|', '/') for cell in [*cells, *figures, fired])} |"
        )
    return "\n".join(lines)


def _events(steps: list[dict[str, Any]]) -> str:
    lines = [f"- {step['name']}: {order_of(step)}" for step in steps if order_of(step)]
    return "\n".join(lines) or "Nothing fired in any run."


def _runs(steps: list[dict[str, Any]]) -> str:
    lines = []
    for step in steps:
        for run in step["runs"]:
            reused = ", already finished" if run["reused"] and step["name"] != "base" else ""
            lines.append(
                f"- {step['name']}, seed {run['seed']}: `{run['path']}` ({run['state']}{reused}; "
                f"verdict {run['status']})"
            )
    return "\n".join(lines)
