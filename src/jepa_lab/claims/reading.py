"""Reads claims from YAML and checks every key. Each error is one line with a correct example."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jepa_lab.claims.claim import DIRECTIONS, TESTS, Claim
from jepa_lab.claims.documents import read_yaml
from jepa_lab.claims.statistics import check_parameters, statistics
from jepa_lab.config.groups import conf_dir
from jepa_lab.errors import UserError, nearest

MOST_SEEDS = 10_000
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
    _known(content, TOP, f"{path}")
    defaults = content.get("defaults") or {}
    _known(defaults, SHARED, f"{path}: defaults")
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
    _known(entry, KEYS, place)
    where = [_settings(given.get("where") or {}, f"{place}: where") for given in (defaults, entry)]
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
        test=_one_of(given.get("test", "difference"), TESTS, f"{place}: test"),
        direction=_one_of(given.get("direction", "above"), DIRECTIONS, f"{place}: direction"),
        margin=_margin(given, place),
        reference=_reference(given, place),
        where=given["where"],
        over=tuple(map(str, _list(given.get("over", []), f"{place}: over"))),
        worst=_worst(given, place),
        seeds=_seeds(given.get("seeds"), place),
        runs=_runs(given.get("runs"), place),
        family=_family(given.get("family", ""), place),
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
        _known(contrast, ("arm", "control"), f"{place}: contrast")
        metric = given.get("metric")
        if not isinstance(metric, str):
            raise UserError(f"{place}: metric: missing; e.g. test/probe/class_from_z_agg")
        control = contrast.get("control")
        if control is not None and "reference" in given:
            raise UserError(
                f"{place}: reference: without effect beside a control; leave one of them out"
            )
        return {
            "arm": _settings(contrast["arm"], f"{place}: contrast.arm"),
            "control": (
                None if control is None else _settings(control, f"{place}: contrast.control")
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
    of = _settings(statistic.get("of") or {}, f"{place}: statistic.of")
    return {"arm": of, "statistic": statistic["name"], "parameters": parameters}


def _known(given: Any, keys: Iterable[str], place: str) -> None:
    if not isinstance(given, dict):
        raise UserError(f"{place}: a mapping is needed, got {given!r}")
    known = list(keys)
    for key in given:
        if key not in known:
            raise UserError(f"{place}: {key}: no such key{nearest(str(key), known)}")


def _settings(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise UserError(
            f"{place}: settings are needed, e.g. {{dataset.name: digits_rot, loss.lambda_rate:"
            " 0.003}"
        )
    for key, setting in value.items():
        if isinstance(setting, dict):
            inner = next(iter(setting), "key")
            raise UserError(
                f"{place}: {key}: settings are written with dots, e.g. {key}.{inner}: ..."
            )
    if "seed" in value:
        raise UserError(f"{place}: seed: seeds have their own key, e.g. seeds: range(0,8)")
    return value


def _one_of(value: Any, known: Sequence[str], place: str) -> str:
    if value not in known:
        raise UserError(f"{place}: {value}: unknown; {' | '.join(known)}")
    return str(value)


def _number(value: Any, place: str) -> float:
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise UserError(f"{place}: {value}: a finite number is needed, e.g. 0.02")
    return found


def _is_factor(given: Mapping[str, Any]) -> bool:
    """Returns whether the numbers of the claim are factors, i.e. its statistic is a logarithm."""
    return "statistic" in given and statistics()[given["statistic"]["name"]].logarithm


def _reference(given: Mapping[str, Any], place: str) -> float:
    reference = _number(
        given.get("reference", 1.0 if _is_factor(given) else 0.0), f"{place}: reference"
    )
    if _is_factor(given) and reference <= 0:
        raise UserError(
            f"{place}: reference: {reference:g}: must be above 0, since the statistic is a factor;"
            " e.g. 1"
        )
    return reference


def _worst(given: Mapping[str, Any], place: str) -> float | None:
    if given.get("worst") is None:
        return None
    worst = _number(given["worst"], f"{place}: worst")
    if _is_factor(given) and worst <= 0:
        raise UserError(
            f"{place}: worst: {worst:g}: must be above 0, since the statistic is a factor; e.g. 100"
        )
    return worst


def _margin(given: Mapping[str, Any], place: str) -> float:
    test = given.get("test", "difference")
    if _is_factor(given):
        margin = _number(given.get("margin", 1.0), f"{place}: margin")
        if margin < 1 or (margin == 1 and test != "difference"):
            raise UserError(f"{place}: margin: {margin:g}: must be a factor above 1, e.g. 1.5")
        return margin
    margin = _number(given.get("margin", 0.0), f"{place}: margin")
    if margin < 0 or (margin == 0 and test != "difference"):
        least = "at least 0" if test == "difference" else f"above 0 for {test}"
        raise UserError(f"{place}: margin: {margin:g}: must be {least}, e.g. 0.02")
    return margin


def _seeds(value: Any, place: str) -> tuple[int, ...]:
    if isinstance(value, str) and (
        found := re.fullmatch(r"range\((\d+),\s*(\d+)\)", value.strip())
    ):
        first, end = int(found[1]), int(found[2])
        if end - first > MOST_SEEDS:
            raise UserError(f"{place}: seeds: {value}: more than {MOST_SEEDS:,} seeds")
        value = list(range(first, end))
    if not isinstance(value, list) or not value or not all(type(seed) is int for seed in value):
        raise UserError(
            f"{place}: seeds: {value}: one or more are needed, e.g. range(0,8) or [0, 1, 2]"
        )
    return tuple(dict.fromkeys(value))


def _runs(value: Any, place: str) -> tuple[str, ...]:
    lines = [value] if isinstance(value, str) else value
    if (
        not isinstance(lines, list)
        or not lines
        or not all(isinstance(line, str) and line.strip() for line in lines)
    ):
        raise UserError(
            f"{place}: runs: the command lines that make the runs are needed, e.g. -m"
            " +experiment=teacherless_b seed=0,1,2"
        )
    for line in lines:
        try:
            shlex.split(line)
        except ValueError as error:
            raise UserError(f"{place}: runs: {line}: {str(error).lower()}; close it") from None
    return tuple(" ".join(line.split()) for line in lines)


def _family(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise UserError(
            f"{place}: family: {value}: a text is needed, the same for all claims of the family"
        )
    return value


def _list(value: Any, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise UserError(f"{place}: {value}: a list is needed, e.g. [loss.lambda_rate]")
    return value
