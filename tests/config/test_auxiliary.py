"""The group aux: its folder, the choice and combination of losses, the configuration of a run, and
one-line errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from conftest import ROOT
from jepa_lab.config.groups import conf_dir, groups_of
from jepa_lab.diagnosis.regularisers import regulariser_findings
from jepa_lab.diagnosis.settings import Settings
from jepa_lab.diagnosis.thresholds import Thresholds
from jepa_lab.ledger.identity import run_id
from jepa_lab.studies import checked
from jepa_lab.studies.seq_jepa.config import Config

Make = Callable[..., Config]
Command = Callable[..., tuple[int, str, str]]
A = "+experiment=seq_jepa_baseline"
# Windows cannot have files or folders with these names, whatever their endings
RESERVED = {"aux", "con", "nul", "prn"}


@pytest.fixture
def make(make_config: Make) -> Make:
    return lambda *overrides: make_config(*overrides, experiment="seq_jepa_baseline")


def test_no_file_has_a_name_that_windows_cannot_check_out() -> None:
    for folder in (conf_dir(), ROOT / "tests", ROOT / "src"):
        assert not [p for p in folder.rglob("*") if p.name.split(".")[0].lower() in RESERVED]
    assert "aux" in groups_of(conf_dir())
    assert "aux_loss" not in groups_of(conf_dir())


def test_no_auxiliary_loss_is_the_default_and_several_can_be_combined(make: Make) -> None:
    assert make().aux == make("aux=none").aux == {}
    both = make("aux=[vicreg,sigreg]", "aux.vicreg.weight=3")
    assert list(both.aux) == ["vicreg", "sigreg"]
    assert (both.aux["vicreg"].weight, both.aux["sigreg"].weight) == (3.0, 0.05)


def test_published_coefficients_are_the_defaults(make: Make) -> None:
    aux = make("aux=[vicreg,barlow_twins,dino,center_penalty]").aux
    v = aux["vicreg"]
    assert (v.sim_coeff, v.std_coeff, v.cov_coeff, v.eps) == (1.0, 1.0, 0.8, 1e-4)
    assert (v.proj_hidden_dim, v.proj_output_dim) == (256, 256)
    assert (aux["barlow_twins"].lambda_param, aux["barlow_twins"].scale_loss) == (0.0051, 1.0)
    assert aux["dino"].center_ema_decay == aux["center_penalty"].center_ema_decay == 0.9
    assert all(arm.weight == 1.0 and arm.ramp == 0.0 for arm in aux.values())


def test_every_auxiliary_loss_has_a_default_site(make: Make) -> None:
    aux = make("aux=[vicreg,barlow_twins,dino,center_penalty,sigreg]").aux
    pair = ["z_hat", "z_target"]
    assert {name: arm.site for name, arm in aux.items()} == {
        "vicreg": pair,
        "barlow_twins": pair,
        "dino": pair,
        "center_penalty": "z",
        "sigreg": "z",
    }
    for site in ("z_agg", "[z_agg]"):
        assert make("aux=vicreg", f"aux.vicreg.site={site}").aux["vicreg"].site == "z_agg"


def test_the_weight_of_the_coding_rate_is_lambda_rate(make: Make) -> None:
    config = make("aux=coding_rate", "aux.coding_rate.weight=0.02")
    assert config.loss.lambda_rate == 0.02
    assert make("aux=coding_rate").loss.lambda_rate == config.recipe.lambda_rate
    same = make("aux=coding_rate", "aux.coding_rate.weight=0.02", "loss.lambda_rate=0.02")
    assert same.loss.lambda_rate == 0.02


@pytest.mark.parametrize(
    "arm", ["none", "vicreg", "barlow_twins", "dino", "sigreg", "center_penalty"]
)
def test_an_auxiliary_loss_on_the_control_has_no_coding_rate_beside_it(
    arm: str, make: Make
) -> None:
    assert make(f"aux={arm}").loss.lambda_rate == 0.0


@pytest.mark.parametrize(
    "overrides",
    [
        ["aux=vicreg"],
        ["aux=vicreg", "aux.vicreg.site=z"],
        ["aux=[dino,center_penalty,sigreg,barlow_twins,coding_rate]"],
    ],
)
def test_the_written_configuration_of_a_run_gives_the_same_configuration(
    overrides: list[str], make: Make
) -> None:
    config = make(*overrides)
    again = checked(OmegaConf.create(config.to_yaml()))  # type: ignore[arg-type]
    assert again == config
    assert asdict(again) == asdict(config)


def test_a_configuration_older_than_some_keys_of_its_loss_is_readable(make: Make) -> None:
    content = asdict(make("aux=coding_rate"))
    for key in ("site", "alpha", "normalise"):
        del content["aux"]["coding_rate"][key]
    assert asdict(checked(OmegaConf.create(content))) == asdict(make("aux=coding_rate"))


def test_every_key_of_an_auxiliary_loss_changes_the_run_id(make: Make) -> None:
    def identity(*overrides: str) -> str:
        return run_id(asdict(make(*overrides)), "")

    overrides = [
        ["aux=vicreg", f"aux.vicreg.{override}"]
        for override in (
            "weight=2",
            "ramp=0.1",
            "site=z",
            "std_coeff=2",
            "cov_coeff=2",
            "sim_coeff=2",
            "eps=1e-3",
            "proj_output_dim=8",
        )
    ]
    found = [
        identity(),
        identity("aux=vicreg"),
        identity("aux=sigreg"),
        *(identity(*w) for w in overrides),
    ]
    assert len(set(found)) == len(found)
    assert identity("aux=vicreg", "aux.vicreg.sim_coeff=1") == identity("aux=vicreg")


@pytest.mark.parametrize(
    ("term", "config", "change"),
    [
        ("vicreg", {"aux": {"vicreg": {"weight": 1.0}}}, "aux.vicreg.weight*0.1"),
        ("rate", {"aux": {"coding_rate": {"weight": 1.0}}}, "aux.coding_rate.weight*0.1"),
        ("rate", {"aux": {}}, "loss.lambda_rate*0.1"),
        ("supervised", {}, "optim.lr*0.3"),
    ],
)
def test_the_advice_for_a_dominating_term_lowers_its_weight_if_it_has_one(
    term: str, config: dict[str, Any], change: str
) -> None:
    steps = range(0, 1000, 50)
    history = {
        "train/gradient/prediction": [(s, 0.01) for s in steps],
        f"train/gradient/{term}": [(s, 5.0) for s in steps],
        "val/skill": [(s, 0.6 - s / 1000) for s in steps],
        "val/z/effective_rank": [(s, 2.0 + s / 50) for s in steps],
    }
    (finding,) = regulariser_findings(history, Thresholds(), Settings.of(config))
    assert (finding.status, finding.next) == ("regulariser_dominated", (change,))


MISTAKES = [
    (["aux=vicrg"], "aux=vicrg: no such option; did you mean 'vicreg'?"),
    (["aux=[vicreg,sigrg]"], "aux=sigrg: no such option; did you mean 'sigreg'?"),
    (["aux.vicreg.weight=1"], "vicreg is not selected; give aux=vicreg"),
    (
        ["aux=sigreg", "aux.vicreg.weight=1"],
        "vicreg is not selected; give aux=vicreg, or aux=[...,vicreg]",
    ),
    (["aux.vicrg.weight=1"], "did you mean 'vicreg'?"),
    (
        ["aux=vicreg", "aux.vicreg.sim_coef=2"],
        "aux.vicreg.sim_coef: no such key; did you mean 'sim_coeff'?",
    ),
    (
        ["aux=vicreg", "+aux.vicreg.sim_coef=2"],
        "aux.vicreg.sim_coef: no such key; did you mean 'sim_coeff'?",
    ),
    (
        ["aux=barlow_twins", "aux.barlow_twins.sim_coeff=2"],
        "aux.barlow_twins.sim_coeff: no such key",
    ),
    (
        ["aux=vicreg", "aux.vicreg.site=z", "aux.vicreg.sim_coeff=25"],
        "aux.vicreg.sim_coeff=25.0: without effect at aux.vicreg.site=z",
    ),
    (
        ["aux=barlow_twins", "aux.barlow_twins.site=z_agg", "aux.barlow_twins.lambda_param=0.1"],
        "aux.barlow_twins.lambda_param=0.1: without effect at aux.barlow_twins.site=z_agg",
    ),
    (
        ["aux=vicreg", "aux.vicreg.site=w"],
        "aux.vicreg.site=w: expected one of [z_hat,z_target], z, z_agg, z_hat",
    ),
    (["aux=vicreg", "aux.vicreg.site=z_target"], "aux.vicreg.site=z_target: expected one of"),
    (["aux=vicreg", "aux.vicreg.site=3"], "aux.vicreg.site=3: expected one of"),
    (["aux=vicreg", "aux.vicreg.site=null"], "aux.vicreg.site=null: expected one of"),
    (
        ["aux=sigreg", "aux.sigreg.site=[z_hat,z_target]"],
        "aux.sigreg.site=[z_hat,z_target]: expected one of z, z_agg, z_hat",
    ),
    (["aux=dino", "aux.dino.site=z"], "aux.dino.site=z: expected one of [z_hat,z_target]"),
    (["aux=vicreg", "aux.vicreg.weight=-1"], "aux.vicreg.weight=-1.0: must be at least 0"),
    (["aux=vicreg", "aux.vicreg.weight=nan"], "aux.vicreg.weight=nan"),
    (["aux=vicreg", "aux.vicreg.weight=much"], "aux.vicreg.weight"),
    (["aux=vicreg", "aux.vicreg.ramp=2"], "aux.vicreg.ramp=2.0: must lie between 0 and 1"),
    (["aux=vicreg", "aux.vicreg.eps=0"], "aux.vicreg.eps=0.0: must be above 0"),
    (["aux=vicreg", "aux.vicreg.cov_coeff=-1"], "aux.vicreg.cov_coeff=-1.0: must be at least 0"),
    (
        ["aux=vicreg", "aux.vicreg.proj_output_dim=null"],
        "aux.vicreg.proj_output_dim=null: set both widths",
    ),
    (
        ["aux=vicreg", "aux.vicreg.proj_hidden_dim=0"],
        "aux.vicreg.proj_hidden_dim=0: must be at least 1",
    ),
    (
        ["aux=barlow_twins", "aux.barlow_twins.scale_loss=0"],
        "aux.barlow_twins.scale_loss=0.0: must be above 0",
    ),
    (["aux=dino", "aux.dino.student_temp=0"], "aux.dino.student_temp=0.0: must be above 0"),
    (["aux=dino", "aux.dino.prototypes=1"], "aux.dino.prototypes=1: must be at least 2"),
    (["aux=center_penalty", "aux.center_penalty.center_ema_decay=2"], "must lie between 0 and 1"),
    (["aux=sigreg", "aux.sigreg.n_slices=0"], "aux.sigreg.n_slices=0: must be at least 1"),
    (
        ["aux=coding_rate", "aux.coding_rate.weight=0.1", "loss.lambda_rate=0.2"],
        "aux.coding_rate.weight=0.1 and loss.lambda_rate=0.2 contradict",
    ),
    (["+aux.mine=3"], "aux.mine=3: expected the keys of an option"),
    (["+aux.rate.weight=3"], "aux.rate: not a name for an auxiliary loss"),
    (["+aux.mine.weight=3"], "aux.mine._target_=None: expected the class"),
]


@pytest.mark.parametrize(
    ("overrides", "line"), MISTAKES, ids=[" ".join(overrides) for overrides, _ in MISTAKES]
)
def test_a_mistake_is_reported_in_one_line_with_code_2_and_writes_nothing(
    overrides: list[str],
    line: str,
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "jepa_lab.training.run._watched", lambda session: pytest.fail("was not refused")
    )
    code, _, err = command(A, *overrides)
    assert code == 2, err
    (printed,) = err.strip().splitlines()
    assert printed.startswith("jepa_lab: ")
    assert line in printed
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("def (:", "SyntaxError: invalid syntax"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(7)", "SystemExit: 7"),
    ],
)
def test_a_user_defined_file_that_cannot_be_imported_is_reported_in_one_line(
    text: str, why: str, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_loss.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    code, _, err = command(A, "+aux.mine._target_=broken_loss.Options")
    assert code == 2
    assert err.startswith(
        f"jepa_lab: aux.mine._target_=broken_loss.Options: broken_loss cannot be imported: {why}"
    )
    assert err.count("\n") == 1


def test_user_defined_code_that_ends_the_process_in_a_run_is_reported_in_one_line(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(config: object, data: object) -> None:
        raise SystemExit(7)

    monkeypatch.setattr("jepa_lab.studies.seq_jepa.study.STUDY.build", build)
    code, _, err = command(A, "tier=smoke")
    assert (code, err) == (2, "jepa_lab: user-defined code ended the run: SystemExit: 7\n")
    assert not list(tmp_path.iterdir())


def test_a_user_defined_option_with_invalid_yaml_is_reported_in_one_line(
    command: Command, tmp_path: Path
) -> None:
    (tmp_path / "aux_loss").mkdir()
    (tmp_path / "aux_loss" / "mine.yaml").write_text("# @package aux.mine\nstd: [\n")
    code, _, err = command(A, "aux=mine", f"hydra.searchpath=[aux_loss://{tmp_path}]")
    assert code == 2
    assert err.startswith("jepa_lab: while parsing a flow node")
    assert "mine.yaml" in err
    assert err.count("\n") == 1


def test_the_toy_has_no_auxiliary_losses(command: Command) -> None:
    code, _, err = command("+experiment=linear_byol", "aux=vicreg")
    assert code == 2
    assert "aux: the linear BYOL toy has no such group" in err
