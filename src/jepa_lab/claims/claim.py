"""A claim: what was concluded, which runs bear on it, and the test that they are put to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Settings = Mapping[str, Any]
TESTS = ("difference", "non_inferiority", "equivalence")
DIRECTIONS = ("above", "below")


@dataclass(frozen=True)
class Claim:
    """One conclusion, by id in its file. Either `not_testable` says why no run can decide it, or
    there is a quantity with one value a seed: `metric` of the runs that `arm` selects less that of
    `control` (less `reference` without one), or `statistic` of the runs that `arm` selects less
    `reference`.

    `where`: settings that all these runs have. `over`: settings over whose values a seed's runs are
    averaged. `worst`: what a run that diverged counts as. `runs`: the command lines, after `python
    -m jepa_lab`, that make the runs. `family`: of the claims that are read together, over which p
    is adjusted; "" for the rest of the file.
    """

    file: str
    id: str
    statement: str
    source: str
    not_testable: str | None = None
    arm: Settings = field(default_factory=dict)
    control: Settings | None = None
    statistic: str | None = None
    parameters: Settings = field(default_factory=dict)
    metric: str | None = None
    reference: float = 0.0
    test: str = "difference"
    direction: str = "above"
    margin: float = 0.0
    where: Settings = field(default_factory=dict)
    over: tuple[str, ...] = ()
    worst: float | None = None
    seeds: tuple[int, ...] = ()
    runs: tuple[str, ...] = ()
    family: str = ""

    @property
    def place(self) -> str:
        """For a message: file and id."""
        return f"{self.file}: {self.id}"

    def sides(self) -> list[tuple[str, Settings]]:
        """(name, settings) of what has to be selected: the arm, and the control where there is
        one."""
        found: list[tuple[str, Settings]] = [("arm", {**self.where, **self.arm})]
        if self.control is not None:
            found.append(("control", {**self.where, **self.control}))
        return found
