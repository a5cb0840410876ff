"""A check that reuses that of a similar configuration gives what the whole check gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from jepa_lab.cli.compose import composed
from jepa_lab.config.groups import conf_dir, options_of
from jepa_lab.config.run_config import _as_read
from jepa_lab.config.shared_check import SharedCheck, _Known
from jepa_lab.errors import UserError
from jepa_lab.studies import checked

B = "+experiment=teacherless_b"


def outcome(cfg: Any, shared: SharedCheck | None = None) -> tuple[type, str]:
    """Returns the checked configuration, with the types of all values, or the error."""
    try:
        config = checked(cfg, shared)
    except UserError as error:
        return UserError, str(error)
    return type(config), repr(config)


@pytest.fixture
def reused(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Returns a list with one entry for each try to reuse a check: whether it gave a result."""
    tries: list[bool] = []
    changed = _Known.changed

    def watched(self: _Known, changes: Any) -> Any:
        try:
            config = changed(self, changes)
        except UserError:
            tries.append(False)
            raise
        tries.append(config is not None)
        return config

    monkeypatch.setattr(_Known, "changed", watched)
    return tries


@pytest.mark.parametrize("experiment", options_of(conf_dir() / "experiment"))
def test_the_seeds_of_every_experiment_share_a_check(experiment: str, reused: list[bool]) -> None:
    shared = SharedCheck()
    for seed in (0, 1):
        cfg = composed([f"+experiment={experiment}", f"seed={seed}", "hydra.mode=RUN"])
        assert outcome(cfg, shared) == outcome(cfg)
    assert reused == [True]


# each is one job after another; the last entry says how many of them reuse a check
SHARED = [
    (["seed=1"], ["seed=2"], ["seed=-1"], ["seed=99999999999999999999"], 1),
    (["seed=1"], ["seed=1.5"], ["seed='2'"], ["seed=true"], ["seed=null"], 0),
    (["loss.lambda_rate=1e-3"], ["loss.lambda_rate=1"], ["loss.lambda_rate=inf"], 1),
    (["loss.lambda_rate=0"], ["loss.lambda_rate=.1"], ["loss.lambda_rate=-1"], 1),
    (["loss.rate_target=z"], ["loss.rate_target=both"], ["loss.rate_target=none"], 1),
    (["optim.clip=1"], ["optim.clip=null"], ["optim.clip=2"], 1),
    (["optim.lr=1e-3"], ["optim.lr=${seed}"], ["optim.lr=${loss.lambda_rate}"], 0),
    (["optim.lr=${seed}", "seed=1"], ["optim.lr=${seed}", "seed=2"], 0),
    (["optim.lr=${.lr_min}"], ["optim.lr=${.lr_min}", "optim.lr_min=.5"], 0),
    (["optim.lr=${oc.env:HOME,1}"], ["optim.lr=${oc.env:HOME,1}", "seed=3"], 0),
    (["dataset.epochs=2"], ["dataset.epochs=4"], ["dataset.epochs=0"], 1),
    (["tier=smoke"], ["tier=quick"], ["tier.name=nope"], 0),
    (["dataset.tiers.quick.epochs=2"], ["dataset.tiers.quick.epochs=3"], 0),
    (["dataset.tiers.smoke.gates.skill_min=.1"], ["dataset.tiers.smoke.gates.skill_min=.2"], 0),
    (["encoder.widths=[4,8]"], ["encoder.widths=[4,16]"], ["encoder.widths=[4.0,8]"], 0),
    (["name=a"], ["name=b"], ["name=a/b"], 0),
    (["aux=vicreg"], ["aux=vicreg", "aux.vicreg.weight=2"], ["aux=vicreg", "seed=5"], 1),
    (
        ["aux=vicreg", "aux.vicreg.weight=2.5"],
        ["aux=vicreg", "aux.vicreg.weight=3.5"],
        ["aux=vicreg", "aux.vicreg.weight=-3.5"],
        1,
    ),
    (["aux=[vicreg,sigreg]", "aux.sigreg.weight=.5"], ["aux=vicreg"], 0),
    (["gates.strict=true"], ["gates.strict=false"], ["gates.strict=2"], 1),
    (["gates.strict=0"], ["gates.strict=1"], ["gates.strict=2"], 1),
    (["gates.skill_min=.1"], ["gates.skill_min=.2"], ["gates.skill_min=7"], 1),
    (["hardware.threads=1"], ["hardware.threads=2"], ["hardware.threads=null"], 1),
    (["optim.warmup_epochs=1.5"], ["optim.warmup_epochs=2.5"], 1),
    (["target=ema", "target.tau=.9"], ["target=ema", "target.tau=.99"], ["target=ema"], 1),
    (["preflight=off"], ["preflight=strict"], ["preflight=maybe"], 0),
    (["runs_dir=a"], ["runs_dir='b c'"], ["runs_dir='${name}'"], ["runs_dir=''"], 1),
    (["sweep.control=x"], ["sweep.control='???'"], ["sweep.control=y"], 1),
    (["+experiment_gates={digits_rot: {smoke: {skill_min: .1}}}"], ["seed=4"], 0),
    (["dataset=npz", "dataset.path=a.npz"], ["dataset=npz", "dataset.path=b.npz"], 1),
    (
        ["++expected.predictive.digits_rot.quick.x=a"],
        ["++expected.predictive.digits_rot.quick.x=b"],
        ["++expected.predictive.digits_rot.quick.x=a", "seed=2"],
        1,
    ),
    (["seed=1", "nope=2"], ["seed=2", "loss.nope=3"], 0),
]


