"""The list of all runs: a fixed draw from the product of data, network, method, condition and
length."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from collapse_bench.encoders import NETWORKS
from collapse_bench.sources import SOURCES

SEED, PER_METHOD, ONSETS = 20, 88, 100
LENGTHS = {"early": 16, "enough": 110, "long": 240}  # optimiser steps
SHARES = (("early", 0.12), ("enough", 0.60), ("long", 0.28))
SLOW = {"resnet18": 0.5, "resnet": 0.7, "vit": 0.9}  # networks that take fewer steps
KINDS = (("healthy", 36), ("wrong", 20), ("fault", 32))  # of each method

# options of the run, for every method
ANY: Mapping[str, Mapping[str, Any]] = {
    "wrong_rate_tiny": {"lr": 1e-6},
    "wrong_rate_x5": {"lr": 1e-2},
    "wrong_weight_decay": {"weight_decay": 1.0},
    "wrong_noise": {"noise": 1.0},
    "wrong_batch_8": {"batch": 8},
    "fault_rate_x30": {"lr": 6e-2},
    "fault_views_equal": {"fault": "views_equal"},
    "fault_leaked_labels": {"fault": "leaked_labels"},
    "fault_half_overflow": {"half": True},
    "fault_eval_in_training_mode": {"eval_training": True},
}
DARING: Mapping[str, Any] = {"lr": 5e-3}  # of a method's own faults, so that short runs show them
# options of the method itself. "healthy" lists the good settings, which take turns
OWN: Mapping[str, Mapping[str, Any]] = {
    "byol": {
        "healthy": ({"tau": 0.97}, {"tau": 0.99}, {"tau": 0.9}),
        "fault_no_stop_gradient": {"tau": 0.97, "stop_gradient": False},
        "fault_no_predictor": {"tau": 0.97, "predictor": False},
        "wrong_teacher_frozen": {"tau": 1.0},
        "wrong_teacher_at_once": {"tau": 0.0},
    },
    "simsiam": {
        "healthy": ({},),
        "fault_no_stop_gradient": {"stop_gradient": False},
        "fault_no_predictor": {"predictor": False},
    },
    "vicreg": {
        "healthy": ({}, {"std": 15.0}),
        "fault_no_variance": {"std": 0.0, "cov": 0.0},
        "wrong_no_covariance": {"cov": 0.0},
        "wrong_covariance_x100": {"cov": 100.0},
    },
    "barlow_twins": {
        "healthy": ({}, {"off": 2e-2}),
        "fault_no_decorrelation": {"off": 0.0},
        "wrong_decorrelation_x200": {"off": 1.0},
    },
    "dino": {
        "healthy": ({}, {"tau": 0.95}),
        "fault_no_centre": {"centre": False},
        "wrong_flat_teacher": {"teacher_temp": 0.4},
        "wrong_teacher_frozen": {"tau": 1.0},
    },
    "sigreg": {
        "healthy": ({}, {"weight": 0.02}),
        "fault_no_regulariser": {"weight": 0.0},
        "wrong_regulariser_x100": {"weight": 5.0},
    },
    "info_nce": {
        "healthy": ({}, {"temperature": 0.1}, {"temperature": 0.5}),
        "wrong_temperature_high": {"temperature": 20.0},
        "wrong_temperature_low": {"temperature": 0.005},
    },
    "autoencoder": {
        "healthy": ({}, {"width": 32}, {"kl": 1e-4}),
        "fault_prior_wins": {"kl": 1.0},
        "wrong_one_number": {"width": 1},
        "wrong_prior_strong": {"kl": 1e-2},
    },
    "vq": {
        "healthy": ({}, {"codes": 128}, {"by_gradient": True}),
        "fault_dead_codebook": {"far": 30.0},
        "fault_no_commitment": {"commitment": 0.0},
        "wrong_two_codes": {"codes": 2},
    },
    "supervised": {
        "healthy": ({},),
        "fault_random_labels": {"classes": "random"},
        "wrong_two_classes": {"classes": "merged"},
    },
    "seq_jepa": {
        "healthy": (
            {},
            {"rate": 0.01},
            {"target": "stopgrad", "rate": 0.01},
            {"target": "stopgrad"},
            {"target": "shared", "rate": 0.1},
        ),
        "fault_no_stop_gradient": {"target": "shared"},
        "fault_no_actions": {"conditioned": False},
        "wrong_rate_term_x100": {"rate": 3.0},
        "wrong_teacher_frozen": {"tau": 1.0},
    },
}


@dataclass(frozen=True)
class Spec:
    """One run. Its name carries its groups. `kind` is healthy, wrong or fault, the first word of
    the condition. `options` belong to the loop, `method_options` to the method. An `onset` run
    validates every 10 steps."""

    data: str
    network: str
    method: str
    condition: str
    length: str
    seed: int
    steps: int
    onset: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    method_options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """healthy, wrong or fault."""
        return self.condition.partition("_")[0]

    @property
    def name(self) -> str:
        """The groups of the run, joined by dots."""
        groups = (self.data, self.network, self.method, self.condition, self.length, str(self.seed))
        return ".".join(groups)


def plan() -> list[Spec]:
    """Returns all runs, always the same ones in the same order, which is shuffled."""
    random = np.random.default_rng(SEED)
    drawn = [spec for method in OWN for spec in _of_method(method, random)]
    order = random.permutation(len(drawn))
    return _with_onsets([drawn[i] for i in order])


def _of_method(method: str, random: np.random.Generator) -> list[Spec]:
    """Returns the runs of a method. Data, networks, lengths and conditions are dealt evenly, each
    in an order of its own."""
    conditions = [c for kind, n in KINDS for c in _conditions(method, kind, n)]
    n = len(conditions)
    data = _dealt(list(SOURCES), n, random)
    networks = _dealt(list(NETWORKS), n, random)
    lengths = _dealt([k for k, share in SHARES for _ in range(round(share * 100))], n, random)
    turns = 0
    found = []
    for i, condition in enumerate(conditions):
        own = OWN[method].get(condition, {})
        if condition == "healthy" or condition in ANY:
            settings = OWN[method]["healthy"]
            own, turns = settings[turns % len(settings)], turns + 1
        steps = round(LENGTHS[lengths[i]] * SLOW.get(networks[i], 1.0))
        seed = int(random.integers(10_000))
        found.append(
            Spec(
                data[i],
                networks[i],
                method,
                condition,
                lengths[i],
                seed,
                steps,
                options=ANY.get(condition, DARING if condition.startswith("fault") else {}),
                method_options=own,
            )
        )
    return found


def _conditions(method: str, kind: str, n: int) -> list[str]:
    if kind == "healthy":
        return ["healthy"] * n
    # a method's own conditions come twice as often as those that every method has
    own = [c for c in OWN[method] if c.startswith(kind)]
    every = own + own + [c for c in ANY if c.startswith(kind)]
    return [every[i % len(every)] for i in range(n)]


def _dealt(names: list[str], n: int, random: np.random.Generator) -> list[str]:
    """Returns n names, each as often as the others (up to one), in a random order."""
    random_names = [names[i] for i in random.permutation(len(names))]
    dealt = [random_names[i % len(names)] for i in range(n)]
    return [dealt[i] for i in random.permutation(n)]


def _with_onsets(specs: list[Spec]) -> list[Spec]:
    """Marks ONSETS runs that were not stopped early: six of ten with a fault, three with wrong
    settings, one healthy."""
    left = {"fault": 0.6 * ONSETS, "wrong": 0.3 * ONSETS, "healthy": 0.1 * ONSETS}
    found = []
    for spec in specs:
        chosen = left[spec.kind] >= 1 and spec.length == "enough"
        left[spec.kind] -= chosen
        found.append(replace(spec, onset=chosen))
    return found
