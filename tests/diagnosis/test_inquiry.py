"""The procedure of an investigation names the guilty setting of simulated worlds."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from jepa_lab.diagnosis.inquiry import Inquiry
from jepa_lab.diagnosis.trials import (
    CONTROL,
    Candidate,
    Result,
    Trial,
    Trials,
    chance,
    cheapest,
    clear,
)

A, B, C = (Candidate((f"{key}=1",), f"evidence for {key}") for key in "abc")
ONSET, END = 400, 1000
STATES = (100, 200, 300, 380)
World = Callable[[Trial], Result]


def has(trial: Trial, *candidates: Candidate) -> bool:
    return all(set(c.overrides) <= set(trial.candidate.overrides) for c in candidates)


def world(saved: Callable[[Trial], bool], onset: int = ONSET) -> World:
    return lambda trial: Result(None if saved(trial) else onset, skill=0.5, probe=0.8)


def answer(inquiry: Inquiry, live: World, most: int = 200) -> list[Trial]:
    """Pursues the inquiry in a simulated world and returns the trials that it asked for."""
    asked: list[Trial] = []
    asking = inquiry.pursue()
    try:
        trial = next(asking)
        while len(asked) < most:
            asked.append(trial)
            trial = asking.send(live(trial))
    except StopIteration:
        return asked
    return asked


def inquiry(states: tuple[int, ...] = STATES) -> Inquiry:
    return Inquiry(ONSET, [A, B, C], states)


def test_the_guilty_part_is_the_only_repair_before_the_onset_and_from_the_start() -> None:
    found = inquiry()
    answer(found, world(lambda t: has(t, B)))
    for start in (380, 0):
        assert [t.candidate for t in found.repairs(start)] == [B]
    assert found.finished
    assert found.best is not None
    assert found.best.candidate == B
    assert found.point is None


def test_a_change_that_never_helps_gets_three_draws_and_a_repair_six() -> None:
    found = inquiry()
    asked = answer(found, world(lambda t: has(t, B)))
    draws = {c: len({t.draw for t in asked if t.candidate == c}) for c in (CONTROL, A, B, C)}
    assert draws == {CONTROL: 6, A: 3, B: 6, C: 3}
    assert len(asked) == 2 * sum(draws.values())


def test_among_many_changes_without_effect_chance_makes_hardly_a_repair() -> None:
    named = 0
    for seed in range(40):
        draws = random.Random(seed)
        found = Inquiry(ONSET, [Candidate((f"key{i}=1",)) for i in range(20)])
        answer(found, world(lambda t, d=draws: d.random() < 0.3), most=90)  # type: ignore[misc]
        named += bool(found.repairs(0))
    assert named <= 2


def test_two_repairs_of_one_failure_are_both_named() -> None:
    found = inquiry()
    answer(found, world(lambda t: has(t, A) or has(t, C)))
    assert {t.candidate.name for t in found.repairs(0)} == {"a=1", "c=1"}


def test_two_guilty_parts_are_found_as_a_pair() -> None:
    found = inquiry()
    answer(found, world(lambda t: has(t, A, C)))
    assert [t.candidate.name for t in found.repairs(0)] == ["a=1 c=1"]
    assert [t.candidate.name for t in found.repairs(380)] == ["a=1 c=1"]


def test_an_interaction_is_found_where_each_part_delays() -> None:
    found = inquiry()

    def live(trial: Trial) -> Result:
        if has(trial, B, C):
            return Result(None)
        return Result(ONSET + (200 if has(trial, B) or has(trial, C) else 0))

    asked = answer(found, live)
    assert found.effect(B, 0) == "delayed"
    assert found.of(B, 0).delay == 200
    pairs = [t.candidate.name for t in asked if len(t.candidate.overrides) == 2]
    assert pairs[0] == "b=1 c=1"
    assert [t.candidate.name for t in found.repairs(0)] == ["b=1 c=1"]


def test_a_failure_that_the_draw_decides_blames_no_setting() -> None:
    found = inquiry()
    asked = answer(found, world(lambda t: t.draw > 0 and t.start == 0))
    assert found.explained_by_chance
    assert {t.candidate for t in asked} == {CONTROL}
    assert found.finished


@pytest.mark.parametrize("seed", range(20))
def test_noise_that_spoils_one_trial_in_five_hides_no_repair_and_makes_none(seed: int) -> None:
    draws = random.Random(seed)
    found = inquiry()
    answer(found, world(lambda t: has(t, B) and draws.random() > 0.2))
    assert all("b=1" in t.candidate.overrides for t in found.repairs(0))
    assert found.effect(B, 0) in ("prevented", "sometimes")
    assert {found.effect(other, 0) for other in (A, C)} == {"unaffected"}


def test_noise_rarely_hides_the_repair() -> None:
    named = 0
    for seed in range(200):
        draws, found = random.Random(seed), inquiry(())
        answer(found, world(lambda t, d=draws: has(t, B) and d.random() > 0.2))  # type: ignore[misc]
        named += [t.candidate for t in found.repairs(0)] == [B]
    assert named > 170


def test_a_cause_that_acted_early_has_a_point_of_no_return() -> None:
    found = inquiry()
    answer(found, world(lambda t: has(t, A) and t.start <= 200))
    assert found.repairs(380) == []
    assert [t.candidate for t in found.repairs(0)] == [A]
    assert (found.point, found.saved_by) == (200, A)


def test_a_cause_that_acted_at_once_can_only_be_cured_from_the_start() -> None:
    found = inquiry()
    answer(found, world(lambda t: has(t, A) and t.start == 0))
    assert (found.point, found.saved_by) == (0, A)


def test_a_failure_that_nothing_prevents_ends_after_the_pairs() -> None:
    found = inquiry()
    asked = answer(found, world(lambda t: False))
    assert found.best is None
    assert found.finished
    assert len(asked) == 3 * (4 + 4 + 3)


def test_without_states_everything_is_asked_from_the_start() -> None:
    found = inquiry(())
    asked = answer(found, world(lambda t: has(t, B)))
    assert {t.start for t in asked} == {0}


def test_results_that_are_known_are_not_asked_again() -> None:
    first, second = inquiry(), inquiry()
    answer(first, world(lambda t: has(t, B)), most=7)
    assert not first.finished
    second.trials = first.trials
    asked = answer(second, world(lambda t: has(t, B)))
    assert len(asked) == 2 * (6 + 3 + 6 + 3) - 7
    assert [t.candidate for t in second.repairs(0)] == [B]


def trials(prevented: int, n: int, candidate: Candidate = A, **last: float) -> Trials:
    results = {i: Result(None if i < prevented else ONSET, **last) for i in range(n)}
    return Trials(candidate, 0, ONSET, results)


@pytest.mark.parametrize(
    ("ours", "control", "p"), [((3, 3), (0, 3), 0.05), ((2, 3), (0, 3), 0.2), ((0, 3), (0, 3), 1.0)]
)
def test_the_chance_is_that_of_fishers_exact_test(
    ours: tuple[int, int], control: tuple[int, int], p: float
) -> None:
    assert chance(trials(*ours), trials(*control)) == pytest.approx(p)


@pytest.mark.parametrize(
    ("prevented", "n", "expected"),
    [(3, 3, True), (0, 3, True), (2, 3, False), (2, 2, False), (4, 6, True), (5, 5, True)],
)
def test_draws_stop_once_they_agree_or_are_enough(prevented: int, n: int, expected: bool) -> None:
    assert clear(trials(prevented, n), 3, 6) == expected


def test_the_interval_holds_the_share_and_shrinks() -> None:
    share, low, high = trials(3, 3).share
    assert (share, high) == (1.0, 1.0)
    assert 0.4 < low < 0.6
    assert trials(30, 30).share[1] > 0.9
    assert trials(0, 3).share[1] == 0.0


def test_the_cheapest_repair_keeps_skill_and_probe() -> None:
    dear = trials(3, 3, A.with_other(B), skill=0.6, probe=0.9)
    weak = trials(3, 3, B, skill=0.6, probe=0.5)
    good = trials(3, 3, C, skill=0.58, probe=0.88)
    assert cheapest([dear, weak, good]) is good
    assert cheapest([dear, weak]) is dear
    assert cheapest([]) is None
