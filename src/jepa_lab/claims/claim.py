"""A claim: a conclusion, the runs that it is about, and the test that decides it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Settings = Mapping[str, Any]
TESTS = ("difference", "non_inferiority", "equivalence")
DIRECTIONS = ("above", "below")


@dataclass(frozen=True)
class Claim:
    """One conclusion, identified by `id` in its file.

    If no run can decide the claim, `not_testable` has the reason. Otherwise the claim is about a
    quantity with one value for each seed. The quantity is one of: `metric` of the runs that `arm`
    selects minus `metric` of the runs of `control`; without a control, `metric` minus `reference`;
    `statistic` of the runs of `arm` minus `reference`.

    `where` are settings of all these runs. `over` are settings whose values are averaged for each
    seed. `worst` is the value of a run that diverged, None if such a run has none. `runs` are the
    command lines, after `python -m jepa_lab`, that make the runs. `family` names the claims over
    which p is adjusted together; "" is the family of all other claims of the file.
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
    budget: str = ""

    @property
    def place(self) -> str:
        """The file and the id, for messages."""
        return f"{self.file}: {self.id}"

    def sides(self) -> list[tuple[str, Settings]]:
        """Returns (name, settings) of the arm and, if there is one, of the control."""
        found: list[tuple[str, Settings]] = [("arm", {**self.where, **self.arm})]
        if self.control is not None:
            found.append(("control", {**self.where, **self.control}))
        return found
