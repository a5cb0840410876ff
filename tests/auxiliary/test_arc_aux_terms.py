"""Auxiliary losses in an ARC JEPA: inputs, training, and runs without them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch

from jepa_lab.auxiliary import AuxInputs
from jepa_lab.auxiliary.coding_rate import TapRateOptions
from jepa_lab.auxiliary.dino import DinoHeads
from jepa_lab.callbacks.logging import gradient_statistics
from jepa_lab.config.groups import conf_dir, folder_of, options_of
from jepa_lab.errors import UserError
from jepa_lab.ledger.parquet import history_of
from jepa_lab.losses import EmaCenter, variance_covariance
from jepa_lab.studies.arc.candidates import candidates
from jepa_lab.studies.arc.config import ArcConfig
from jepa_lab.studies.arc.module import ArcJEPA
from jepa_lab.studies.arc.preflight import run_preflight
from jepa_lab.studies.arc.remedies import weight_of
from jepa_lab.studies.run import train
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.training import resume
from jepa_lab.training.provenance import count_parameters
from jepa_lab.training.resume import identity
from jepa_lab.training.study import Parts
from study_parts import load_data, prepare

Make = Callable[..., ArcConfig]
LOSSES = [name for name in options_of(folder_of(conf_dir(), "aux")) if name != "none"]


def parts_of(config: ArcConfig) -> Parts:
    return prepare(config, load_data(config))


def stepped(config: ArcConfig) -> ArcJEPA:
    """Returns the module after a first training step, before its backward pass."""
    parts = parts_of(config)
    module: ArcJEPA = parts.module.train()
    module.training_step(next(iter(parts.loaders["train"])), 0)
    return module


def gradients(module: ArcJEPA) -> dict[str, float]:
    norms = gradient_statistics(module.weighted, list(module.network.encoder.parameters()))
    return {k.rpartition("/")[2]: v for k, v in norms.items() if k.startswith("train/gradient/")}


@pytest.mark.parametrize("target", ["ema", "shared"])
def test_the_encoder_has_a_gradient_from_every_term(target: str, make_arc: Make) -> None:
    assert gradients(stepped(make_arc("aux=none", f"target={target}"))).keys() == {
        "prediction",
        "vq",
    }
    norms = gradients(stepped(make_arc(f"aux=[{','.join(LOSSES)}]", f"target={target}")))
    assert norms.keys() == {"prediction", "vq", *LOSSES}
    assert all(norm > 0 for norm in norms.values())


def test_the_tap_z_has_a_row_for_every_grid_that_is_present(make_arc: Make) -> None:
    module = stepped(make_arc("aux=vicreg", "aux.vicreg.site=z", "dataset.n_demos=5"))
    assert module.batch is not None
    assert module.representations is not None
    present = module.batch.present
    assert not present.all()  # otherwise the test would check nothing
    projector = dict(module.objective.aux.named())["vicreg"].projector
    assert projector is not None
    rows = projector(module.representations.z[present])
    assert torch.allclose(
        module.terms["vicreg"], variance_covariance(rows, 1.0, 0.8, 1e-4).total, rtol=1e-4
    )


def test_aux_terms_are_trained_logged_saved_and_counted(
    make_arc: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    moves: list[int] = []
    update = EmaCenter.update_center
    monkeypatch.setattr(
        EmaCenter, "update_center", lambda self: (moves.append(self._rows), update(self))[1]
    )
    overrides = (
        "aux=[vicreg,dino]",
        "aux.vicreg.weight=0.5",
        "optim.accumulate=2",
        "dataset.train_tasks=32",
        "monitor.gradients_every=1",
    )
    start = {
        k: v.clone()
        for k, v in parts_of(make_arc(*overrides)).module.state_dict().items()
        if torch.is_tensor(v)
    }
    result = train(make_arc(*overrides))
    module = result.module
    assert module is not None
    steps = module.trainer.global_step
    assert moves == [16] * steps
    saved = torch.load(result.run_dir / "checkpoints" / "last.ckpt", weights_only=True)[
        "state_dict"
    ]
    names = [
        k
        for k in start
        if ".aux." in k and k.endswith(("weight", "parametrizations.weight.original1", "center"))
    ]
    assert {k.split(".")[2] for k in names} == {"vicreg", "dino"}
    assert any("teacher_head" in k for k in names)
    for name in names:
        assert not torch.equal(saved[name], start[name]), name
    terms_by_name = dict(module.objective.aux.named())
    heads = terms_by_name["dino"].loss
    assert isinstance(heads, DinoHeads)
    assert heads.teacher_head is not None
    assert not any(p.requires_grad for p in heads.teacher_head.parameters())
    own = sum(
        p.numel() for term in terms_by_name.values() for p in term.parameters() if p.requires_grad
    )
    plain = count_parameters(parts_of(make_arc("dataset.train_tasks=32")).module)["trainable"]
    assert count_parameters(module)["trainable"] == plain + own
    history = history_of(result.run_dir)
    last = {
        k.removeprefix("train/loss/"): v[-1][1]
        for k, v in history.items()
        if k.startswith("train/loss/")
    }
    terms = {
        "vicreg_sim",
        "vicreg_std",
        "vicreg_cov",
        "dino_cross_entropy",
        "dino_teacher_entropy",
        "dino_kl",
    }
    assert (
        last.keys() == {"total", "prediction", "info_nce", "commitment", "vicreg", "dino"} | terms
    )
    vq = last["total"] * history["train/share/vq"][-1][1]
    assert last["total"] == pytest.approx(
        last["prediction"] + 0.5 * last["vicreg"] + last["dino"] + vq, rel=1e-5
    )
    for name in ("vicreg", "dino"):
        assert history[f"train/gradient/{name}"]
        assert history[f"train/gradient_cosine/{name}"]


def test_aux_terms_do_not_change_the_initial_network(make_arc: Make) -> None:
    plain = parts_of(make_arc()).module.state_dict()
    with_aux = parts_of(make_arc("aux=[vicreg,dino,sigreg]")).module.state_dict()
    tensors = {k: v for k, v in plain.items() if torch.is_tensor(v)}
    assert all(torch.equal(with_aux[k], v) for k, v in tensors.items())


def test_a_weight_rises_over_its_ramp(make_arc: Make) -> None:
    module = parts_of(make_arc("aux=vicreg", "aux.vicreg.weight=2", "aux.vicreg.ramp=0.5")).module
    assert [module.objective.weights(p)["vicreg"] for p in (0.0, 0.25, 0.5, 1.0)] == pytest.approx(
        [0, 1, 2, 2]
    )


def test_sigreg_of_the_loss_and_of_aux_at_another_tap_add_up(make_arc: Make) -> None:
    module = stepped(make_arc("aux=sigreg", "loss.sigreg.weight=0.1"))
    assert {"sigreg", "aux_sigreg"} <= module.weighted.keys()
    total = sum(float(part.detach()) for part in module.weighted.values())
    assert float(module.terms["total"]) == pytest.approx(total, rel=1e-5)
    with pytest.raises(
        UserError,
        match=r"aux\.sigreg\.site=z_hat and loss\.sigreg\.weight=0\.1 are SIGReg of one tap",
    ):
        make_arc("aux=sigreg", "aux.sigreg.site=z_hat", "loss.sigreg.weight=0.1")


def rate(x: torch.Tensor, **keys: Any) -> torch.Tensor:
    options = TapRateOptions(
        weight=1.0, ramp=0.0, site="z_hat", **{"alpha": "auto", "normalise": "rows", **keys}
    )
    options.check("aux.coding_rate")
    return options.of(AuxInputs({}, x, None, 0)).total


def test_the_coding_rate_of_a_tap_is_minus_the_log_determinant() -> None:
    x = torch.randn(20, 6, dtype=torch.float64)
    unit = x / x.norm(dim=1, keepdim=True)
    longhand = -torch.logdet(torch.eye(6, dtype=torch.float64) + 6 / 0.5**2 / 20 * unit.T @ unit)
    assert torch.allclose(rate(x), longhand)
    assert torch.allclose(rate(100 * x), longhand)
    assert torch.allclose(
        rate(x, alpha=2.0, normalise="none"), -torch.logdet(torch.eye(6) + 0.1 * x.T @ x)
    )
    one = torch.ones(20, 6, dtype=torch.float64)  # collapsed: one direction
    assert float(rate(one)) == pytest.approx(
        -torch.log(torch.tensor(1 + 6 / 0.25)).item(), rel=1e-6
    )


def test_a_run_without_aux_terms_keeps_its_identity(
    make_arc: Make, make_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings_of_runs: list[Mapping[str, Any]] = []
    monkeypatch.setattr(
        resume, "run_id", lambda settings, data: settings_of_runs.append(settings) or "x"
    )
    for config in (
        make_arc(),
        make_arc("aux=none"),
        make_arc("aux=coding_rate"),
        make_config("aux=coding_rate"),
    ):
        identity(config, "data")
    assert settings_of_runs[0] == settings_of_runs[1]
    assert "aux" not in settings_of_runs[0]
    assert (
        settings_of_runs[2]["aux"]["coding_rate"].items()
        >= {"site": "z_hat", "alpha": "auto", "normalise": "rows"}.items()
    )
    assert settings_of_runs[3]["aux"]["coding_rate"].keys() == {
        "_target_",
        "weight",
        "ramp",
    }  # as in runs from before the key `site`


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["aux=vicreg", "aux.vicreg.site=tokens"],
            r"site=tokens: expected one of \[z_hat,z_target\], z, z_agg, z_hat",
        ),
        (
            ["aux=coding_rate", "aux.coding_rate.site=[z_hat,z_target]"],
            r"site=\[z_hat,z_target\]: expected one of z,",
        ),
        (
            ["aux=coding_rate", "aux.coding_rate.alpha=0"],
            r"coding_rate\.alpha=0\.0: expected a number above 0, or auto",
        ),
        (["aux=coding_rate", "aux.coding_rate.normalise=row"], r"aux\.coding_rate\.normalise=row"),
        (["+aux.vq={weight: 1}"], r"aux\.vq: not a name for an auxiliary loss"),
    ],
)
def test_a_wrong_value_raises_a_user_error(
    overrides: list[str], message: str, make_arc: Make
) -> None:
    with pytest.raises(UserError, match=message):
        make_arc(*overrides)


def test_a_missing_tap_raises_a_user_error(make_arc: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_arc("aux=sigreg")
    config.aux["sigreg"].site = "tokens"  # as a user-defined loss may set
    with pytest.raises(
        UserError, match=r"aux\.sigreg\.site=tokens: tokens is none of z, z_agg, z_hat, z_target"
    ):
        parts_of(config)


def test_a_seq_jepa_rejects_the_site_of_the_coding_rate(make_config: Callable[..., Config]) -> None:
    with pytest.raises(
        UserError,
        match=r"aux\.coding_rate\.site=z: only for the ARC JEPA; a seq-JEPA has loss\.rate_target",
    ):
        make_config("aux=coding_rate", "aux.coding_rate.site=z", experiment="seq_jepa_baseline")


def test_preflight_passes_every_aux_term(make_arc: Make) -> None:
    config = make_arc(f"aux=[{','.join(LOSSES)}]", "aux.vicreg.ramp=1")
    assert run_preflight(config, parts_of(config)).failures == []


def test_the_diagnosis_includes_aux_terms(make_arc: Make) -> None:
    config = {
        "loss": {"sigreg": {"weight": 0.1}},
        "aux": {"vicreg": {"weight": 2.0}, "dino": {"weight": 0.0}},
    }
    names = [candidate.name for candidate in candidates([], config)]
    assert [n for n in names if n.endswith("=0")] == ["loss.sigreg.weight=0", "aux.vicreg.weight=0"]
    assert weight_of("train/gradient/vicreg", config) == "aux.vicreg.weight*0.1"
    assert weight_of("train/gradient/sigreg", config) == "loss.sigreg.weight*0.1"