@pytest.mark.parametrize("jobs", SHARED, ids=lambda jobs: " ".join(jobs[0]))
def test_a_job_after_another_is_checked_as_it_is_alone(jobs: Any, reused: list[bool]) -> None:
    *every, expected = jobs
    shared = SharedCheck()
    for overrides in (*every, *reversed(every)):
        try:
            cfg = composed([B, *overrides])
        except UserError:
            continue
        assert outcome(cfg, shared) == outcome(cfg), overrides
    # on the way back every valid job finds itself, or a similar one
    assert sum(reused[: len(every)]) >= expected


def test_derived_values_do_not_stay_for_the_next_job(reused: list[bool]) -> None:
    shared = SharedCheck()
    lines = [["optim.warmup_epochs=3.5"], ["optim.warmup_epochs=7.0"], ["optim.warmup_epochs=3.5"]]
    found = [checked(composed([B, *line]), shared) for line in lines]
    assert found[0].optim.warmup == found[2].optim.warmup != found[1].optim.warmup
    assert found[0] == found[2]
    assert reused == [True, True]
    found[0].optim.lr = 17.0
    assert checked(composed([B, *lines[1]]), shared).optim.lr != 17.0


def test_user_defined_options_are_made_for_every_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reused: list[bool]
) -> None:
    (tmp_path / "mine_shared.py").write_text(
        "from dataclasses import dataclass\n"
        "from jepa_lab.config.extensions import MetricOptions\n"
        "@dataclass(kw_only=True)\n"
        "class Mine(MetricOptions):\n"
        "    power: float = 1.0\n"
        "    def check(self, key):\n"
        "        if self.power <= 0:\n"
        "            raise ValueError(f'{key}.power={self.power}: must be above 0')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    shared = SharedCheck()
    for power, seed in ((1.5, 0), (2.5, 0), (2.5, 1), (-1.0, 1)):
        mine = f"+monitor.metrics.mine={{_target_: mine_shared.Mine, power: {power}}}"
        cfg = composed([B, mine, f"seed={seed}"])
        assert outcome(cfg, shared) == outcome(cfg)
    assert reused == [True, True, False]


@pytest.mark.parametrize(
    "value",
    [
        *("", " ", "a\nb", "\r\n", "\t", "1e3", "1", "yes", "null", "~", "é", "\u2028", "\x85"),
        *("\ufeff", "\x00", "- a", "'", '"', "a: b", "#", "😀", "x" * 300, "2001-01-01", "0x1f"),
        *(0, -1, 2**62, 1e-5, 1e16, 0.1, -0.0, 1e300, float("inf"), True, None),
        *((1, 2), [], {}, {"a": (1, [2.0])}, {2: 1, None: 3, True: 4}),
    ],
    ids=repr,
)
def test_settings_are_what_yaml_reads_back(value: Any) -> None:
    read = yaml.safe_load(yaml.safe_dump({"key": value}, sort_keys=False, allow_unicode=True))
    assert repr(_as_read({"key": value})) == repr(read)
