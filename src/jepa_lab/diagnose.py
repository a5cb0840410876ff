"""python -m jepa_lab.diagnose RUN_DIR | features.npz: the verdict, what it stands on, and what to try next."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jepa_lab.errors import UserError
from jepa_lab.process.command import Parser, reader_may_leave

OF_INVESTIGATION = ("max_runs", "max_hours", "seeds", "epochs", "out")  # options without effect otherwise


def main(argv: list[str] | None = None) -> None:
    """Diagnoses what `argv` names; exit code 2 with one line for what cannot be judged."""
    try:
        args = _parser().parse_args(argv)
        if args.investigate:
            raise SystemExit(_investigate(args))
        lone = next((name for name in OF_INVESTIGATION if getattr(args, name) is not None), None)
        if lone is not None:
            raise UserError(f"--{lone.replace('_', '-')} belongs to --investigate")
        text, content = _features(args.path, args.rules) if _is_file(args.path) else _run(args.path, args.rules)
    except UserError as error:
        print(f"jepa_lab: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    with reader_may_leave():
        print(json.dumps(content, indent=2, allow_nan=False) if args.json else text)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m jepa_lab.diagnose",
        description="Says of a run (finished, running or killed) whether it collapsed, since when, on which evidence "
        "and what to try next; writes RUN_DIR/diagnosis.json. Of an .npz with z (n, d) or (n, v, d), and perhaps "
        "labels (n,) and codes, it judges the features.",
    )
    parser.add_argument("path", type=Path, help="a run's folder, as in runs/teacherless_b/<run_id>, or features.npz")
    parser.add_argument("--json", action="store_true", help="print what diagnosis.json holds instead of text")
    parser.add_argument("--rules", choices=("ours", "published"), default="ours", help="also show the older thresholds")
    of = parser.add_argument_group(
        "investigation",
        "of a failing run of the ARC study: runs that change one thing each, up to the first repair; the same line "
        "goes on. Exit code 0: answered, 1: not repaired within the limits",
    )
    of.add_argument("--investigate", action="store_true", help="make those runs and write investigation.{md,html,json}")
    of.add_argument(
        "--max-runs", type=_above_0(int), metavar="N", help="make at most N runs; finished ones do not count"
    )
    of.add_argument("--max-hours", type=_above_0(float), metavar="H", help="stop after H hours, also within a run")
    of.add_argument("--seeds", type=_above_0(int), metavar="K", help="make every run K times; what most show holds (1)")
    of.add_argument("--epochs", type=_above_0(int), metavar="N", help="of every run; as the failing run by default")
    of.add_argument("--out", type=Path, metavar="FOLDER", help="where to write; the run's folder by default")
    return parser


def _above_0(kind: Callable[[str], float]) -> Callable[[str], float]:
    """A number above 0 of this kind, as the type of an option."""

    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not 0 < value < math.inf:
            raise argparse.ArgumentTypeError(f"{text}: a {'whole ' if kind is int else ''}number above 0")
        return value

    return read


def _investigate(args: argparse.Namespace) -> int:
    """The exit code of an investigation: 0 answered, 1 not repaired within the limits, 130 interrupted. UserError."""
    from jepa_lab.studies.arc.investigation.investigate import investigate
    from jepa_lab.studies.arc.investigation.runs import Limits

    def say(line: str) -> None:
        print(line, file=sys.stderr if args.json else sys.stdout, flush=True)

    try:
        outcome = investigate(
            args.path, Limits(args.max_runs, args.max_hours, args.seeds or 1, args.epochs), args.out, say=say
        )
    except KeyboardInterrupt:
        print("interrupted: the same line goes on", file=sys.stderr)
        return 130
    if args.json:
        print(json.dumps(outcome.content, indent=2, allow_nan=False), flush=True)
        return outcome.code
    print(f"\n{outcome.content['answer']}\n")
    for question in outcome.content["questions"]:
        print(f"{question['question']} {question['answer']}: {question['why']}")
    if outcome.content["recommended"]:
        print(f"\nrecommended:\n  {outcome.content['recommended']['command']}")
    if outcome.content["not_reached"]:
        print(f"\nnot reached: {', '.join(outcome.content['not_reached'])} ({outcome.content['stopped']})")
    print("\n" + "\n".join(f"written: {file}" for file in outcome.files), flush=True)
    return outcome.code


def _is_file(path: Path) -> bool:
    """Whether it is to be read as features; UserError for a path that is nothing."""
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; give a run's folder or an .npz")
    return path.is_file() and path.suffix != ".parquet"


def _run(path: Path, rules: str) -> tuple[str, dict[str, Any]]:
    from jepa_lab.ledger.atomic import write_json
    from jepa_lab.report.diagnosis import diagnose_run, diagnosis_text

    diagnosis = diagnose_run(path)
    content = diagnosis.to_dict()
    text = diagnosis_text(diagnosis, rules)
    target = diagnosis.path / "diagnosis.json"
    try:
        write_json(target, content)
        text += f"\n\nwritten: {target}"
    except OSError as error:  # somebody else's folder: what was asked for is on the screen
        print(f"jepa_lab: {target}: not written ({error.strerror})", file=sys.stderr)
    return text, content


def _features(path: Path, rules: str) -> tuple[str, dict[str, Any]]:
    from jepa_lab.diagnosis.npz import diagnose_npz
    from jepa_lab.diagnosis.published import published_rules
    from jepa_lab.report.diagnosis import plain

    verdict = diagnose_npz(path)
    evidence = {k.removeprefix("codebook/"): v for k, v in verdict.evidence.items()}
    published = published_rules(evidence)
    content = {"features": str(path), "verdict": verdict.to_dict()}
    content["published"] = {"status": published.status, "reasons": list(published.reasons)}
    lines = [f"verdict: {verdict.line()}", f"confidence: {verdict.confidence:.2f}"]
    if rules == "published":
        lines.append(f"published rules: {published.line()}")
    lines += ["", "quantities", *(f"  {name:<24} {value:.4g}" for name, value in verdict.evidence.items())]
    if verdict.next:
        lines += ["", "to try", *(f"  {change}" for change in verdict.next)]
    written: dict[str, Any] = plain(content)
    return "\n".join(lines), written


if __name__ == "__main__":
    main()
