"""The typed configuration: what the keys of conf/ mean, and the check that stops a run before it starts."""

from jepa_lab.config.check import check, to_yaml
from jepa_lab.config.schema import Config

__all__ = ["Config", "check", "to_yaml"]
