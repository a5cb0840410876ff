"""Jobs of a sweep that share a composition are equal to Hydra's own, node for node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import setup_globals
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, ListConfig
from omegaconf.base import Container

import jepa_lab.cli.job  # noqa: F401 - registers the resolvers
from jepa_lab.cli.overrides import overrides_for_hydra
from jepa_lab.config.groups import conf_dir, options_of
from jepa_lab.sweep import composition
from jepa_lab.sweep.composition import Composer, compose_jobs

B = "+experiment=teacherless_b"


@pytest.fixture
def context() -> Iterator[HydraContext]:
    setup_globals()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        yield HydraContext(GlobalHydra.instance().config_loader(), Callbacks())
    GlobalHydra.instance().clear()


def master_of(context: HydraContext, line: list[str]) -> DictConfig:
    overrides = [*overrides_for_hydra(["-m", *line])][1:]
    return context.config_loader.load_configuration(
        "config", [*overrides, "hydra.mode=MULTIRUN"], RunMode.MULTIRUN
    )


def jobs_of(master: DictConfig) -> list[list[str]]:
    """Returns the overrides of the jobs of a sweep as Hydra's basic sweeper splits them."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    sweeper = BasicSweeper(max_batch_size=None, params=dict(master.hydra.sweeper.params or {}))
    parser = OverridesParser.create(GlobalHydra.instance().config_loader())
    given = [*sweeper._parse_config(), *master.hydra.overrides.task]
    drawn = [f"{a.partition('=')[0]}=0.01" if "interval(" in a else a for a in given]
    overrides = parser.parse_overrides(drawn)
    (jobs,) = sweeper.split_arguments(overrides, None)
    return [list(job) for job in jobs]


def described(node: Any) -> Any:
    """Returns a node with everything that it holds, as plain data."""
    about = vars(node._metadata).copy()
    if isinstance(node, DictConfig) and isinstance(node._content, dict):
        content: Any = [(key, described(child)) for key, child in node._content.items()]
    elif isinstance(node, ListConfig) and isinstance(node._content, list):
        content = [described(child) for child in node._content]
    else:
        content = (type(node._value()), repr(node._value()))
    return type(node), {key: repr(value) for key, value in about.items()}, content


def parents_are_right(node: Any) -> bool:
    if not isinstance(node, Container) or not isinstance(node._content, dict | list):
        return True
    children = node._content.values() if isinstance(node._content, dict) else node._content
    return all(child._get_parent() is node and parents_are_right(child) for child in children)


def outcome(make: Any) -> Any:
    try:
        return described(make())
    except Exception as error:
        return type(error), str(error)


def compare(context: HydraContext, master: DictConfig, jobs: list[list[str]]) -> int:
    """Asserts that every job equals Hydra's composition, as the first and as a later use of a
    shared composition, and returns how many were shared."""
    composer = Composer(context, master)
    shared = 0
    for overrides in jobs:
        whole = outcome(lambda o=overrides: composer.whole(o))
        parts = composer.split(overrides)
        for _ in range(2) if parts is not None else ():
            job = composer.shared(parts)
            if job is not None:
                assert described(job) == whole, overrides
                assert parents_are_right(job)
                assert job._get_parent() is None
        shared += parts is not None and job is not None
    return shared


EXPERIMENTS = options_of(conf_dir() / "experiment")


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_jobs_of_every_experiment_are_those_of_hydra(
    experiment: str, context: HydraContext
) -> None:
    own = ["seed=0,1"]
    master = master_of(context, [f"+experiment={experiment}", *own])
    jobs = jobs_of(master)[:6]
    assert compare(context, master, jobs) == len(jobs)


