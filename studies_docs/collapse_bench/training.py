"""Trains, measures and labels one run of the benchmark."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from collapse_bench import oracle
from collapse_bench.encoders import NORMS, build
from collapse_bench.methods import DINO, BarlowTwins, InfoNCE, Method, Predicting, SIGReg, VICReg
from collapse_bench.plan import Spec
from collapse_bench.reconstructing import Autoencoder, Quantised, Supervised
from collapse_bench.sequences import SeqJEPA
from collapse_bench.sources import Part, Source, load
from collapse_bench.views import NOISE, augment, leak, two_views
from jepa_lab.monitor.statistics import TapStatistics

METHODS: Mapping[str, type[Method]] = {
    "byol": Predicting,
    "simsiam": Predicting,
    "vicreg": VICReg,
    "barlow_twins": BarlowTwins,
    "dino": DINO,
    "sigreg": SIGReg,
    "info_nce": InfoNCE,
    "autoencoder": Autoencoder,
    "vq": Quantised,
    "supervised": Supervised,
    "seq_jepa": SeqJEPA,
}
VALIDATIONS, EVERY, LOSSES = 10, 10, 100
HALF_SCALE = 2.0**18  # of the loss, for gradients in half precision
History = dict[str, list[tuple[int, float]]]
Embed = Callable[[Tensor], Tensor]


def train(spec: Spec) -> dict[str, Any]:
    """Returns the result of a run: its groups, its history {key: [(step, value)]}, and what the
    oracle saw. The same spec gives the same result on the same machine."""
    torch.manual_seed(spec.seed)
    run = _Run(spec)
    run.validate(0)
    for step in range(1, spec.steps + 1):
        finite = run.step(step)
        if step in run.validations or not finite:
            run.validate(step)
        if not finite:
            break
    return run.result()


class _Run:
    def __init__(self, spec: Spec) -> None:
        self.spec, self.options = spec, spec.options
        self.source: Source = load(spec.data)
        self.random = torch.Generator().manual_seed(spec.seed)
        self.fault = str(self.options.get("fault", ""))
        self.noise = float(self.options.get("noise", NOISE))
        self.method = _build(spec, self.source)
        self.optimiser = torch.optim.AdamW(
            self.method.groups(self.options.get("lr", 2e-3)),
            weight_decay=self.options.get("weight_decay", 1e-4),
            fused=True,
        )
        every = EVERY if spec.onset else max(1, math.ceil(spec.steps / VALIDATIONS))
        self.validations = {*range(every, spec.steps, every), spec.steps}
        self.log_every = max(1, math.ceil(spec.steps / LOSSES))
        self.history: History = {}
        self.order = torch.zeros(0, dtype=torch.long)
        self.chance = _largest_class(self.source.test)
        self.untrained = self.look(self.method.unquantised)
        self.prediction = {"untrained": self._prediction()}
        self.raw = _look_at(self.source, lambda x: x.flatten(1))
        self.seen: list[tuple[int, oracle.Measured]] = []

    def step(self, step: int) -> bool:
        """Trains on one batch. Returns whether its loss was finite."""
        self.method.train()
        n = int(self.options.get("batch", 48))
        if len(self.order) < n:
            self.order = torch.randperm(len(self.source.train.labels), generator=self.random)
        batch, self.order = self.source.train.take(self.order[:n]), self.order[n:]
        terms = self._loss(batch)
        half = bool(self.options.get("half"))
        self.optimiser.zero_grad()
        (terms["total"] * (HALF_SCALE if half else 1.0)).backward()
        logged = step % self.log_every == 0 or step == 1
        norm = self._gradients(half) if half or logged else 0.0
        self.optimiser.step()
        self.method.after_step()
        finite = math.isfinite(float(terms["total"].detach()))
        if logged or not finite:
            norm = norm or self._gradients(False)
            values = {f"train/loss/{k}": float(v.detach()) for k, v in terms.items()}
            self._log(step, values | self.method.counters() | {"train/grad_norm": norm})
        return finite

    @torch.no_grad()
    def validate(self, step: int) -> None:
        """Logs what the monitor measures on fixed views of the validation images, at step 0 as
        reference."""
        self.method.train(bool(self.options.get("eval_training")))
        prefix = "reference" if step == 0 else "val"
        random = torch.Generator().manual_seed(1)
        images, labels = self.source.val.images, self.source.val.labels
        if isinstance(self.method, SeqJEPA):
            views, actions = self._sequences(self.source.val, random)
            values = self.method.monitored(views, actions, self.source.n_classes, prefix)
        else:
            pair = two_views(images, labels, random, self.noise, self.fault)
            values = {f"{prefix}/{k}": v for k, v in _measured(self.method, pair).items()}
            if step == 0:
                inputs = _statistics(pair[0].flatten(1)).items()
                values |= {f"reference/input/{k}": v for k, v in inputs}
        self._log(step, values)
        if self.spec.onset and step:
            self.seen.append((step, self.look()))

    @torch.no_grad()
    def look(self, embed: Embed | None = None) -> oracle.Measured:
        """Returns the oracle's quantities of the features, on images that nothing else reads."""
        self.method.eval()
        found = _look_at(self.source, embed or self.method.embed)
        if not found.finite:
            return found
        values = dict(found.values)
        if isinstance(self.method, SeqJEPA):
            sequences = self.method.sequences
            views, actions = sequences(self.source.test.images, torch.Generator().manual_seed(2))
            z = self.method.encode(views[:, :2].flatten(0, 1)).unflatten(0, (len(views), 2))
            values["actions"] = oracle.action_readout(z, actions[:, 0, :2])
        if embed is None and found.rows is not None and self.untrained.rows is not None:
            values["moved"] = oracle.moved(found.rows, self.untrained.rows)
        return oracle.Measured(True, values, found.hits, found.rows)

    def result(self) -> dict[str, Any]:
        """Returns the finished run, see `train`."""
        spec = self.spec
        groups = ("name", "data", "network", "method", "condition", "kind", "length", "seed")
        self.prediction["trained"] = self._prediction()
        looks = {"raw": self.raw, "untrained": self.untrained, "trained": self.look()}
        return {
            **{k: getattr(spec, k) for k in (*groups, "steps", "onset")},
            "oracle": {k: look.to_dict() for k, look in looks.items()},
            "chance": self.chance,
            "prediction": self.prediction,
            "seen": [[step, look.to_dict()] for step, look in self.seen],
            "history": self.history,
        }

    def _loss(self, batch: Part) -> dict[str, Tensor]:
        if isinstance(self.method, SeqJEPA):
            return self.method.loss_of(*self._sequences(batch, self.random))
        pair = two_views(batch.images, batch.labels, self.random, self.noise, self.fault)
        return self.method.loss(*pair, batch.labels)

    def _sequences(self, part: Part, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Returns sequences of seq-JEPA with the planted faults of the run."""
        assert isinstance(self.method, SeqJEPA)
        views, actions = self.method.sequences(part.images, random)
        if self.noise > NOISE:
            views = views + self.noise * torch.randn(views.shape, generator=random)
        if self.fault == "views_equal":
            views = views[:, :1].expand_as(views)
        if self.fault == "leaked_labels":
            n, v = views.shape[:2]
            views = leak(views.flatten(0, 1), part.labels.repeat_interleave(v)).unflatten(0, (n, v))
        return views, actions

    def _gradients(self, half: bool) -> float:
        """Returns the norm of the gradients. With `half` they pass through half precision first,
        where large ones become infinite."""
        grads = [p.grad for p in self.method.parameters() if p.grad is not None]
        if half:
            for g in grads:
                g.copy_(g.half().float() / HALF_SCALE)
        return float(torch.stack([g.norm() for g in grads]).norm())

    @torch.no_grad()
    def _prediction(self) -> dict[str, float]:
        """Returns the oracle's quantity of the prediction, on fresh views without planted
        faults."""
        self.method.eval()
        random, test = torch.Generator().manual_seed(3), self.source.test
        if isinstance(self.method, SeqJEPA):
            reps = self.method.represent(*self.method.sequences(test.images, random))
            return {"retrieved": oracle.retrieved(reps.z_hat, reps.z_target)}
        pair = self.method.predicted(augment(test.images, random), augment(test.images, random))
        if pair is not None:
            return {"retrieved": oracle.retrieved(*pair)}
        return self.method.outcome(test.images, test.labels)

    def _log(self, step: int, values: Mapping[str, float]) -> None:
        for key, value in values.items():
            self.history.setdefault(key, []).append((step, float(f"{value:.6g}")))


def _build(spec: Spec, source: Source) -> Method:
    channels, size = source.shape
    options: dict[str, Any] = dict(spec.method_options)
    if spec.method in ("autoencoder", "vq", "seq_jepa"):
        options["shape"] = source.shape
    if spec.method == "supervised":
        options["n_classes"] = source.n_classes
    encoder = build(spec.network, channels, size)
    return METHODS[spec.method](encoder, NORMS.get(spec.network, ""), **options)


def _measured(method: Method, pair: tuple[Tensor, Tensor]) -> dict[str, float]:
    """Returns {tap/metric: value} of two views of the validation images, with the method's own."""
    values = {
        f"{tap}/{k}": v
        for tap, features in method.taps(torch.stack(pair, dim=1)).items()
        for k, v in _statistics(features).items()
    }
    return values | method.measures(*pair)


def _statistics(features: Tensor) -> dict[str, float]:
    statistics = TapStatistics()
    statistics.update(features)
    return statistics.values()


def _look_at(source: Source, embed: Embed) -> oracle.Measured:
    fit, test = source.train, source.test
    n = oracle.FITTED
    factors = (fit.factors[:n], test.factors)
    return oracle.measure(
        embed(fit.images[:n]), fit.labels[:n], embed(test.images), test.labels, factors
    )


def _largest_class(part: Part) -> float:
    return float(part.labels.bincount().max()) / len(part.labels)
