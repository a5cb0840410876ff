"""All options of conf/ compose, and conf/ has no key that the schema does not know."""

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from jepa_lab.cli import app as cli  # noqa: F401 - registers the resolvers
from jepa_lab.config.groups import conf_dir, folder_of, groups_of, options_of
from jepa_lab.errors import UserError
from jepa_lab.studies import checked
from jepa_lab.studies.arc.config import ArcConfig
from jepa_lab.studies.linear_byol.config import ToyConfig
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.sweep.ladder import checked_rungs

OWN = {
    "npz": ["dataset.path=x"],
    "hf": ["dataset.path=x"],
    "timm": ["encoder.name=vit_tiny_patch16_224"],
    "arc_json": ["dataset.path=x"],
    **{name: ["dataset.root=x"] for name in ("folder", "3diebench", "imagenet_saccade")},
}


def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose("config", list(overrides))


ARC_LOSSES = ("info_nce", "lejepa", "arc_published")


def of_arc(group: str, option: str) -> bool:
    return (
        group == "vq"
        or (group in ("dataset", "model") and option.startswith("arc_"))
        or option in ARC_LOSSES
    )


def options() -> list[tuple[str, str]]:
    groups = [group for group in groups_of(conf_dir()) if group != "experiment"]
    return [
        (group, option) for group in groups for option in options_of(folder_of(conf_dir(), group))
    ]


@pytest.mark.parametrize(("group", "option"), options())
def test_every_option_of_every_group_is_valid(group: str, option: str) -> None:
    extra = list(OWN.get(option, []))
    extra += ["dataset=cifar10_rot"] if option in ("remote", "paper") else []
    kind, experiment = (
        (ArcConfig, "arc_jepa") if of_arc(group, option) else (Config, "teacherless_b")
    )
    if option == "arc_published":  # its parts need each other
        extra += ["dataset=arc_published", "model=arc_published", "loss=arc_published"]
    configs = checked_rungs(composed(f"+experiment={experiment}", f"{group}={option}", *extra))
    assert all(isinstance(config, kind) for config in configs)
    assert len(configs) == (3 if option == "ladder" else 1)


TOYS = [name for name in options_of(conf_dir() / "experiment") if name.startswith("linear_byol")]
ARCS = [name for name in options_of(conf_dir() / "experiment") if name.startswith("arc_")]


@pytest.mark.parametrize(
    "experiment", sorted(set(options_of(conf_dir() / "experiment")) - {*TOYS, *ARCS})
)
def test_every_experiment_is_valid_under_every_recipe_and_carries_its_name(experiment: str) -> None:
    for recipe in options_of(conf_dir() / "recipe"):
        config = checked(composed(f"+experiment={experiment}", f"recipe={recipe}"))
        assert config.name == experiment
        assert config.recipe.name == recipe


@pytest.mark.parametrize("experiment", ARCS)
def test_every_experiment_of_the_arc_jepa_is_valid_and_carries_its_name(experiment: str) -> None:
    for tier in ("smoke", "quick", "baseline"):
        config = checked(composed(f"+experiment={experiment}", f"tier={tier}"))
        assert isinstance(config, ArcConfig)
        assert config.name == experiment


@pytest.mark.parametrize("experiment", TOYS)
def test_every_experiment_of_the_toy_is_valid_and_carries_its_name(experiment: str) -> None:
    config = checked(composed(f"+experiment={experiment}"))
    assert isinstance(config, ToyConfig)
    assert config.name == experiment


def test_every_tier_named_by_a_dataset_exists() -> None:
    for dataset in options_of(conf_dir() / "dataset"):
        experiment = "arc_jepa" if of_arc("dataset", dataset) else "teacherless_b"
        extra = (
            ["model.roles=false", *OWN.get(dataset, [])]
            if dataset == "arc_published"
            else OWN.get(dataset, [])
        )
        tiers = checked(
            composed(f"+experiment={experiment}", f"dataset={dataset}", *extra)
        ).dataset.tiers
        assert set(tiers) <= set(options_of(conf_dir() / "tier"))
        assert "quick" in tiers


def test_the_cifar_experiment_has_the_published_architecture_and_budget() -> None:
    config = checked(composed("+experiment=teacherless_b", "dataset=cifar10_rot", "tier=quick"))
    assert (config.encoder.name, config.model.action_dim, config.model.depth) == (
        "resnet18_cifar",
        128,
        3,
    )
    d = config.dataset
    assert (d.batch_size, d.epochs, d.train_size, d.val_size, d.n_views) == (64, 5, 5000, 1000, 4)
    assert config.target.name == "stopgrad"


def test_the_augmentation_study_has_its_published_budgets_and_gates() -> None:
    gates = {
        "class_from_z_agg_min": 0.05,
        "action_from_z_min": 0.05,
        "class_gap_min": 0.0,
        "action_gap_min": 0.0,
    }
    for tier, budget, limits in [
        ("smoke", (16, 1, 128, 64), {"class_from_z_agg_min": 0.01, "action_from_z_min": -0.3}),
        ("quick", (64, 5, 5000, 1000), {"class_from_z_agg_min": 0.02, "action_from_z_min": 0.0}),
        ("baseline", (128, 10, None, None), gates),
        ("remote", (128, 200, None, None), {**gates, "action_from_z_min": 0.1}),
        ("paper", (512, 2000, None, None), {}),
    ]:
        config = checked(
            composed("+experiment=seq_jepa_baseline", "dataset=cifar100_aug", f"tier={tier}")
        )
        d = config.dataset
        assert (d.batch_size, d.epochs, d.train_size, d.val_size) == budget
        assert (d.first_view, d.action_norm) == ("random", "fixed")
        assert config.gates.limits() == limits


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["dataset=cifar100_aug", "dataset.action_norm=l2"], "fixed, legacy_l2_views, none"),
        (
            ["dataset=cifar10_rot", "+dataset.action_norm=fixed"],
            "dataset.action_norm=fixed: dataset.views=rotation",
        ),
    ],
)
def test_action_norm_is_an_option_of_the_augmentations_alone(
    overrides: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        checked(composed("+experiment=teacherless_b", *overrides))


def test_the_command_line_overrides_the_encoder_of_a_dataset() -> None:
    assert (
        checked(composed("+experiment=teacherless_b", "encoder=resnet18_cifar")).encoder.name
        == "resnet18_cifar"
    )


def test_seq_len_sets_n_views() -> None:
    assert checked(composed("+experiment=teacherless_b", "dataset.seq_len=2")).dataset.n_views == 3


def test_the_thread_count_is_filled_in() -> None:
    assert (checked(composed("+experiment=teacherless_b")).hardware.threads or 0) >= 1


def test_a_tier_that_a_dataset_does_not_have_is_refused_in_one_line() -> None:
    with pytest.raises(UserError, match="paper"):
        checked(composed("+experiment=teacherless_b", "tier=paper"))
