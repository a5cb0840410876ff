"""The work of `jepa_lab.branch`: finds the state, makes the branches, and compares them with their
parent."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jepa_lab.callbacks.state_ring import State
from jepa_lab.cli.compose import as_data, checked, reads_ours_only
from jepa_lab.config.trust import Trust
from jepa_lab.errors import UserError, say
from jepa_lab.ledger.command_line import CommandLine, read_command_line
from jepa_lab.ledger.parquet import history_of
from jepa_lab.ledger.read import read_json
from jepa_lab.ledger.run_dir import require_inside
from jepa_lab.studies import study_of_run
from jepa_lab.training.branch_comparison import compare_control, verdict_of
from jepa_lab.training.branching import (
    changed_keys,
    prepare_branch,
    require_hot,
    seed_of_draw,
    usable_states,
)
from jepa_lab.training.resume import run_of
from jepa_lab.training.run import RunResult, train
from jepa_lab.training.trained_study import TrainedStudy

AT = re.compile(r"(?:(\d+)(%)?|(onset|end)(-\d+)?)")


def make_branches(args: argparse.Namespace) -> int:
    """Makes the branches and prints what became of them beside their parent. Returns 1 if a control
    differs from its parent or a branch failed, else 0."""
    folder = args.run_dir
    require_inside(folder)
    study = _study(folder)
    line = _command_line(folder, args)
    parent = _checked(line, args)
    data = study.load(parent)
    if run_of(parent, study.fingerprint(data)).path.name != folder.name:
        raise UserError(
            f"{folder}: its settings or its data are not what they were, so its states are not"
            " those of this version"
        )
    state = find_state(folder, args.at)
    found = []
    for draw in range(args.seeds):
        seed = seed_of_draw(parent, draw)
        own = line.changed([*args.overrides, *seed, *_origin(folder.name, state)])
        config = _checked(own, args)
        require_hot(changed_keys(parent, config)) if state is not None else None
        if state is not None:
            home = run_of(config, study.fingerprint(data))
            modules = (study.prepare(parent, data).module, study.prepare(config, data).module)
            remarks = prepare_branch(home, folder, state, config, modules)
            print(f"branch:  {_what(args.overrides, seed)}, from step {state.step} of {folder}")
            for remark in remarks:
                say(remark, prefix="")
        found.append((seed, train(study, config, command_line=own)))
    return _report(folder, args.overrides, found)


def find_state(folder: Path, at: str) -> State | None:
    """Returns the newest state at or before `at`, None for 0, the start. Raises UserError if there
    is none, and for a text that is no place in the run."""
    match = AT.fullmatch(at)
    if match is None:
        raise UserError(f"--at {at}: expected a step, 40%, onset, onset-100 or end")
    step = _step(folder, match)
    if step <= 0:
        return None
    states = usable_states(folder / "checkpoints")
    before = [state for state in states if state.step <= step]
    if before:
        return before[-1]
    there = ", ".join(str(state.step) for state in states) or "none"
    raise UserError(
        f"{folder}: no state at or before step {step} (states: {there}); --at 0 starts from the"
        " beginning, monitor.ring=8 keep=all keeps the states of a run"
    )


def _step(folder: Path, match: re.Match[str]) -> int:
    number, percent, word, shift = match.groups()
    history = history_of(folder)
    last = max((points[-1][0] for points in history.values() if points), default=0)
    if percent:
        return last * int(number) // 100
    if number:
        return int(number)
    if word == "end":
        return last + int(shift or 0)
    onset = (read_json(folder / "summary.json").get("verdict") or {}).get("since_step")
    if not isinstance(onset, int):
        raise UserError(f"{folder}: its verdict has no onset; give a step or a share, as --at 40%")
    return max(onset + int(shift or 0), 1)


def _study(folder: Path) -> TrainedStudy:
    entry = study_of_run(folder)
    study = entry.study
    if not isinstance(study, TrainedStudy):
        raise UserError(f"{folder}: a run of the {entry.config.title}, which has no branches")
    return study


def _command_line(folder: Path, args: argparse.Namespace) -> CommandLine:
    line = read_command_line(folder)
    if line is None:
        raise UserError(
            f"{folder}: no overrides.yaml, so that it is not known which command made it"
        )
    named = args.config_dir is not None and args.config_dir.resolve() == Path(line.config_dir or "")
    if not reads_ours_only(line.overrides, None if named or args.trust else line.config_dir):
        raise UserError(
            f"{folder}: its command reads files of somebody; give their folder as --config-dir, or"
            " --trust if you trust whoever made the run"
        )
    return line


def _checked(line: CommandLine, args: argparse.Namespace) -> Any:
    if as_data(line.overrides, line.config_dir, Trust(bool(args.trust), args.config_dir)) is None:
        checked(line.overrides, line.config_dir)  # raises with the reason, unless it is the trust
        raise UserError(f"{args.run_dir}: its command names user-defined code; give --trust")
    return checked(line.overrides, line.config_dir)


def _origin(run_id: str, state: State | None) -> list[str]:
    if state is None:
        return []
    return [f"branch.parent='{run_id}'", f"branch.step={state.step}"]


def _what(overrides: Sequence[str], seed: Sequence[str]) -> str:
    return " ".join([*overrides, *seed]) or "unchanged"


def _report(
    parent: Path, overrides: Sequence[str], found: Sequence[tuple[list[str], RunResult]]
) -> int:
    code = 0
    print(f"\nparent  {verdict_of(parent)}  {parent}")
    for seed, result in found:
        what = _what(overrides, seed)
        print(f"branch  {verdict_of(result.run_dir)}  {result.run_dir}  {what}")
        code = max(code, int(result.state == "failed"))
        if what == "unchanged" and result.run_dir != parent:
            control = compare_control(parent, result.run_dir)
            print(control.line(), flush=True)
            code = max(code, int(bool(control.difference)))
    return code
