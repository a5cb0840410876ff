"""The runs of the benchmark of collapses: their list, their training, the oracle that labels them,
and the table they are collected into."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from collapse_bench import oracle, results
from collapse_bench.collect import collect
from collapse_bench.encoders import NETWORKS, NORMS, build
from collapse_bench.oracle import Measured, label_features, label_prediction, label_run
from collapse_bench.plan import LENGTHS, ONSETS, OWN, Spec, plan
from collapse_bench.results import labels_of, path_of, read_results, train_missing
from collapse_bench.sources import load
from collapse_bench.training import METHODS, train
from collapse_bench.views import two_views
from jepa_lab.report.collapse_bench.runs import load_runs

N, CLASSES, CHANCE = 400, 4, 0.25


def tiny(method: str = "info_nce", network: str = "mlp", **changes: Any) -> Spec:
    """Returns a run of a few steps on the digits."""
    options = OWN[method]["healthy"][0]
    spec = Spec("digits", network, method, "healthy", "enough", 3, 4, method_options=options)
    return replace(spec, **changes)


def features(kind: str) -> tuple[Tensor, Tensor]:
    """Returns features (2 N, d) of a kind and their labels (2 N,)."""
    g = torch.Generator().manual_seed(0)
    labels = torch.randint(CLASSES, (2 * N,), generator=g)
    noise, centres = torch.randn(2 * N, 16, generator=g), torch.eye(16)[:CLASSES]
    rows = {
        "weak": 1.2 * centres[labels] + 0.7 * noise,
        "strong": 3.0 * centres[labels] + 0.5 * noise,
        "constant": torch.ones(2 * N, 16) + 1e-7 * noise,
        "one direction": noise[:, :1] * torch.ones(1, 16),
        "not finite": torch.full((2 * N, 16), float("nan")),
    }
    return rows[kind], labels


def seen(kind: str, **values: float) -> Measured:
    """Returns what the oracle sees of features of a kind, the second half held out."""
    rows, labels = features(kind)
    none = (torch.zeros(N, 0), torch.zeros(N, 0))
    found = oracle.measure(rows[:N], labels[:N], rows[N:], labels[N:], none)
    return replace(found, values={**found.values, **values})


def test_the_list_of_runs_is_always_the_same_and_names_are_unique() -> None:
    runs = plan()
    assert runs == plan()
    assert len(runs) >= 900
    assert len({run.name for run in runs}) == len(runs)
    assert sum(run.onset for run in runs) == ONSETS
    assert all(run.name.split(".")[:3] == [run.data, run.network, run.method] for run in runs)


@pytest.mark.parametrize("group", ["data", "network", "length", "kind"])
def test_every_method_meets_every_value_of_every_group(group: str) -> None:
    pairs = Counter((run.method, getattr(run, group)) for run in plan())
    values = {value for _, value in pairs}
    assert len(pairs) == len(METHODS) * len(values)
    assert min(pairs.values()) >= 8


def test_the_list_has_the_planted_faults_of_every_method() -> None:
    named = {(run.method, run.condition) for run in plan()}
    own = {(m, c) for m, conditions in OWN.items() for c in conditions}
    assert own <= named
    everywhere = ("rate_x30", "views_equal", "leaked_labels", "half_overflow")
    assert {(m, f"fault_{fault}") for m in OWN for fault in everywhere} <= named
    assert set(LENGTHS) == {run.length for run in plan()}


@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_maps_images_to_rows_of_its_width_with_its_norm(network: str) -> None:
    net = build(network, 1, 8)
    assert net(torch.rand(3, 1, 8, 8)).shape == (3, net.dim)
    norms = {type(m).__name__[:5].lower() for m in net.modules() if "Norm" in type(m).__name__}
    assert norms == ({NORMS[network]} if network in NORMS else set())


@pytest.mark.parametrize("method", METHODS)
def test_a_run_of_every_method_logs_its_taps_and_is_labelled(method: str) -> None:
    result = train(tiny(method, "mlp_bn"))
    history = result["history"]
    assert "reference/z/effective_rank" in history
    assert [step for step, _ in history["val/z/effective_rank"]] == [1, 2, 3, 4]
    assert len(history["train/loss/total"]) == 4
    assert not any("probe" in key for key in history), "a rule must not read the oracle"
    assert labels_of(result)["label"] in oracle.LABELS
    predicts = method in ("byol", "simsiam", "dino", "seq_jepa")
    assert ("val/skill" in history) == predicts
    assert ("val/codebook/usage" in history) == (method == "vq")


def test_a_run_is_the_same_twice() -> None:
    one, two = (json.dumps(train(tiny("byol"))) for _ in range(2))
    assert one == two


def test_half_precision_gradients_that_overflow_end_the_run_with_its_failure_logged() -> None:
    own = {"off": 5e-3}
    result = train(tiny("barlow_twins", options={"half": True}, method_options=own, steps=30))
    last = result["history"]["train/loss/total"][-1]
    assert last[0] < 30
    assert not np.isfinite(last[1])
    assert not np.isfinite(result["history"]["val/z/effective_rank"][-1][1])
    assert labels_of(result)["label"] == "failed"


def test_views_differ_unless_the_fault_makes_them_equal_and_leaks_name_the_class() -> None:
    source = load("digits")
    images, labels = source.val.images[:8], torch.arange(8)
    pairs = {
        fault: two_views(images, labels, torch.Generator().manual_seed(0), 0.08, fault)
        for fault in ("", "views_equal", "leaked_labels")
    }
    assert not torch.equal(*pairs[""])
    assert torch.equal(*pairs["views_equal"])
    corner = pairs["leaked_labels"][0][:, 0, 0, :4] > 0
    assert (corner.long() * 2 ** torch.arange(4)).sum(1).tolist() == labels.tolist()


def test_parts_of_a_source_share_no_image() -> None:
    for name in ("digits", "shapes", "gratings"):
        source = load(name)
        parts = (source.train, source.val, source.test)
        rows = [{row.numpy().tobytes() for row in part.images.flatten(1)} for part in parts]
        assert len(set.union(*rows)) == sum(map(len, rows)), name


def test_a_killed_training_resumes_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs = [tiny("info_nce"), tiny("autoencoder"), tiny("vicreg")]
    list(train_missing(tmp_path / "whole", specs))

    def killed(spec: Spec) -> dict[str, Any]:
        if spec.method == "autoencoder":
            raise KeyboardInterrupt
        return train(spec)

    with monkeypatch.context() as patch:
        patch.setattr(results, "train", killed)
        with pytest.raises(KeyboardInterrupt):
            list(train_missing(tmp_path / "killed", specs))
    assert [s.method for s in train_missing(tmp_path / "killed", specs)] == [
        "autoencoder",
        "vicreg",
    ]
    for spec in specs:
        one, two = (path_of(tmp_path / where, spec) for where in ("whole", "killed"))
        assert one.read_bytes() == two.read_bytes()
    assert not list((tmp_path / "killed").rglob("*.tmp"))


def test_shards_share_the_runs_and_a_run_that_raises_is_left_for_the_next_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    specs = [tiny(seed=i) for i in range(4)]
    tried: list[int] = []

    def fake(spec: Spec) -> dict[str, Any]:
        tried.append(spec.seed)
        if spec.seed == 2 and tried.count(2) == 1:
            raise RuntimeError("broken")
        return {"name": spec.name}

    monkeypatch.setattr(results, "train", fake)
    assert [s.seed for s in train_missing(tmp_path, specs, (0, 2))] == [0]
    assert "broken" in capsys.readouterr().out
    assert [s.seed for s in train_missing(tmp_path, specs, (1, 2))] == [1, 3]
    assert [s.seed for s in train_missing(tmp_path, specs)] == [2]


@pytest.mark.parametrize(
    ("trained", "untrained", "label"),
    [
        ("strong", "weak", "good"),
        ("weak", "weak", "kept"),
        ("constant", "weak", "failed"),
        ("one direction", "weak", "failed"),
        ("not finite", "weak", "failed"),
        ("constant", "constant", "undecided"),
    ],
)
def test_the_oracle_tells_constructed_features_apart(
    trained: str, untrained: str, label: str
) -> None:
    found = label_features(seen(trained), seen(untrained), seen("strong"), CHANCE)
    assert found == label


def test_features_at_the_ceiling_are_good_only_if_they_moved() -> None:
    raw = seen("strong")
    assert label_features(seen("strong", moved=0.0), raw, raw, CHANCE) == "kept"
    assert label_features(seen("strong", moved=0.5), raw, raw, CHANCE) == "good"


def test_a_readout_that_is_lost_fails_features_that_gained_nothing() -> None:
    raw = seen("strong")
    before = seen("weak", factors=0.8)
    assert label_features(seen("weak", factors=0.1), before, raw, CHANCE) == "failed"
    assert label_features(seen("weak", factors=0.6), before, raw, CHANCE) == "kept"
    assert label_features(seen("strong", factors=0.1), before, raw, CHANCE) == "good"


@pytest.mark.parametrize(
    ("trained", "untrained", "label"),
    [
        ({"retrieved": 0.04}, {"retrieved": 0.02}, "failed"),
        ({"retrieved": 0.4}, {"retrieved": 0.1}, "good"),
        ({"retrieved": 0.4}, {"retrieved": 0.39}, "undecided"),
        ({"recovered": 0.01}, {"recovered": 0.0}, "failed"),
        ({"recovered": float("nan")}, {"recovered": 0.0}, "failed"),
        ({"classified": 0.5}, {"classified": 0.0}, "good"),
        ({}, {}, "undecided"),
    ],
)
def test_the_prediction_is_labelled_against_chance_and_the_untrained_network(
    trained: dict[str, float], untrained: dict[str, float], label: str
) -> None:
    assert label_prediction(trained, untrained) == label


def test_the_label_of_a_run_joins_features_and_prediction() -> None:
    assert label_run("failed", "good", early=True, moved=1.0) == "failed"
    assert label_run("good", "failed", early=False, moved=1.0) == "failed"
    assert label_run("good", "failed", early=True, moved=1.0) == "undecided"
    assert label_run("good", "undecided", early=False, moved=1.0) == "good"
    assert label_run("kept", "good", early=False, moved=0.5) == "good"
    assert label_run("kept", "good", early=False, moved=0.0) == "undecided"


def test_retrieval_is_perfect_for_equal_rows_and_at_chance_for_a_constant() -> None:
    rows = torch.randn(100, 8, generator=torch.Generator().manual_seed(0))
    assert oracle.retrieved(rows, rows) == 1.0
    assert oracle.retrieved(torch.ones(500, 8), torch.ones(500, 8)) <= 0.06


def test_the_action_readout_finds_an_action_in_the_features_and_none_in_noise() -> None:
    g = torch.Generator().manual_seed(0)
    actions = torch.randn(400, 2, generator=g)
    z = torch.randn(400, 2, 6, generator=g)
    assert oracle.action_readout(z, actions) < 0.1
    z[:, 1, :2] = z[:, 0, :2] + actions
    assert oracle.action_readout(z, actions) > 0.5


def test_what_the_oracle_saw_is_stored_without_loss() -> None:
    before = seen("weak", factors=0.5)
    after = Measured.of(json.loads(json.dumps(before.to_dict())))
    assert after.values == pytest.approx(before.values, rel=1e-5)
    assert all(np.array_equal(after.hits[k], before.hits[k]) for k in ("knn", "probe"))


def test_the_onset_is_the_start_of_the_stretch_that_stays_failed() -> None:
    good, lost = (seen(kind).to_dict() for kind in ("weak", "constant"))
    result = {
        "oracle": {"raw": seen("strong").to_dict(), "untrained": good, "trained": lost},
        "prediction": {"trained": {}, "untrained": {}},
        "chance": CHANCE,
        "length": "enough",
        "seen": [[10, lost], [20, good], [30, lost], [40, lost]],
    }
    assert labels_of(result)["lost_at"] == 30
    assert labels_of({**result, "seen": [[10, lost], [20, good]]})["lost_at"] is None


def test_collected_runs_keep_their_verdicts_and_labels(tmp_path: Path) -> None:
    specs = [tiny("byol", "mlp_bn", steps=6), tiny("vq", steps=6, onset=True)]
    list(train_missing(tmp_path, specs))
    text = collect(tmp_path, tmp_path / "runs.parquet")
    assert "0 verdicts differ" in text
    runs = load_runs(tmp_path / "runs.parquet")
    assert [run.name for run in runs] == sorted(spec.name for spec in specs)
    for run, row in zip(runs, read_results(tmp_path), strict=True):
        assert run.label == labels_of(row)["label"]
        assert not any("z_hat" in key or "probe" in key for key in run.history)
