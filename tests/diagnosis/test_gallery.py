"""The gallery: every case gets the right answer with every seed, and the cases cover all
statuses."""

import pytest

from gallery_features import FEATURES, FeatureCase
from gallery_histories import RUNS, RunCase
from jepa_lab.config.statuses import STATUSES
from jepa_lab.diagnosis import diagnose_features, examine, judge
from jepa_lab.diagnosis.quantities import order_sentence, timeline


@pytest.mark.parametrize("case", FEATURES, ids=[c.name for c in FEATURES])
@pytest.mark.parametrize("seed", [0, 1])
def test_features_get_their_status(case: FeatureCase, seed: int) -> None:
    made = case.build(seed)
    verdict = diagnose_features(
        made.z, labels=made.labels, codes=made.codes, reference=made.reference
    )
    assert verdict.status == case.status, verdict.line()
    assert 0.0 <= verdict.confidence <= 1.0


@pytest.mark.parametrize("case", RUNS, ids=[c.name for c in RUNS])
def test_runs_get_their_status_tap_and_step(case: RunCase) -> None:
    curves, config = case.build()
    verdict = judge(curves, config=config)
    assert verdict.status == case.status, verdict.line()
    assert case.tap is None or verdict.tap == case.tap
    assert case.since is None or verdict.since_step == case.since
    assert (verdict.confidence == 0.0) == (case.status == "inconclusive")


def test_gallery_covers_every_status_with_unique_names() -> None:
    names = [c.name for c in FEATURES] + [c.name for c in RUNS]
    assert len(names) >= 60
    assert len({c.name for c in FEATURES}) == len(FEATURES)
    assert len({c.name for c in RUNS}) == len(RUNS)
    assert {c.status for c in (*FEATURES, *RUNS)} == set(STATUSES)


def test_equal_seeds_make_equal_features() -> None:
    case = FEATURES[0]
    assert (case.build(3).z == case.build(3).z).all()
    assert (case.build(3).z != case.build(4).z).any()


def test_timeline_gives_the_order_of_failures() -> None:
    (case,) = [c for c in RUNS if c.name == "codebook before the rank before the loss"]
    curves, config = case.build()
    curves["train/loss/prediction"] = [
        (s, v if s < 800 else 30.0) for s, v in curves["train/loss/prediction"]
    ]
    found = examine(curves, config=config)
    assert (
        order_sentence(timeline(found))
        == "codebook usage before the rank of z, the rank of z before the loss"
    )
