"""The frozen evaluation of a run: classifiers, regressions and metrics on its features and on those
of reference networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jepa_lab.ledger.finished_run import control_runs
from jepa_lab.studies.seq_jepa.evaluation.features import Features, collect
from jepa_lab.studies.seq_jepa.evaluation.loading import (
    LoadedRun,
    build_network,
    load_run,
    raw_pixels,
    views_of,
)
from jepa_lab.studies.seq_jepa.evaluation.scores import RESAMPLES, Figure, row_figures
from jepa_lab.studies.seq_jepa.network import SeqJEPANetwork
from jepa_lab.studies.seq_jepa.resume import class_protocol

MOST_DRAWS = 4
DIVERGED = "diverged: its features are not finite"


@dataclass(frozen=True)
class Evaluation:
    """The result of evaluate. `protocol` describes the conditions of the measurement. `missing`
    maps unavailable rows, those of diverged networks among them, to the reason."""

    protocol: dict[str, Any]
    figures: list[Figure]
    missing: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        figures = [figure.to_dict() for figure in self.figures]
        return {"protocol": self.protocol, "figures": figures, "missing": self.missing}


def evaluate(
    run: LoadedRun, rows: Sequence[str], views: Sequence[int], limit: int
) -> tuple[Evaluation, Features]:
    """Returns the evaluation and the run's own features of the test images. The number of views in
    training is always added to `views`."""
    views = sorted({*views, run.config.dataset.n_views - 1})
    networks: dict[str, SeqJEPANetwork] = {"this run": run.network}
    missing: dict[str, str] = {}
    if "raw" in rows:
        networks["raw pixels"] = raw_pixels(run.config, run.splits)
    if "random" in rows:
        networks["random init"] = build_network(run.config, run.splits)
    if "supervised" in rows:
        found = supervised_run(run.path)
        if found is None:
            missing["supervised"] = (
                "no finished run of the same data, encoder and seed: +experiment=supervised"
                " makes it"
            )
        else:
            networks["supervised"] = load_run(found, trust=run.trust).network
    if one_class(run, limit):
        missing["class"] = (
            f"the first {limit} training images are of one class; a higher --limit reads more"
        )
    figures: list[Figure] = []
    factors = views_of(run.config, run.splits, 2).action_slices
    own: Features | None = None
    for name, network in networks.items():
        features = all_features(network, run, views, limit)
        own = features["test"] if own is None else own
        if all(of_split.finite for of_split in features.values()):
            figures += row_figures(name, features, views, factors)
        else:
            missing[name] = DIVERGED
    assert own is not None
    return Evaluation(protocol(run, views, limit), figures, missing), own


def all_features(
    network: SeqJEPANetwork, run: LoadedRun, views: Sequence[int], limit: int
) -> dict[str, Features]:
    """Returns {train, val, test: features} of at most `limit` images each."""
    trained_on = run.config.dataset.n_views - 1
    features = _features(network, run, [m for m in views if m <= trained_on], trained_on + 1, limit)
    longer = [m for m in views if m > trained_on]
    # Collected separately: views can depend on their number, since the last one may be the target.
    if longer:
        extra = _features(network, run, longer, max(longer) + 1, limit)
        features = {
            split: replace(f, z_agg=f.z_agg | extra[split].z_agg, path=f.path | extra[split].path)
            for split, f in features.items()
        }
    return features


def _features(
    network: SeqJEPANetwork, run: LoadedRun, views: Sequence[int], n_views: int, limit: int
) -> dict[str, Features]:
    group = views_of(run.config, run.splits, n_views)
    return {
        split: collect(
            network,
            group,
            getattr(run.splits, split),
            split=split,
            seed=run.config.seed,
            views=views,
            trained_on=run.config.dataset.n_views - 1,
            first_view=run.config.dataset.eval_first_view,
            limit=limit,
            draws=training_draws(run, limit) if split == "train" else 1,
        )
        for split in ("train", "val", "test")
    }


def training_draws(run: LoadedRun, limit: int) -> int:
    """Returns how often each training image is used, each time in new views. Few images then still
    have many transformations."""
    return max(1, min(MOST_DRAWS, limit // len(run.splits.train.images)))


def one_class(run: LoadedRun, limit: int) -> bool:
    """Returns whether the training images that are read have labels, but of one class only."""
    labels = run.splits.train.labels
    return labels is not None and len(labels[:limit].unique()) < 2


def supervised_run(path: Path) -> Path | None:
    """Returns a finished run of the experiment supervised beside this one, with the same data,
    encoder, budget and seed, or None."""
    found = control_runs([path], "supervised")
    return found[0] if found else None


def protocol(run: LoadedRun, views: Sequence[int], limit: int) -> dict[str, Any]:
    """Returns the conditions of the measurement, as text and numbers."""
    counts = {
        split: min(limit, len(getattr(run.splits, split).images))
        for split in ("train", "val", "test")
    }
    return {
        "run": run.path.name,
        "experiment": run.config.name,
        "dataset": run.config.dataset.name,
        "seed": run.config.seed,
        "step": run.step,
        "state": run.state,
        "images": counts,
        **class_protocol(run.splits),
        "training draws": training_draws(run, limit),
        "views": (
            f"fixed by (seed, split, image); trained on {run.config.dataset.n_views - 1} observed"
            f" views, z_agg of {', '.join(map(str, views))}"
        ),
        "features": (
            "encoder and aggregator frozen, in evaluation mode; standardised by the training"
            " features"
        ),
        "readouts": (
            "linear classifier: logistic regression, strength chosen on val; knn: 20 neighbours by"
            " cosine; linear regression: ridge, strength chosen by leave-one-out; mlp: one hidden"
            " layer of 256 for every input"
        ),
        "intervals": (
            f"95 % percentiles of {RESAMPLES} bootstrap samples of the test images (50 for"
            " metrics); one seed"
        ),
    }
