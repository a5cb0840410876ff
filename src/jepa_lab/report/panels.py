"""The contents of the panels in the figures of a run: keys, labels, colours and units."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

History = Mapping[str, Sequence[tuple[int, float]]]

# palette of Okabe and Ito, distinguishable with every common type of colour vision
BLUE, VERMILION, GREEN, PURPLE, SKY, ORANGE, GREY = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#E69F00",
    "#777777",
)
CYCLE = (BLUE, VERMILION, GREEN, PURPLE, SKY, ORANGE)


@dataclass(frozen=True)
class Series:
    """One line of (step, value) points.

    `faint` marks training values drawn beside validation values. `reference` is a level that is
    drawn dashed, None for no such line. `key` is the metric."""

    label: str
    points: Sequence[tuple[int, float]]
    color: str
    faint: bool = False
    reference: float | None = None
    key: str = ""


@dataclass(frozen=True)
class Level:
    """A value that the lines of a panel are compared with, drawn as a dashed horizontal line."""

    label: str
    value: float
    color: str


@dataclass(frozen=True)
class Panel:
    """One pair of axes. `limits` bounds the y range, so that one outlier does not flatten the rest.

    The range still shrinks to the values inside the limits. `zero_line` draws a line at 0. A panel
    without series is not drawn, even if it has levels."""

    title: str
    unit: str
    series: list[Series] = field(default_factory=list)
    limits: tuple[float, float] | None = None
    zero_line: bool = False
    levels: list[Level] = field(default_factory=list)


def lines(history: History, named: Iterable[tuple[str, str, str]]) -> list[Series]:
    """Returns a Series for every (key, label, colour) whose key has values."""
    return [
        Series(label, history[key], color, key=key)
        for key, label, color in named
        if history.get(key)
    ]


def loss_panel(history: History, term: str, title: str, unit: str) -> Panel:
    """Returns a panel of the training and validation values of one loss term."""
    return Panel(title, unit, _both_splits(history, f"loss/{term}", "training"))


def prediction_panel(history: History) -> Panel:
    """Returns the panel of the prediction loss, beside the losses of a closed-form readout of the
    same features with and without actions, and the loss of the best constant."""
    panel = loss_panel(history, "prediction", "Prediction loss", "loss")
    named = [
        ("val/readout/loss", "readout", ORANGE),
        ("val/readout/loss_without_actions", "readout without actions", GREY),
        ("val/loss/constant", "best constant", PURPLE),
    ]
    return replace(panel, series=[*panel.series, *lines(history, named)])


def total_panel(history: History) -> Panel:
    """Returns the panel of the total loss; it is empty if the prediction loss is the only term."""
    same = all(
        not history.get(f"{split}/loss/total")
        or history[f"{split}/loss/total"] == history.get(f"{split}/loss/prediction")
        for split in ("train", "val")
    )
    if same:
        return Panel("Total loss", "loss")
    return loss_panel(history, "total", "Total loss", "loss")


def rate_panel(history: History) -> Panel:
    return loss_panel(history, "rate", "Rate term -R(Z)", "nats")


def other_terms_panel(history: History) -> Panel:
    """Returns a panel of the other terms of the training loss, without their weights."""
    known = {f"train/loss/{term}" for term in ("total", "prediction", "rate")}
    keys = [key for key in sorted(history) if key.startswith("train/loss/") and key not in known][
        : len(CYCLE)
    ]
    named = (
        (key, key.removeprefix("train/loss/"), color)
        for key, color in zip(keys, CYCLE, strict=False)
    )
    return Panel("Regulariser terms, training", "unweighted", lines(history, named))


def class_panel(history: History) -> Panel:
    """Returns a panel of the linear probes of the class, in percent, with the levels of the
    accuracies that they are compared with."""
    series = lines(
        history,
        [
            ("val/probe/class_from_z_agg", "from z_agg", VERMILION),
            ("val/probe/class_from_z", "from z", BLUE),
        ],
    )
    percent = _in_percent(series)
    levels = [
        Level(label, 100 * value, color)
        for name, label, color in (
            ("class_from_pixels", "raw pixels", GREEN),
            ("class_from_untrained_z", "untrained encoder", PURPLE),
            ("class_from_constant", "constant", GREY),
        )
        if (value := last_value(history, f"reference/probe/{name}")) is not None
    ]
    return Panel("Class probes", "accuracy, %", percent, limits=(0.0, 100.0), levels=levels)


def action_panel(history: History) -> Panel:
    """Returns a panel of the probes of the transformation.

    R² has no lower bound, so the range is cut at -0.25."""
    named = [
        ("val/probe/relative_action_from_z", "relative, z", GREEN),
        ("val/probe/action_from_z", "absolute, z", BLUE),
        ("val/probe/view_from_z_agg", "view, z_agg", VERMILION),
        ("val/probe/action_from_z_agg", "wiring, z_agg", GREY),
    ]
    return Panel(
        "Action probes",
        "R²  (1 is perfect)",
        lines(history, named),
        limits=(-0.25, 1.0),
        zero_line=True,
    )


def skill_panel(history: History) -> Panel:
    named = [("val/skill", "1 − L / L(best constant)", BLUE)]
    return Panel(
        "Prediction skill",
        "skill  (1 is perfect)",
        lines(history, named),
        limits=(-0.5, 1.0),
        zero_line=True,
    )


def use_panel(history: History) -> Panel:
    named = [("val/action_use", "achieved / possible", BLUE)]
    return Panel(
        "Use of the actions",
        "share of the possible gain",
        lines(history, named),
        limits=(-0.25, 1.0),
        zero_line=True,
    )


def gain_panel(history: History) -> Panel:
    named = [
        ("val/action_gain", "shuffled actions", GREEN),
        ("val/readout/action_gain", "shuffled actions, readout", GREY),
        ("val/demo_gain", "demonstrations of another task", PURPLE),
        ("val/copy_gain", "copy of the last view or the query", ORANGE),
    ]
    return Panel(
        "Gain over a wrong input", "loss − model's loss", lines(history, named), zero_line=True
    )


def retrieval_panel(history: History) -> Panel:
    """Returns a panel of how often the true output ranks first among 101 candidates, in percent.

    The baselines are an answer without the predictor, a copy of the query, and the grids alone
    (the plain baselines combined)."""
    named = [
        ("val/retrieval/top1", "prediction", BLUE),
        ("val/retrieval/no_predictor_top1", "without the predictor", ORANGE),
        ("val/retrieval/copy_top1", "copy of the query", GREY),
    ]
    plain = last_value(history, "reference/retrieval/plain/combined/top1")
    levels = [] if plain is None else [Level("without a network", 100 * plain, GREEN)]
    percent = _in_percent(lines(history, named))
    return Panel(
        "True output first among 101",
        "of the queries, %",
        percent,
        limits=(0.0, 100.0),
        levels=levels,
    )


def usage_panel(history: History) -> Panel:
    """Returns a panel of the share of codes in use, on the whole validation set and in training
    windows of a fixed number of tokens."""
    series = _both_splits(history, "codebook/usage", "training window")
    return Panel("Codebook usage", "share of codes", series, limits=(0.0, 1.0))


def last_value(history: History, key: str) -> float | None:
    points = history.get(key)
    return points[-1][1] if points else None


def _both_splits(history: History, name: str, train_label: str) -> list[Series]:
    """Returns the training and the validation values of one metric, as far as they exist."""
    train, val = history.get(f"train/{name}"), history.get(f"val/{name}")
    series = []
    if train:
        color = SKY if val else BLUE
        series.append(Series(train_label, train, color, faint=bool(val), key=f"train/{name}"))
    return series + ([Series("validation", val, BLUE, key=f"val/{name}")] if val else [])


def _in_percent(series: Sequence[Series]) -> list[Series]:
    return [replace(s, points=[(step, 100 * value) for step, value in s.points]) for s in series]
