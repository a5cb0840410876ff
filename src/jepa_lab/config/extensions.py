"""User-defined parts of a run: dataclasses of options, named by `_target_` in a YAML file.

A slot is a key of the configuration that accepts such options. Every key of the YAML file except
`_target_` is a field of the dataclass. It is checked like the keys of this package. Nothing here
imports torch. docs/extending.md shows each kind.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from jepa_lab.config.forms import require_forms
from jepa_lab.config.messages import describe
from jepa_lab.config.ranges import in_64_bits

Kind = TypeVar("Kind", bound="Options")


@dataclass(kw_only=True)
class Options:
    """Base class of all options. `_target_` names the class, as my_module.MyOptions."""

    _target_: str = ""

    def check(self, key: str) -> None:
        """Raises ValueError with the key (below `key`), the value and the allowed values. May fill
        in derived values."""


@dataclass(kw_only=True)
class EncoderOptions(Options):
    """An image encoder, `encoder=`."""

    name: str = "own"

    def build(self, in_channels: int, image_size: int) -> Any:
        """Returns a torch module (n, C, H, W) -> (n, d) with the attribute `dim` = d."""
        raise NotImplementedError


@dataclass(kw_only=True)
class SourceOptions(Options):
    """A source of images, `dataset.source`."""

    def load(self) -> Any:
        """Returns {"train": Arrays, "val": Arrays, "test": Arrays} (jepa_lab.data.images.arrays).
        Raises UserError for images that are missing or broken."""
        raise NotImplementedError


@dataclass(kw_only=True)
class ViewOptions(Options):
    """A group of views, `dataset.views`."""

    # false: no view is the untouched image, which requires dataset.first_view=random
    has_reference: bool = True

    def build(self, *, n_views: int, mean: Any, std: Any, first_view: str) -> Any:
        """Returns a jepa_lab.data.views.view_group.ViewGroup."""
        raise NotImplementedError


@dataclass(kw_only=True)
class MetricOptions(Options):
    """A metric of a tap's features, `monitor.metrics.<name>`. It is logged as val/<tap>/<name>
    after every validation."""

    taps: list[str] = field(default_factory=lambda: ["z", "z_agg"])

    def measure(self, z: Any) -> float:
        """Returns the metric of finite features (n, d): at most the first 4,096 rows."""
        raise NotImplementedError


@dataclass(kw_only=True)
class RuleOptions(Options):
    """A rule of the verdict, `diagnosis.rules.<name>`."""

    def find(self, history: Mapping[str, Any], thresholds: Any) -> Any:
        """Returns a jepa_lab.diagnosis.finding.Finding, or None if the rule does not apply.
        `history` maps every logged key to its points (step, value)."""
        raise NotImplementedError


@dataclass(kw_only=True)
class CallbackOptions(Options):
    """A Lightning callback, `callbacks.<name>`."""

    def build(self) -> Any:
        """Returns a pytorch_lightning.Callback."""
        raise NotImplementedError


def is_own(value: Any) -> bool:
    """Whether a value of the configuration names user-defined options."""
    return isinstance(value, Mapping) and "_target_" in value


def options_at(key: str, given: Any, base: type[Kind]) -> Kind:
    """Returns the checked options from `given`: a mapping with `_target_`, or options. Raises
    ValueError if the class is missing or not a subclass of `base`, for an unknown key, and for a
    value out of range."""
    if isinstance(given, Options):
        given = vars(given)
    if not isinstance(given, Mapping):
        raise ValueError(
            f"{key}={given}: expected the keys of an option, as its YAML file gives them"
        )
    try:
        kind = _class(key, given.get("_target_"), base)
        typed = OmegaConf.structured(kind)
        require_forms(typed, given, f"{key}.")
        options = OmegaConf.to_object(OmegaConf.merge(typed, dict(given)))
    except OmegaConfBaseException as error:
        missing = (
            getattr(error, "full_key", None) if "Structured config of type" in str(error) else None
        )
        text = f"{missing} is missing" if missing else describe(error)
        raise ValueError(f"{key}.{text}") from error
    assert isinstance(options, base)
    in_64_bits({key: asdict(options)})  # numbers that were given as text are whole only now
    options.check(key)
    return options


def _class(key: str, path: Any, base: type[Kind]) -> type[Kind]:
    """Imports the class of options at a dotted path. Raises ValueError if there is none."""
    module, _, name = str(path or "").rpartition(".")
    if not module:
        raise ValueError(
            f"{key}._target_={path}: expected the class of the options, as package.module.Options"
        )
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        raise ValueError(f"{key}._target_={path}: {error}") from error
    except (Exception, SystemExit) as error:  # the user's file may raise anything when imported
        pass_on_signals(error)
        reason = (
            f"{type(error).__name__}:"
            f" {str(error).splitlines()[0] if str(error) else 'no reason given'}"
        )
        raise ValueError(f"{key}._target_={path}: {module} cannot be imported: {reason}") from error
    if not (isinstance(found, type) and issubclass(found, base)):
        where = f"{base.__module__}.{base.__name__}"
        raise ValueError(
            f"{key}._target_={path}: not a class of options (a dataclass derived from {where})"
        )
    return found


def pass_on_signals(error: BaseException) -> None:
    """Raises the SystemExit of a signal again, whose class is derived from it. User code that calls
    sys.exit raises SystemExit itself, which is an error of that code."""
    if isinstance(error, SystemExit) and type(error) is not SystemExit:
        raise error
