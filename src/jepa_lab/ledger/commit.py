"""The commit of the installed package, for the record of a run."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import jepa_lab

PATIENCE = 5.0  # seconds
# without optional locks git writes nothing
DESCRIBE = ("--no-optional-locks", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12")


@cache
def commit() -> str | None:
    """Returns the commit that the package was installed from, with "-dirty" for a checkout with
    changes. None if the package is no checkout and was not installed from one."""
    source = Path(jepa_lab.__file__).resolve().parents[2]
    if (source / ".git").exists():  # not in a repository of the user that the package lies in
        return of_checkout(source)
    return _of_installation()


def of_checkout(folder: Path) -> str | None:
    """Returns the commit of a checkout, None if git is missing or refuses."""
    try:
        found = subprocess.run(
            ["git", "-C", str(folder), *DESCRIBE], capture_output=True, text=True, timeout=PATIENCE
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None if found.returncode == 0 else None


def _of_installation() -> str | None:
    """Returns the commit that pip recorded, None for a package from an index or a folder."""
    try:
        record = json.loads(distribution("jepa-lab").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return None
    return (record.get("vcs_info") or {}).get("commit_id")
