"""Auxiliary losses in training: gradients, projectors, weights, heads, and resumed runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from jepa_lab.auxiliary import AuxTerm
from jepa_lab.auxiliary.dino import DinoHeads
from jepa_lab.callbacks.logging import gradient_statistics
from jepa_lab.config.groups import conf_dir, folder_of, options_of
from jepa_lab.ledger.parquet import history_of
from jepa_lab.losses import CenterPenalty, DinoLoss, sigreg, variance_covariance
from jepa_lab.networks.heads import projector
from jepa_lab.studies.run import train
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.studies.seq_jepa.module import SeqJEPA
from jepa_lab.studies.seq_jepa.preflight import run_preflight, sample
from jepa_lab.training.provenance import count_parameters
from killed_runs import difference, state_of
from study_parts import load_data, prepare

Make = Callable[..., Config]
LOSSES = options_of(folder_of(conf_dir(), "aux"))
MODULES = sorted(set(LOSSES) - {"none", "coding_rate"})
PUBLISHED = {"none", "vicreg", "barlow_twins", "dino", "coding_rate", "sigreg", "center_penalty"}
CONTROL = "seq_jepa_baseline"


@pytest.fixture
def make(make_config: Make) -> Make:
    return lambda *overrides: make_config(*overrides, experiment=CONTROL)


def built(config: Config) -> SeqJEPA:
    return prepare(config, load_data(config)).module


def stepped(config: Config) -> SeqJEPA:
    """Returns the module after a first training step, before its backward pass."""
    module = built(config).train()
    images = sample("train", load_data(config).train)
    module.training_step(module.on_after_batch_transfer(images, 0), 0)
    return module


def gradients(module: SeqJEPA) -> dict[str, float]:
    norms = gradient_statistics(module.weighted, list(module.network.encoder.parameters()))
    return {k.rpartition("/")[2]: v for k, v in norms.items() if k.startswith("train/gradient/")}


def term_of(module: SeqJEPA, name: str) -> AuxTerm:
    return dict(module.objective.arms())[name]


def test_the_aux_options_are_the_published_ones() -> None:
    assert set(LOSSES) == PUBLISHED


@pytest.mark.parametrize("target", ["ema", "stopgrad", "shared"])
@pytest.mark.parametrize("name", LOSSES)
def test_the_encoder_has_a_gradient_from_the_prediction_and_the_aux_term(
    name: str, target: str, make: Make
) -> None:
    norms = gradients(stepped(make(f"aux={name}", f"target={target}")))
    expected = (
        {"prediction"} | ({name} & set(MODULES)) | ({"rate"} if name == "coding_rate" else set())
    )
    assert norms.keys() == expected
    assert all(norm > 0 for norm in norms.values())


@pytest.mark.parametrize("target", ["ema", "stopgrad"])
def test_at_the_pair_only_z_hat_has_a_gradient(
    target: str, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bool, bool]] = []
    forward = AuxTerm.forward

    def recorded(self: AuxTerm, taps: dict[str, torch.Tensor], step: int) -> object:
        seen.append((taps["z_hat"].requires_grad, taps["z_target"].requires_grad))
        return forward(self, taps, step)

    monkeypatch.setattr(AuxTerm, "forward", recorded)
    stepped(make("aux=vicreg", f"target={target}"))
    assert seen == [(True, False)]


@pytest.mark.parametrize("name", ["vicreg", "barlow_twins", "sigreg"])
@pytest.mark.parametrize("site", ["z", "z_agg", "z_hat"])
def test_losses_of_a_single_tap_reach_the_encoder(name: str, site: str, make: Make) -> None:
    norms = gradients(stepped(make(f"aux={name}", f"aux.{name}.site={site}")))
    assert norms[name] > 0


def test_the_rows_of_a_tap_are_all_its_views_after_the_projector(make: Make) -> None:
    module = stepped(make("aux=vicreg", "aux.vicreg.site=z"))
    term, reps = term_of(module, "vicreg"), module.representations
    assert reps is not None
    assert term.projector is not None
    rows = term.projector(reps.z.reshape(-1, reps.z.shape[-1]))
    expected = variance_covariance(rows, 1.0, 0.8, 1e-4)
    assert module.terms.keys() == {"total", "prediction", "vicreg", "vicreg_std", "vicreg_cov"}
    assert torch.allclose(module.terms["vicreg"], expected.total, rtol=1e-4)


def test_the_projector_is_trained_saved_and_counted(make: Make) -> None:
    config = make("aux=vicreg", "target=stopgrad")
    start = {k: v.clone() for k, v in built(config).state_dict().items()}
    result = train(config)
    assert result.module is not None
    saved = torch.load(result.run_dir / "checkpoints" / "last.ckpt", weights_only=True)[
        "state_dict"
    ]
    names = [name for name in start if name.startswith("objective.aux.vicreg.projector.")]
    weights = [name for name in names if name.endswith("weight")]
    assert len(weights) == 5
    for name in weights:
        assert not torch.equal(result.module.state_dict()[name], start[name]), name
        assert torch.equal(saved[name], result.module.state_dict()[name])
    own = sum(p.numel() for p in term_of(result.module, "vicreg").parameters())
    without = count_parameters(built(make("target=stopgrad")))["trainable"]
    assert count_parameters(result.module)["trainable"] == without + own
    assert sum(p.numel() for p in projector(64, 256, 256).parameters()) == 149_248  # as published


@pytest.mark.parametrize("name", MODULES)
def test_an_aux_term_changes_neither_the_initial_network_nor_the_random_stream(
    name: str, make: Make
) -> None:
    plain, plain_stream = built(make()), torch.get_rng_state()
    module = built(make(f"aux={name}"))
    assert torch.equal(torch.get_rng_state(), plain_stream)
    for k, v in plain.state_dict().items():
        assert torch.equal(module.state_dict()[k], v), k


def test_terms_are_logged_by_name_and_the_total_is_their_weighted_sum(make: Make) -> None:
    losses = ["vicreg", "barlow_twins", "dino", "sigreg", "center_penalty", "coding_rate"]
    overrides = [
        f"aux=[{','.join(losses)}]",
        "aux.vicreg.weight=0.5",
        "aux.sigreg.weight=2",
        "aux.coding_rate.weight=0.01",
    ]
    history = history_of(train(make(*overrides)).run_dir)
    last = {
        k.removeprefix("train/loss/"): v[-1][1]
        for k, v in history.items()
        if k.startswith("train/loss/")
    }
    own = {
        "vicreg_sim",
        "vicreg_std",
        "vicreg_cov",
        "barlow_twins_on_diagonal",
        "barlow_twins_off_diagonal",
        "dino_cross_entropy",
        "dino_teacher_entropy",
        "dino_kl",
    }
    assert last.keys() == {"total", "prediction", "rate", *own, *losses} - {"coding_rate"}
    weights = {
        "prediction": 1.0,
        "vicreg": 0.5,
        "barlow_twins": 1.0,
        "dino": 1.0,
        "sigreg": 2.0,
        "center_penalty": 1.0,
        "rate": 0.01,
    }
    assert last["total"] == pytest.approx(
        sum(w * last[name] for name, w in weights.items()), rel=1e-5
    )
    assert last["vicreg"] == pytest.approx(
        last["vicreg_sim"] + last["vicreg_std"] + 0.8 * last["vicreg_cov"], rel=1e-5
    )
    for name in weights:
        assert history[f"train/gradient/{name}"], name


def test_a_weight_rises_linearly_over_its_ramp_and_then_stays(make: Make) -> None:
    module = built(
        make(
            "aux=[vicreg,coding_rate]",
            "aux.vicreg.weight=2",
            "aux.vicreg.ramp=0.5",
            "aux.coding_rate.weight=3",
            "aux.coding_rate.ramp=0.25",
        )
    )
    seen = [module.objective.weights(p) for p in (0.0, 0.125, 0.25, 0.5, 1.0)]
    assert [w["vicreg"] for w in seen] == pytest.approx([0.0, 0.5, 1.0, 2.0, 2.0])
    assert [w["rate"] for w in seen] == pytest.approx([0.0, 1.5, 3.0, 3.0, 3.0])


def test_a_run_is_trained_with_the_ramp(make: Make) -> None:
    history = history_of(
        train(make("aux=vicreg", "aux.vicreg.ramp=1", "monitor.log_every=1")).run_dir
    )
    rows = {k: dict(history[f"train/loss/{k}"]) for k in ("total", "prediction", "vicreg")}
    steps = sorted(rows["total"])
    assert len(steps) == 8
    for i, step in enumerate(steps):
        added = rows["total"][step] - rows["prediction"][step]
        assert added == pytest.approx(i / 8 * rows["vicreg"][step], rel=1e-4, abs=1e-6)


def test_an_aux_term_of_weight_0_is_not_built(make: Make) -> None:
    module = built(make("aux=vicreg", "aux.vicreg.weight=0"))
    assert dict(module.objective.arms()) == {}
    assert not [name for name in module.state_dict() if "aux" in name]


def test_aux_coding_rate_trains_exactly_as_lambda_rate(make: Make) -> None:
    with_aux = train(make("aux=coding_rate", "aux.coding_rate.weight=0.01")).module
    with_lambda = train(make("loss.lambda_rate=0.01")).module
    assert with_aux is not None
    assert with_lambda is not None
    assert all(
        torch.equal(v, with_lambda.state_dict()[k]) for k, v in with_aux.state_dict().items()
    )


def test_sigreg_uses_new_directions_at_every_step(make: Make) -> None:
    term = term_of(built(make("aux=sigreg", "aux.sigreg.n_slices=3")), "sigreg")
    z = torch.randn(20, 4, 16)
    assert torch.equal(term({"z": z}, 7).total, sigreg(z.flatten(0, 1), 7, 3))
    assert not torch.equal(term({"z": z}, 7).total, term({"z": z}, 8).total)


def test_the_dino_teacher_head_is_an_average_if_an_ema_teacher_exists(make: Make) -> None:
    has_ema_teacher = train(make("aux=dino", "target.memory=0.5")).module
    assert has_ema_teacher is not None
    heads = term_of(has_ema_teacher, "dino").loss
    assert isinstance(heads, DinoHeads)
    assert heads.teacher_head is not None
    pairs = list(zip(heads.teacher_head.parameters(), heads.student_head.parameters(), strict=True))
    assert all(not teacher.requires_grad for teacher, _ in pairs)
    assert any(not torch.equal(teacher, student) for teacher, student in pairs)
    initial = term_of(built(make("aux=dino", "target.memory=0.5")), "dino").loss
    assert isinstance(initial, DinoHeads)
    assert initial.teacher_head is not None
    began = list(initial.teacher_head.parameters())
    assert any(
        not torch.equal(teacher, before) for (teacher, _), before in zip(pairs, began, strict=True)
    )
    shared = term_of(built(make("aux=dino", "target=stopgrad")), "dino").loss
    assert isinstance(shared, DinoHeads)
    assert shared.teacher_head is None


@pytest.mark.parametrize(
    ("name", "kind", "rows"), [("dino", DinoLoss, 64), ("center_penalty", CenterPenalty, 3 * 64)]
)
@pytest.mark.parametrize(
    ("overrides", "passes"),
    [
        ((), 1),
        (("optim.accumulate=2",), 2),
        (("loss.symmetric=true", "dataset.first_view=random"), 2),
    ],
)
def test_a_centre_moves_once_per_optimiser_step(
    name: str,
    kind: type[CenterPenalty],
    rows: int,
    overrides: tuple[str, ...],
    passes: int,
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moves: list[int] = []
    update = kind.update_center

    def counted(self: CenterPenalty) -> None:
        moves.append(self._rows)
        update(self)

    monkeypatch.setattr(kind, "update_center", counted)
    module = train(make(f"aux={name}", *overrides)).module
    assert module is not None
    assert moves == [passes * rows] * module.trainer.global_step


def test_a_resumed_run_ends_with_exactly_the_same_state(make: Make, tmp_path: Path) -> None:
    import conftest

    overrides = (
        "aux=[vicreg,dino,center_penalty,sigreg]",
        "aux.vicreg.ramp=0.7",
        "optim.accumulate=2",
        "keep=all",
    )
    expected = train(conftest.maker(tmp_path / "whole")(*overrides, experiment=CONTROL))
    for _ in range(2):
        assert train(make(*overrides, "max_wall_s=1e-9")).state == "stopped"
    resumed = train(make(*overrides))
    assert resumed.resumed
    assert difference(state_of(resumed.run_dir), state_of(expected.run_dir)) is None


@pytest.mark.parametrize(
    "overrides",
    [
        *[[f"aux={name}"] for name in LOSSES],
        ["aux=[vicreg,sigreg]", "aux.vicreg.ramp=1"],
        ["aux=vicreg", "target=stopgrad"],
        ["aux=dino", "precision=bf16"],
    ],
)
def test_preflight_passes_every_aux_term(overrides: list[str], make: Make) -> None:
    config = make(*overrides)
    splits = load_data(config)
    parts = prepare(config, splits)
    assert run_preflight(config, splits, parts.module, parts.budget).failures == []


def test_preflight_names_the_aux_term_that_does_not_reach_the_encoder(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = AuxTerm.forward

    def detached(self: AuxTerm, taps: dict[str, torch.Tensor], step: int) -> object:
        return forward(self, {k: v.detach() for k, v in taps.items()}, step)

    monkeypatch.setattr(AuxTerm, "forward", detached)
    config = make("aux=vicreg")
    splits = load_data(config)
    parts = prepare(config, splits)
    failures = run_preflight(config, splits, parts.module, parts.budget).failures
    assert failures == [
        "loss term vicreg has no gradient: aux.vicreg.weight=1 with"
        " aux.vicreg.site=[z_hat,z_target]"
    ]
