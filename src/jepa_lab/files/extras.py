"""Imports the packages of extras, which may not be installed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from jepa_lab.errors import UserError, to_install


def import_extra(module: str, extra: str) -> Any:
    """Returns a module of a package that the extra brings. Raises UserError, with how to install
    it, if it is missing or does not start."""
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == package
        why = "is not installed" if missing else f"does not start ({error})"
        raise UserError(f"needs the package {package}, which {why}; {to_install(extra)}") from None
