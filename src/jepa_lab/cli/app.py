"""The command line: compose with Hydra, hand every job to run.py, turn the user's mistakes into one line and code 2."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.errors import CompactHydraException, HydraException
from omegaconf.errors import OmegaConfBaseException

from jepa_lab.cli import job
from jepa_lab.cli.job import one_job
from jepa_lab.config.groups import conf_dir, folder_of, groups_of, options_of
from jepa_lab.errors import UserError
from jepa_lab.ledger.sweep_folder import read_records
from jepa_lab.process.stop import Stop
from jepa_lab.sweep.jobs import SweepEnded
from jepa_lab.sweep.records import Begin

app = hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(one_job)


def main(argv: list[str] | None = None) -> None:
    """Entry point of `python -m jepa_lab` and `jepa-lab`."""
    job.stop = Stop(time.monotonic())
    args = sys.argv[1:] if argv is None else argv
    if {"-h", "--help"} & set(args):
        from jepa_lab.cli.help import help_text

        print(help_text())
        return
    job.codes.clear()
    Begin.sweep_dir = None
    try:
        sys.argv = [sys.argv[0], *native_words(args)]
        os.environ["HYDRA_FULL_ERROR"] = "1"
        app()
    except SweepEnded:
        pass
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        job.codes.append(130)
    except UserError as error:
        _fail(str(error))
    except (CompactHydraException, HydraException, OmegaConfBaseException) as error:
        _fail(one_line(error))
    except yaml.YAMLError as error:  # of an option in a folder of the user's own
        _fail(" ".join(str(error).split()))
    except ValueError as error:
        if job.codes:
            raise
        _fail(str(error).split("\n", 1)[0])
    except OSError as error:
        if job.codes:
            raise
        _fail(f"{error.strerror or error}: {error.filename}")
    codes = job.codes
    if Begin.sweep_dir is not None:
        codes = _show_sweep(Begin.sweep_dir) + [c for c in job.codes if c == 130]
        _show_search(Begin.sweep_dir)
    failures = [code for code in codes if code]
    if failures:
        raise SystemExit(2 if set(failures) == {2} else max(c for c in failures if c != 2))


def native_words(args: list[str]) -> list[str]:
    """The command's words in today's spelling: older flag names translated, each with a line, flags to the front (Hydra
    wants them together), `experiment=x` as `+experiment=x`. UserError for words that contradict each other."""
    from jepa_lab.cli.overrides import check_stacked, translate, words_for_comparison

    flags = [a for a in args if a in ("-m", "--multirun")]
    words, lines = translate([a for a in args if a not in ("-m", "--multirun")])
    for line in lines:
        print(f"jepa_lab: {line}", file=sys.stderr)
    words = [f"+{a}" if a.startswith("experiment=") else a for a in words]
    check_stacked(words)
    words = words_for_comparison(words)
    return flags + (_of_every_job(words) if flags else words)


def _of_every_job(words: list[str]) -> list[str]:
    """The words of a sweep over experiments of the ARC study, which Hydra reads once without any experiment: keys that
    only this study has (vq.size) do not exist there, so they are written ++vq.size. Every job is checked afterwards."""
    swept = [a.partition("=")[2] for a in words if a.startswith("+experiment=")]
    if not any("arc_" in value and ("," in value or "(" in value) for value in swept):
        return words
    return [f"++{a}" if "." in a.partition("=")[0] and a[0] not in "+~" and "/" not in a.partition("=")[0]
            and not a.startswith("hydra") else a for a in words]  # fmt: skip


def _show_sweep(sweep_dir: Path) -> list[int]:
    """Prints what became of the jobs and compares their runs; returns the jobs' exit codes."""
    records = read_records(sweep_dir)
    if not records:
        return []
    from jepa_lab.report.comparison.table import compare
    from jepa_lab.sweep.table import print_records, summary_line

    print()
    print_records(records)
    print(f"{summary_line(records)}\n", flush=True)
    if Begin.report == "aux_comparison":
        from jepa_lab.report.comparison.report import aux_comparison

        codes = [r.code for r in records]
        try:
            print(aux_comparison(records, sweep_dir, Begin.results), flush=True)
        except UserError as error:
            print(f"jepa_lab: {error}", file=sys.stderr)
            codes.append(2)
        return codes
    runs = list(dict.fromkeys(Path(r.run_dir) for r in records if r.run_dir))
    comparison = compare(runs)
    if comparison.rows:
        comparison.print()
        comparison.write(sweep_dir)
        _show_paired(runs, sweep_dir)
        if Begin.report == "views_grid":
            from jepa_lab.studies.seq_jepa.views_grid import views_grid

            print(f"\n{views_grid([run for run in runs if (run / 'summary.json').is_file()], sweep_dir)}")
        print(f"\ncomparison: {sweep_dir / 'comparison.csv'}", flush=True)
    return [r.code for r in records]


def _show_search(sweep_dir: Path) -> None:
    if (sweep_dir / "search.json").is_file():
        from jepa_lab.sweep.search import search_text

        print(f"\n{search_text(sweep_dir)}", flush=True)


def _show_paired(runs: list[Path], sweep_dir: Path) -> None:
    from jepa_lab.ledger.atomic import write_json
    from jepa_lab.report.comparison.control import paired_report

    text, content = paired_report(runs, Begin.control) if Begin.control else ("", {})
    if text:
        print(f"\n{text}")
    if content:
        write_json(sweep_dir / "paired.json", content)


def one_line(error: BaseException) -> str:
    """What is wrong with a command line, from the error that Hydra or omegaconf raised."""
    from jepa_lab.config.check import describe, nearest

    missing = getattr(error, "missing_cfg_file", None)
    if missing:
        group, _, option = str(missing).rpartition("/")
        options = list(getattr(error, "options", None) or options_of(folder_of(conf_dir(), group)))
        return f"{group}={option}: no such option{nearest(option, options)}"
    cause = error.__cause__
    if isinstance(cause, OmegaConfBaseException):
        return describe(cause)
    if isinstance(error, OmegaConfBaseException):
        return describe(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    override = getattr(error, "override", None)
    if text.startswith("LexerNoViableAlt"):  # letters beyond ASCII, above all
        key, _, value = text.partition(": ")[2].partition("=")
        return f"{key}={value}: not readable as it stands; quote the value, as in '{key}=\"{value}\"'"
    if "Could not override" in text and override is None:
        unknown = text.split("'")[1] if "'" in text else text
        return f"{unknown}: no such key or group{nearest(unknown.split('.')[0], groups_of(conf_dir()))}"
    return f"{override}: {text}" if override and str(override) not in text else text


def _fail(text: str) -> Any:
    print(f"jepa_lab: {text}", file=sys.stderr)
    raise SystemExit(2) from None
