"""The typed configuration: what the keys of conf/ mean, and the check that stops a run before it starts."""

from jepa_lab.config.arc import ArcConfig
from jepa_lab.config.check import AnyConfig, check, check_any, check_arc, check_toy, to_yaml
from jepa_lab.config.schema import Config
from jepa_lab.config.toy import ToyConfig

__all__ = ["AnyConfig", "ArcConfig", "Config", "ToyConfig", "check", "check_any", "check_arc", "check_toy", "to_yaml"]
