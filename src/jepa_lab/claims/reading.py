"""Reads claims from YAML and checks every key. Each error is one line with a correct example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jepa_lab.claims.claim import DIRECTIONS, TESTS, Claim
from jepa_lab.claims.documents import read_yaml
from jepa_lab.claims.fields import (
    check_keys,
    read_budget,
    read_choice,
    read_family,
    read_list,
    read_margin,
    read_reference,
    read_runs,
    read_seeds,
    read_settings,
    read_worst,
)
from jepa_lab.claims.statistics import check_parameters
from jepa_lab.config.groups import conf_dir
from jepa_lab.errors import UserError, nearest

TOP = ("about", "defaults", "claims")
NEEDED = ("id", "statement", "source")
SHARED = (
    "source",
    "where",
    "metric",
    "test",
    "direction",
    "margin",
    "reference",
    "over",
    "worst",
    "seeds",
    "runs",
    "family",
    "budget",
)
KEYS = (*NEEDED, "not_testable", "contrast", "statistic", *SHARED[1:])


def shipped() -> list[Path]:
    """Returns the files in claims/ at the top of the checkout, or beside the installed package."""
    return sorted((conf_dir().parent / "claims").glob("*.yaml"))


def read_claims(files: Sequence[Path | str] = ()) -> list[Claim]:
    """Returns the claims of the files in their order; without `files`, those of all shipped files.

    A shipped file may be named without folder and suffix. Raises UserError with file, claim, key
    and a correct example for any mistake."""
    paths = [_path(str(name)) for name in files] or shipped()
    if not paths:
        raise UserError(
            f"{conf_dir().parent / 'claims'}: no claims there; name files of claims, e.g."
            " my_claims.yaml"
        )
    return [claim for path in dict.fromkeys(paths) for claim in _read(path)]


def _path(name: str) -> Path:
    path, known = Path(name), {path.stem: path for path in shipped()}
    if path.is_file():
        return path
    if name in known:
        return known[name]
    raise UserError(f"{name}: no such file of claims{nearest(path.stem, known)}")


def _read(path: Path) -> list[Claim]:
    content = read_yaml(path)
    if (
        not isinstance(content, dict)
        or not isinstance(content.get("claims"), list)
        or not content["claims"]
    ):
        raise UserError(
            f"{path}: key claims: a list of claims is needed, e.g. `claims: [{{id: ..., statement:"
            " ...}]`"
        )
    check_keys(content, TOP, f"{path}")
    defaults = content.get("defaults") or {}
    check_keys(defaults, SHARED, f"{path}: defaults")
    claims, seen = [], set()
    for number, entry in enumerate(content["claims"], start=1):
        claim = _claim(path.stem, entry, defaults, f"{path}: claim {number}")
        if claim.id in seen:
            raise UserError(f"{path}: {claim.id}: id: given twice; every claim needs its own")
        seen.add(claim.id)
        claims.append(claim)
    return claims


def _claim(file: str, entry: Any, defaults: Mapping[str, Any], place: str) -> Claim:
    if not isinstance(entry, dict):
        raise UserError(f"{place}: a mapping is needed, e.g. `id: my_claim`, got {entry!r}")
    if isinstance(entry.get("id"), str) and entry["id"]:
        place = f"{place.rpartition(': ')[0]}: {entry['id']}"
    check_keys(entry, KEYS, place)
    where = [
        read_settings(given.get("where") or {}, f"{place}: where") for given in (defaults, entry)
    ]
    given = {**defaults, **entry, "where": {**where[0], **where[1]}}
    for key in NEEDED:
        if not isinstance(given.get(key), str) or not given[key].strip():
            raise UserError(f"{place}: {key}: missing; a text is needed")
    name, statement, source = (" ".join(given[key].split()) for key in NEEDED)
    basis = Claim(file, name, statement, source)
    if "not_testable" in entry:
        return replace(basis, not_testable=_reason(entry, place))
    if ("contrast" in entry) == ("statistic" in entry):
        raise UserError(
            f"{place}: contrast: exactly one of contrast, statistic and not_testable (with the"
            " reason) is needed"
        )
    return replace(
        basis,
        **_quantity(given, place),
        test=read_choice(given.get("test", "difference"), TESTS, f"{place}: test"),
        direction=read_choice(given.get("direction", "above"), DIRECTIONS, f"{place}: direction"),
        margin=read_margin(given, place),
        reference=read_reference(given, place),
        where=given["where"],
        over=tuple(map(str, read_list(given.get("over", []), f"{place}: over"))),
        worst=read_worst(given, place),
        seeds=read_seeds(given.get("seeds"), place),
        runs=read_runs(given.get("runs"), place),
        family=read_family(given.get("family", ""), place),
        budget=read_budget(given.get("budget", ""), place),
    )


def _reason(entry: Mapping[str, Any], place: str) -> str:
    """Returns the reason why the claim cannot be tested."""
    reason = entry["not_testable"]
    if not isinstance(reason, str) or not reason.strip():
        raise UserError(f"{place}: not_testable: the reason is needed, as a text")
    for key in ("contrast", "statistic", "metric", "runs", "seeds"):
        if key in entry:
            raise UserError(
                f"{place}: {key}: without effect beside not_testable; leave one of them out"
            )
    return " ".join(reason.split())


def _quantity(given: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Returns the fields of a contrast or of a statistic, which has one value for each seed."""
    if "contrast" in given:
        contrast = given["contrast"]
        if not isinstance(contrast, dict) or "arm" not in contrast:
            raise UserError(
                f"{place}: contrast: arm missing; e.g. {{arm: {{name: teacherless_b}}, control:"
                " {...}}"
            )
        check_keys(contrast, ("arm", "control"), f"{place}: contrast")
        metric = given.get("metric")
        if not isinstance(metric, str):
            raise UserError(f"{place}: metric: missing; e.g. test/probe/class_from_z_agg")
        control = contrast.get("control")
        if control is not None and "reference" in given:
            raise UserError(
                f"{place}: reference: without effect beside a control; leave one of them out"
            )
        return {
            "arm": read_settings(contrast["arm"], f"{place}: contrast.arm"),
            "control": (
                None if control is None else read_settings(control, f"{place}: contrast.control")
            ),
            "metric": metric,
        }
    statistic = given["statistic"]
    if not isinstance(statistic, dict) or not isinstance(statistic.get("name"), str):
        raise UserError(
            f"{place}: statistic: name missing; e.g. {{name: gap, of: {{name: teacherless_a}},"
            " ...}"
        )
    parameters = {key: value for key, value in statistic.items() if key not in ("name", "of")}
    check_parameters(statistic["name"], parameters, f"{place}: statistic")
    of = read_settings(statistic.get("of") or {}, f"{place}: statistic.of")
    return {"arm": of, "statistic": statistic["name"], "parameters": parameters}
