"""What the views of an image have in common decides whether images are told apart. Rank and LiDAR
over all rows are high for noise."""

from __future__ import annotations

import pytest
import torch

from feature_histories import history
from jepa_lab.diagnosis import Verdict, judge
from jepa_lab.diagnosis.views import common_share
from jepa_lab.monitor.statistics import TapStatistics

N, V, D = 300, 4, 32
OURS = {"optim": {"lr": 1e-3}}


def features(case: str) -> torch.Tensor:
    g = torch.Generator().manual_seed(0)
    image, own = (torch.randn(N, k, D, generator=g) for k in (1, V))
    place = torch.randn(1, V, D, generator=g)
    return {
        "views of one image": image + 0.8 * own,
        "unrelated views": own,
        "places alone": 3 * place + 0.01 * own,
        "places and images": 3 * place + image + 0.5 * own,
        "a common offset": image + 0.8 * own + 5,
    }[case]


def seen(case: str, tap: str, **more: float) -> Verdict:
    """Returns the verdict on five validations of a tap."""
    statistics = TapStatistics()
    for rows in features(case).split(64):
        statistics.update(rows)
    curves = {f"val/{tap}/{k}": [(s, v) for s in range(5)] for k, v in statistics.values().items()}
    curves |= {key.replace("__", "/"): [(s, v) for s in range(5)] for key, v in more.items()}
    return judge(curves, taps=(tap,))


@pytest.mark.parametrize("tap", ["z_agg", "z", "code"])
@pytest.mark.parametrize("case", ["views of one image", "places and images", "a common offset"])
def test_views_that_share_their_image_get_no_word(case: str, tap: str) -> None:
    verdict = seen(case, tap)
    assert verdict.status == "healthy", verdict.line()
    assert "in common" not in verdict.line()


def test_unrelated_views_of_an_invariant_tap_are_a_collapse() -> None:
    verdict = seen("unrelated views", "z_agg")
    assert (verdict.status, verdict.tap) == ("complete_collapse", "z_agg")
    assert "images are not told apart from views" in verdict.line()


@pytest.mark.parametrize("tap", ["z", "tokens"])
def test_unrelated_views_are_a_note_where_they_may_be_meant(tap: str) -> None:
    verdict = seen("unrelated views", tap)
    assert verdict.status == "healthy"
    assert "have nothing in common" in verdict.line()


def test_an_equivariant_tap_of_our_own_runs_gets_no_word() -> None:
    curves = history(z__within_share=0.75, z__views=4.0)
    assert "in common" in judge(curves, taps=("z",)).line()
    assert "in common" not in judge(curves, taps=("z",), config=OURS).line()


@pytest.mark.parametrize("tap", ["z", "z_agg", "tokens"])
def test_features_that_are_places_alone_are_a_collapse_over_images(tap: str) -> None:
    verdict = seen("places alone", tap)
    assert verdict.status == "complete_collapse", verdict.line()
    assert "images are not told apart" in verdict.line()


def aggregate(**more: float) -> dict[str, list]:
    curves = history(**{f"z__{name}": value for name, value in more.items()})
    return {key.replace("/z/", "/z_agg/"): points for key, points in curves.items()}


def test_a_probe_that_tells_the_classes_apart_contradicts_unrelated_views() -> None:
    curves = aggregate(within_share=0.75, views=4.0) | {"reference/n_classes": [(0, 10.0)]}
    assert judge(curves, taps=("z_agg",)).status == "complete_collapse"
    curves["val/probe/class_from_z_agg"] = [(s, 0.8) for s, _ in curves["val/z_agg/n"]]
    verdict = judge(curves, taps=("z_agg",))
    assert verdict.status == "healthy"
    assert "a probe tells the classes apart" in verdict.line()


def test_views_that_were_unrelated_at_the_start_are_a_note() -> None:
    curves = aggregate(within_share=0.5, views=2.0)
    curves |= {"reference/z_agg/within_share": [(0, 0.49)], "reference/z_agg/views": [(0, 2.0)]}
    verdict = judge(curves, taps=("z_agg",))
    assert verdict.status == "healthy"
    assert "as at the start" in verdict.line()
    curves["reference/z_agg/within_share"] = [(0, 0.3)]
    assert judge(curves, taps=("z_agg",)).status == "complete_collapse"


@pytest.mark.parametrize(("views", "chance"), [(2, 0.5), (3, 2 / 3), (4, 0.75), (8, 0.875)])
def test_unrelated_views_share_nothing_whatever_their_number(views: int, chance: float) -> None:
    assert common_share({"within_share": chance, "views": views}) == pytest.approx(0.0)
    assert common_share({"within_share": chance}) == pytest.approx(0.0, abs=0.03)
    assert common_share({"within_share": 0.0}) == 1.0


def test_a_healthy_share_of_an_unknown_number_of_views_is_above_the_limit() -> None:
    assert common_share({"within_share": 0.46}) == pytest.approx(0.08)
    assert common_share({"within_share": 0.46, "views": 4}) == pytest.approx(0.387, abs=1e-3)
    assert common_share({"view_correlation": 0.3, "within_share": 0.9}) == 0.3
    assert common_share({}) is None


def test_few_images_are_not_judged() -> None:
    curves = aggregate(within_share=0.75, views=4.0)
    curves["val/z_agg/n"] = [(s, 120.0) for s, _ in curves["val/z_agg/n"]]
    assert judge(curves, taps=("z_agg",)).status == "healthy"