ONE_OVERRIDE = [
    ["seed=3"],
    ["++seed=3"],
    ["loss.lambda_rate=1e-3", "seed=1"],
    ["loss.lambda_rate=1e-3", "loss.lambda_rate=2e-3"],
    ["++loss.lambda_rate=null"],
    ["+fresh=1"],
    ["+fresh.deep.key=text"],
    ["++fresh={a: 1, b: [2, {c: x}]}"],
    ["~dataset.train_size"],
    ["~loss.lambda_rate", "+loss.lambda_rate=1"],
    ["encoder.widths=[4,8]"],
    ["encoder.widths=[]"],
    ["dataset.tiers.smoke={epochs: 3}"],
    ["dataset.tiers={smoke: {epochs: 3, train_size: null}}"],
    ["monitor.metrics={}"],
    ["+monitor.metrics.mine={_target_: a.b, taps: [z]}"],
    ["name='a,b'"],
    ['name="it\'s"'],
    ["name='${seed}'"],
    ["name=x${seed}y"],
    ["name=\\${seed}"],
    ["runs_dir='a b/${oc.env:HOME}'"],
    ["runs_dir="],
    ["runs_dir=''"],
    ["name=été"],
    ["optim.lr=${seed}"],
    ["optim=${optim}"],
    ["dataset.epochs=${.tiers.${tier.name}.epochs}"],
    ["gates.skill_min=${gate:skill_min}"],
    ["target.tau=null", "target.tau=.99"],
    ["hardware.channels_last=false"],
    ["seed=1_000"],
    ["optim.lr=inf", "loss.alpha=nan"],
    ["seed=???"],
    ["expected={a: {b: {c: x}}}"],
    # options of groups
    ["target=ema"],
    ["target=ema", "target.tau=.9"],
    ["target.memory=.1", "target=ema"],
    ["aux=vicreg", "aux.vicreg.weight=2"],
    ["aux=[vicreg,sigreg]", "aux.sigreg.weight=.3", "seed=2"],
    ["aux=none"],
    ["encoder=resnet18", "encoder.widths=[1]"],
    ["dataset=digits_affine", "tier=smoke", "seed=1"],
    ["recipe=predictive", "dataset.epochs=4"],
    ["logger=csv"],
    ["~logger"],
    ["~aux"],
    ["+tier=smoke"],
    ["vq=hard"],
    # what only Hydra composes, or refuses
    ["loss={rate_target: z}"],
    ["loss={rate_target: z}", "loss.rate_target=both"],
    ["hydra.job.name=x"],
    ["++hydra.job.env_set.A='1'"],
    ["hydra.sweep.dir=elsewhere"],
    ["seed=1,2"],
    ["seed=range(0,3)"],
    ["nope=1"],
    ["loss.nope=1"],
    ["+seed=1"],
    ["~nope"],
    ["~seed=17"],
    ["encoder=nope"],
    ["seed"],
    ["seed=[1"],
    ["target@other=ema"],
    ["experiment=teacherless_a"],
    ["seed.deep=1"],
    ["encoder.widths.0=3"],
    ["encoder.widths.9=3"],
    ["seed={}"],
    ["dataset=null"],
    ["++target=ema"],
]


@pytest.mark.parametrize("overrides", ONE_OVERRIDE, ids=" ".join)
def test_every_kind_of_override_acts_as_in_hydra(
    overrides: list[str], context: HydraContext
) -> None:
    master = master_of(context, ["seed=0,1"])
    compare(context, master, [[B, *overrides], [B, "seed=5"], [B, *overrides, "seed=6"]])


def test_values_are_shared_and_the_rest_is_left_to_hydra(context: HydraContext) -> None:
    master = master_of(context, [B])
    composer = Composer(context, master)
    assert composer.split([B, "seed=1", "aux=vicreg", "aux.vicreg.weight=2"]).options == (
        B,
        "aux=vicreg",
    )
    for text in ("hydra.job.name=x", "seed=1,2", "seed=[1", "loss={alpha: 1}"):
        assert composer.split([B, text]) is None


def test_a_user_folder_is_on_the_search_path_of_the_shared_composition(
    context: HydraContext, tmp_path: Path
) -> None:
    (tmp_path / "loss").mkdir()
    (tmp_path / "loss" / "mine.yaml").write_text("defaults: [default]\nalpha: 3\n")
    (tmp_path / "seed").mkdir()
    (tmp_path / "seed" / "odd.yaml").write_text("odd: 1\n")
    master = master_of(context, [B, f"hydra.searchpath=[file://{tmp_path}]"])
    composer = Composer(context, master)
    assert composer.split([B, "+seed=odd"]).options == (B, "+seed=odd")
    compare(context, master, [[B, "loss=mine", "optim.lr=1"], [B, "+seed=odd"], [B, "optim.lr=2"]])


def test_few_jobs_alike_are_left_to_hydra_and_many_share(
    context: HydraContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    composed: list[list[str]] = []
    whole = Composer.whole
    monkeypatch.setattr(
        Composer, "whole", lambda self, o: composed.append(list(o)) or whole(self, o)
    )
    master = master_of(context, [B])
    few = compose_jobs(context, master, [[B, "seed=0"], [B, "seed=1"]], first=4)
    assert composed == [[B, "seed=0"], [B, "seed=1"]]
    assert [job.hydra.job.num for job in few] == [4, 5]
    composed.clear()
    many = compose_jobs(context, master, [[B, f"seed={k}"] for k in range(composition.LEAST)])
    assert composed == [[B]]
    assert [job.seed for job in many] == list(range(composition.LEAST))
    assert [job.hydra.job.id for job in many] == [str(k) for k in range(composition.LEAST)]
