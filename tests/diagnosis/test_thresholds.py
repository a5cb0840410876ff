"""thresholds.yaml: every limit has a reason and is read. The confidence follows its documented
formula."""

import math
import re
from pathlib import Path

import pytest

import jepa_lab
from gallery_histories import RUNS
from jepa_lab.diagnosis import Thresholds, judge
from jepa_lab.diagnosis.thresholds import PREFIXES, distance, table

SOURCES = "\n".join(p.read_text() for p in Path(jepa_lab.__file__).parent.rglob("*.py"))


def entries() -> list[tuple[str, str, dict[str, object]]]:
    content = dict(table())
    roles = content.pop("roles")
    sections = {**content, **{f"roles.{name}": limits for name, limits in roles.items()}}
    return [
        (section, name, entry)
        for section, limits in sections.items()
        for name, entry in limits.items()
    ]


@pytest.mark.parametrize(
    ("section", "name", "entry"), entries(), ids=[f"{s}.{n}" for s, n, _ in entries()]
)
def test_every_threshold_has_a_reason_and_is_read(
    section: str, name: str, entry: dict[str, object]
) -> None:
    assert isinstance(entry["value"], int | float)
    assert len(str(entry["why"]).split()) >= 5
    prefix = PREFIXES.get(section, "")
    assert re.search(rf"\.{prefix}{name}\b", SOURCES), f"nothing reads {section}.{name}"


def test_role_overrides_shared_limits_and_only_the_aggregate_has_lidar() -> None:
    t = Thresholds()
    assert t.of("z_target").rank < t.rank == t.of("z").rank
    assert "lidar" in t.of("z_agg").values
    assert "lidar" not in t.of("z").values


def test_unknown_threshold_raises_an_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="no threshold 'rnak'"):
        _ = Thresholds().rnak
    with pytest.raises(AttributeError, match="no threshold 'rnak'"):
        Thresholds().but(rnak=1.0)


def test_a_changed_threshold_changes_the_verdict() -> None:
    (case,) = [c for c in RUNS if c.name == "rank of z at 1"]
    assert (
        judge(
            case.build()[0], Thresholds().but(rank=1.1, few_directions=1.1, class_share=0.0)
        ).status
        != case.status
    )


def test_confidence_is_half_on_the_threshold_and_grows_with_distance() -> None:
    t = Thresholds()
    assert t.confidence(distance(2.0, 2.0)) == 0.5
    assert t.confidence(distance(1.0, 2.0)) == pytest.approx(1 / (1 + 2**-t.slope))
    assert t.confidence(distance(1.0, 2.0)) == t.confidence(distance(4.0, 2.0))
    assert t.confidence(math.inf) == 1.0
    assert t.but(intercept=-1.0).confidence(0.0) < 0.5
