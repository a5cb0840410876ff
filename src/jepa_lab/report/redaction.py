"""Removes what a report about a run must not give away: secrets, home folders, names of users and
machines, and the places of files.

The patterns err on the side of removing. They cannot know every secret, so a bundle is to be opened
before it is given away.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REMOVED = "<removed>"
# the last part of a key whose value is a secret: logger.api_key, WANDB_API_KEY, password, hf_token
SECRET_KEY = re.compile(
    r"(?:^|[_.-])(?:(?:api|access|private|secret|auth|account|encryption|signing)[_-]?keys?"
    r"|secret|token|passw(?:or)?d|passphrase|pwd|credentials?|cookie|dsn|bearer|authorization"
    r"|webhook)$",
    re.IGNORECASE,
)
# values that are secrets wherever they stand
SECRET_VALUE = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}"
    r"|hf_[A-Za-z0-9]{16,}|wandb_v1_\w{16,}|glpat-[\w-]{16,}|xox[abprs]-[\w-]{10,}"
    r"|A[KS]IA[A-Z0-9]{12,}|AIza[\w-]{30,}|eyJ[\w-]{10,}\.[\w-]{5,}\.[\w-]*"
    r"|[0-9a-fA-F]{32,}|(?=[A-Za-z0-9+/_-]*\d)(?=[A-Za-z0-9+/_-]*[A-Z])[A-Za-z0-9+_-]{40,}={0,2}"
    r")(?![A-Za-z0-9])"
)
# user:password@ in an address
IN_ADDRESS = re.compile(r"(?<=://)[^\s/@]+@")
EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
ASSIGNED = re.compile(
    r"""(?P<key>[\w.-]+)(?P<sign>["']?\s*[=:]\s*)(?P<value>"[^"]*"|'[^']*'|[^\s,;)}\]]+)"""
)
HOMES = re.compile(r"(?:/home|/Users|[A-Za-z]:[\\/]+Users)[\\/]+(?P<user>[^\\/\s'\"=,:;\]]+)")
POSIX = re.compile(r"(?<![\w.~/:<>-])/(?:[^/\s'\"=,:;\]<>]+/)+(?P<last>[^/\s'\"=,:;\]<>]*)")
WINDOWS = re.compile(
    r"(?<!\w)[A-Za-z]:[\\/]+(?:[^\\/\s'\"=,:;\]<>]+[\\/]+)+(?P<last>[^\\/\s'\",;\]<>]*)"
)
SHORTEST = 6  # characters of a value from the environment that is looked for
COMMON = {"root", "user", "runner", "ubuntu", "admin", "home", "data", "localhost", "test", "jepa"}


@dataclass(frozen=True)
class Redaction:
    """What is removed beside the patterns: `values` (secrets of this process's environment),
    `names` (of users and machines) and the folder `home`."""

    values: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    home: str = ""

    @classmethod
    def of_environment(
        cls, environment: Mapping[str, str], home: Path, names: Iterable[str]
    ) -> Redaction:
        """Returns the redaction for an environment: the values of variables whose names look like
        those of secrets, the home folder, and the names that are long enough to be looked for."""
        values = {v for k, v in environment.items() if SECRET_KEY.search(k) and len(v) >= SHORTEST}
        known = {n for n in (*names, home.name) if len(n) >= 3 and n.lower() not in COMMON}
        return cls(_longest_first(values), _longest_first(known), str(home))

    def data(self, value: Any, key: str = "") -> Any:
        """Returns plain data with the values of secret keys replaced, and all texts cleaned."""
        if isinstance(value, Mapping):
            return {self.text(str(k)): self.data(inner, str(k)) for k, inner in value.items()}
        if SECRET_KEY.search(key) and value not in (None, "", True, False):
            return REMOVED
        if isinstance(value, list | tuple):
            return [self.data(inner, key) for inner in value]
        return self.text(value) if isinstance(value, str) else value

    def text(self, text: str) -> str:
        """Returns a text without secrets, places and names."""
        for value in self.values:
            text = text.replace(value, REMOVED)
        text = ASSIGNED.sub(_without_value, text)
        text = IN_ADDRESS.sub(f"{REMOVED}@", text)
        text = EMAIL.sub("<email>", text)
        text = SECRET_VALUE.sub(REMOVED, text)
        return self._without_places(text)

    def _without_places(self, text: str) -> str:
        """Returns a text in which a home folder is ~ and another absolute path has its last part
        alone. The names of users in it are removed wherever they stand."""
        users = {m["user"] for m in HOMES.finditer(text) if m["user"].lower() not in COMMON}
        if len(self.home) > 1:
            text = re.sub(rf"{re.escape(self.home)}(?=$|[\\/\s'\"=,:;\]])", "~", text)
        text = HOMES.sub("~", text)
        text = POSIX.sub(lambda m: f".../{m['last']}", text)
        text = WINDOWS.sub(lambda m: f".../{m['last']}", text)
        for name in _longest_first({*self.names, *users}):
            text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", "<name>", text)
        return text


def _longest_first(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(texts, key=lambda one: (-len(one), one)))


def _without_value(found: re.Match[str]) -> str:
    """Returns `key=<removed>` for the assignment of a secret, and any other one as it is."""
    secret = SECRET_KEY.search(found["key"]) and found["value"] not in ("null", "''", '""')
    return f"{found['key']}{found['sign']}{REMOVED}" if secret else found[0]


def names_here() -> tuple[str, ...]:
    """Returns the names of the user and the machine, as far as the environment knows them."""
    keys = ("USER", "LOGNAME", "USERNAME", "SUDO_USER", "HOSTNAME", "COMPUTERNAME", "HOST")
    return tuple(dict.fromkeys(os.environ[key] for key in keys if os.environ.get(key)))
