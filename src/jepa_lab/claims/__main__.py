"""python -m jepa_lab.claims: runs the missing runs of claims, judges them, writes the verdicts."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jepa_lab.errors import UserError, say
from jepa_lab.process.command import RESUMES, Parser, run_command

if TYPE_CHECKING:
    from jepa_lab.claims.verdicts import Judgement
    from jepa_lab.ledger.finished_run import Run


def main(argv: list[str] | None = None) -> None:
    """Runs the command with the arguments `argv`. Exits with 1 if a command line of runs failed."""
    run_command(lambda: _claims(_parser().parse_args(argv)), RESUMES)


def _claims(args: argparse.Namespace) -> int:
    failed = _work(args)
    if failed:
        say(f"failed: {'; '.join(failed)}")
    return int(bool(failed))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m jepa_lab.claims",
        description=(
            "Runs the missing runs of claims (default: claims/*.yaml), then judges the claims from"
            " all finished runs. docs/claims.md describes the format and the rules."
        ),
    )
    parser.add_argument(
        "files", nargs="*", metavar="FILE", help="a file of claims, or the name of a shipped file"
    )
    parser.add_argument(
        "--runs-dir",
        type=Path,
        action="append",
        metavar="FOLDER",
        help="folder of runs (default: runs); may be repeated, new runs go to the first",
    )
    parser.add_argument(
        "--judge", action="store_true", help="judge from the existing runs, run nothing"
    )
    parser.add_argument(
        "--list", action="store_true", help="print the claims and the missing runs, run nothing"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write the verdicts to a .md or .json file"
    )
    parser.add_argument(
        "--fill",
        type=Path,
        metavar="FOLDER",
        help="write the verdicts at the mark <!-- claims --> of FOLDER/STUDY.md",
    )
    return parser


def _work(args: argparse.Namespace) -> list[str]:
    from jepa_lab.claims import text
    from jepa_lab.claims.missing import missing_commands, missing_text, run_commands
    from jepa_lab.claims.reading import read_claims
    from jepa_lab.claims.verdicts import judge_claims

    if args.out is not None and args.out.suffix not in (".md", ".json"):
        raise UserError(f"--out {args.out}: must end in .md or .json")
    if args.list and (args.judge or args.out is not None or args.fill is not None):
        raise UserError("--list only prints; leave out --judge, --out and --fill")
    if args.fill is not None and not args.fill.is_dir():
        raise UserError(f"--fill {args.fill}: no such folder")
    claims = read_claims(args.files)
    folders = args.runs_dir or [Path("runs")]
    runs, notes = _runs(folders, must_exist=args.judge)
    verdicts = judge_claims(claims, runs)
    missing = missing_commands(verdicts, runs)
    if args.list:
        for claim in claims:
            how = (
                claim.not_testable
                or f"{text.quantity(claim)} {text.claimed(claim)}, {len(claim.seeds)} seeds"
            )
            print(f"{claim.place}: {claim.statement}\n    {how}")
        print(f"\n{missing_text(missing)}")
        return []
    failed: list[str] = []
    if missing and not args.judge:
        print(missing_text(missing), flush=True)
        failed = run_commands(missing, folders[0])
        runs, notes = _runs(folders, must_exist=False)
        verdicts = judge_claims(claims, runs)
    print(text.plain(verdicts))
    for note in notes:
        print(f"left out: {note}")
    if args.judge and missing:
        print(f"\n{missing_text(missing)}")
    _write(args.out, args.fill, verdicts)
    return failed


def _runs(folders: Sequence[Path], must_exist: bool) -> tuple[list[Run], list[str]]:
    """Returns the runs below all folders, and a line for each run that cannot be read."""
    from jepa_lab.report.comparison.find_runs import find_runs

    runs, notes = [], []
    for folder in folders:
        if must_exist or (folder.is_dir() and any(folder.iterdir())):
            found = find_runs(folder)
            runs += found.runs
            notes += [f"{path}: {why}" for path, why in found.skipped]
    return runs, notes


def _write(out: Path | None, pages: Path | None, verdicts: Sequence[Judgement]) -> None:
    try:
        _write_files(out, pages, verdicts)
    except OSError as error:
        raise UserError(
            f"{error.filename2 or error.filename}: cannot be written: {error.strerror}"
        ) from None


def _write_files(out: Path | None, pages: Path | None, verdicts: Sequence[Judgement]) -> None:
    from jepa_lab.claims import text
    from jepa_lab.claims.documents import fill
    from jepa_lab.ledger.atomic import write_atomic, write_json

    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix == ".json":
            write_json(out, text.as_data(verdicts))
        else:
            write_atomic(out, text.pages(verdicts))
        print(f"written: {out}")
    if pages is None:
        return
    for study in dict.fromkeys(v.claim.file for v in verdicts):
        page = pages / f"{study}.md"
        if not page.is_file():
            print(f"{page}: no such page; its claims are not written")
            continue
        own = [v for v in verdicts if v.claim.file == study]
        try:
            write_atomic(page, fill(page.read_text(encoding="utf-8"), "claims", text.table(own)))
        except UserError as error:
            raise UserError(f"{page}: {error}") from None
        print(f"written: {page}")


if __name__ == "__main__":
    main()
