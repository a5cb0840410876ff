"""Every key that takes a list refuses another value in one line, also the value of an
interpolation; so does every group of keys."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

from conftest import small_arc_overrides, small_overrides
from jepa_lab.cli.compose import checked, composed
from jepa_lab.config.groups import conf_dir
from jepa_lab.errors import UserError
from jepa_lab.studies import find
from jepa_lab.sweep.ladder import checked_rungs

TOY, B = "+experiment=linear_byol", "+experiment=teacherless_b"
STUDIES = {
    "seq_jepa": small_overrides(Path("runs"), "dataset=digits_affine"),
    "arc": small_arc_overrides(Path("runs")),
    "linear_byol": [TOY, "hardware.threads=1"],
}


def lists(node: DictConfig, above: str = "") -> Iterator[str]:
    """Yields every key of a structured configuration that takes a list."""
    for name in node:
        inner = node._get_node(name)
        if isinstance(inner, ListConfig):
            yield f"{above}{name}"
        elif isinstance(inner, DictConfig) and not inner._is_none() and not inner._is_missing():
            yield from lists(inner, f"{above}{name}.")


@pytest.mark.parametrize("study", STUDIES)
def test_every_list_key_refuses_a_number_that_an_interpolation_gives(study: str) -> None:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        whole = compose("config", STUDIES[study])
    keys = list(lists(OmegaConf.structured(find(study).config)))
    assert len(keys) >= 3
    for key in keys:
        cfg = copy.deepcopy(whole)
        with open_dict(cfg):
            OmegaConf.update(cfg, key, "${hardware.devices}", force_add=True)
        with pytest.raises(UserError) as refused:
            checked_rungs(cfg)
        assert str(refused.value) == f"{key}: expected a list, as in {key}=[...]"


def test_an_interpolation_that_gives_a_list_is_taken_and_its_values_are_checked() -> None:
    assert checked([TOY, "seeds=${sweep.tuning.seeds}"]).seeds == [1000, 1001]
    assert checked([TOY, "seeds=[${d_latent}]"]).seeds == [checked([TOY]).d_latent]
    with pytest.raises(UserError, match=r"^seeds\[0\]=0\.1: expected a whole number$"):
        checked([TOY, "seeds=${spectrum_range}"])


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ([TOY, "seeds=${sweep}"], "seeds: expected a list"),
        ([TOY, "seeds={a:1}"], "seeds: expected a list"),
        ([TOY, "sweep=${seed}"], "sweep=${seed}: one value for a group of keys; name the key"),
        ([B, "monitor=3"], "monitor=3: one value for a group of keys; name the key, as in"),
        ([B, "monitor=[1]"], "monitor: one value for a group of keys; name the key, as in"),
        ([B, "expected=a@b"], "expected=a@b: one value for a group of keys; name the key"),
        ([B, "expected=[1]"], "expected: one value for a group of keys; name the key"),
        ([B, "experiment_gates=${seed}"], "experiment_gates=0: one value for a group of keys"),
        ([TOY, "seeds.nope=3"], "'nope': no place in a list; give the whole list"),
    ],
)
def test_a_value_of_the_wrong_form_is_one_line_with_its_key(
    overrides: list[str], line: str
) -> None:
    with pytest.raises(UserError) as refused:
        checked_rungs(composed(overrides))
    assert str(refused.value).startswith(line)
    assert "\n" not in str(refused.value)
