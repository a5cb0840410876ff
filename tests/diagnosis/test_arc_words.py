"""The command line that is rebuilt from an ARC run's config.yaml composes to the same configuration."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
import yaml

from jepa_lab.config.tree import leaves
from jepa_lab.report.own_arc_command import LEFT_OUT
from jepa_lab.report.own_command import composed, going_on, own_words
from jepa_lab.studies.arc.config import ArcConfig

EXPERIMENTS: list[tuple[str, list[str]]] = [
    ("arc_jepa", []),
    ("arc_jepa", ["vq=gumbel", "vq.size=8", "dataset=arc_agi2", "dataset.problem=demos", "model.context=gru"]),
    ("arc_jepa", ["dataset=arc_json", "dataset.path='my tasks, 2'", "tier=quick", "seed=3"]),
    ("arc_jepa", ["loss.temperature.max=0.2", "loss.invariance={color: 0.1, form: published}",
                  "dataset.slot_features=published"]),
    ("arc_sixth_run", []),
    ("arc_sixth_run", ["target=shared", "target.tau=null", "vq.refresh.interval=7"]),
    ("arc_sixth_run", ["vq=codebook", "vq.size=8", "target.tau=0.9", "optim=adamw", "model=arc_jepa",
                       "dataset.problem=demos", "dataset.synthetic.pairs=[3,1]", "model.width=16"]),
    ("arc_minimal", []),
    ("arc_fsq", ["vq.levels=[4,4]"]),
    ("arc_lejepa", ["loss.sigreg.n_slices=8"]),
    ("arc_gumbel", ["dataset.problem=frames"]),
    ("arc_jepa", ["aux=[vicreg,coding_rate]", "aux.vicreg.weight=0.5", "aux.coding_rate.site=z_agg"]),
]  # fmt: skip


def written(config: ArcConfig) -> dict[str, Any]:
    """As a run's config.yaml has it."""
    content = yaml.safe_load(yaml.safe_dump(asdict(config)))
    if config.target.name == "ema" and config.target.tau is None:
        content["target"]["tau"] = 0.987654  # what a run derives
    content["monitor"]["every_epochs"] = 1
    return content


def essence(config: dict[str, Any], derived: bool) -> dict[str, Any]:
    left_out = (*LEFT_OUT, *(["target.tau"] if derived else []))
    return {k: v for k, v in leaves(config) if not any(k == n or k.startswith(f"{n}.") for n in left_out)}


@pytest.mark.parametrize(("experiment", "words"), EXPERIMENTS, ids=[" ".join([e, *w]) for e, w in EXPERIMENTS])
def test_the_line_composes_to_the_runs_own_configuration(
    experiment: str, words: list[str], make_arc: Callable[..., ArcConfig]
) -> None:
    config = make_arc(*words, experiment=experiment)
    line = own_words(written(config))
    built = composed(shlex.split(shlex.join(line)))
    assert built is not None
    derived = config.target.name == "ema" and config.target.tau is None
    assert essence(built, derived) == essence(asdict(config), derived)


def test_an_option_is_named_where_that_is_shorter_and_keys_are_where_it_is_not(
    make_arc: Callable[..., ArcConfig],
) -> None:
    line = own_words(written(make_arc("vq=gradient", "vq.commitment=0.5")))
    assert "vq.ema_decay=null" in line
    assert "vq.commitment=0.5" in line
    assert not [word for word in line if word.startswith("vq=")]
    assert "vq=gumbel" in own_words(written(make_arc("vq=gumbel")))


def test_the_line_that_goes_on_has_the_number_of_threads(make_arc: Callable[..., ArcConfig]) -> None:
    config = written(make_arc())
    assert "hardware.threads=1" in going_on(config, own_words(config))


def test_an_experiment_that_is_unknown_here_has_no_line(make_arc: Callable[..., ArcConfig]) -> None:
    assert own_words({**written(make_arc()), "name": "arc_of_tomorrow"}) == []


def test_a_configuration_that_is_no_longer_accepted_has_no_line(make_arc: Callable[..., ArcConfig]) -> None:
    config = written(make_arc())
    config["vq"]["size"] = 1
    assert own_words(config) == []
