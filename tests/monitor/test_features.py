"""What is a feature: by its name, its role and its shape, and never by a guess."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from jepa_lab import Monitor
from jepa_lab.metrics import collapse_metrics, view_metrics

Z = torch.randn(48, 3, 8, generator=torch.Generator().manual_seed(0))
FEW = {"every": 1, "n": 48}


def test_three_dimensions_need_a_role() -> None:
    message = re.escape("role={'z': 'views'} for (n, views, d) or role={'z': 'tokens'}")
    with pytest.raises(ValueError, match=message):
        Monitor(**FEW).update(0, {"z": Z})


def test_views_get_the_metrics_of_views_and_tokens_only_those_of_places() -> None:
    views = Monitor(**FEW, role={"z": "views"}).update(0, {"z": Z})
    tokens = Monitor(**FEW, role={"z": "tokens"}).update(0, {"z": Z})
    expected = view_metrics(Z)
    for name in ("lidar", "view_correlation", "within_share"):
        assert views[f"val/z/{name}"] == pytest.approx(expected[name])
        assert f"val/z/{name}" not in tokens
    assert tokens["val/z/place_spread"] == pytest.approx(expected["place_spread"])
    assert tokens["val/z/effective_rank"] == views["val/z/effective_rank"]


def test_tokens_of_the_place_alone_are_a_collapse() -> None:
    places = torch.randn(16, 8, generator=torch.Generator().manual_seed(1))
    monitor = Monitor(every=1, n=64, role={"patches": "tokens"})
    for step in range(6):
        z = places.expand(64, 16, 8) + 1e-4 * torch.randn(64, 16, 8)
        monitor.update(step, {"patches": z})
    verdict = monitor.verdict()
    assert (verdict.status, verdict.tap) == ("complete_collapse", "patches")
    assert "images are not told apart" in verdict.line()


def test_a_map_is_averaged_over_its_places_or_refused() -> None:
    maps = torch.randn(48, 8, 5, 5)
    with pytest.raises(ValueError, match=r"shape \(48, 8, 5, 5\).*role={'z': 'map'}"):
        Monitor(**FEW).update(0, {"z": maps})
    values = Monitor(**FEW, role={"z": "map"}).update(0, {"z": maps})
    expected = collapse_metrics(maps.mean(dim=(2, 3)))
    assert values["val/z/effective_rank"] == pytest.approx(expected["effective_rank"], rel=1e-5)


def test_outputs_that_are_no_features_are_left_out_unless_they_are_named() -> None:
    outputs = {"h": Z[:, 0], "logits": Z[:, 1], "onehot": torch.eye(8)[:, :3], "loss": Z.mean()}
    measured = Monitor(**FEW).update(0, outputs)
    assert {key.split("/")[1] for key in measured} == {"h"}
    by_tap = Monitor(**FEW, taps=["logits"]).update(0, outputs)
    assert {key.split("/")[1] for key in by_tap} == {"logits"}
    by_role = Monitor(**FEW, role={"logits": "embedding"}).update(0, outputs)
    assert {key.split("/")[1] for key in by_role} == {"h", "logits"}


@pytest.mark.parametrize(
    ("features", "options", "message"),
    [
        ({"z": Z[0, 0]}, {}, "features 'z' have shape (8,); expected (n, d)"),
        ({"z": Z[:, 0]}, {"role": {"z": "views"}}, "the role views needs (n, views, d)"),
        ({"z": np.array([["a"]])}, {}, "features 'z' hold <U1; expected numbers"),
        ({"z": Z[:, 0].to_sparse()}, {}, "features 'z' are a torch.sparse_coo tensor"),
        ({"z": Z[:, 0].to(torch.float8_e4m3fn)}, {}, "features 'z' hold torch.float8_e4m3fn"),
        ({"z": torch.zeros(48, 8, device="meta")}, {}, "features 'z' are a meta tensor"),
        ({"z": [[1.0], [1.0, 2.0]]}, {}, "features 'z' are no array of numbers"),
        ({"z": np.ma.masked_array(np.ones((48, 8)))}, {}, "features 'z' are a masked array"),
        ({"z": Z[:, 0] > 0}, {}, "features 'z' hold torch.bool; expected numbers"),
        ({"z": Z[:, 0]}, {"taps": ["h"]}, "taps: no features 'h'; there are z"),
        (Z[:, 0], {}, "expected a mapping {name: features}, got Tensor"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    features: object, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Monitor(**FEW, **options).update(0, features)  # type: ignore[arg-type]


def test_features_whose_width_changes_are_refused_by_name() -> None:
    monitor = Monitor(every=10, n=100)
    monitor.update(0, {"z": Z[:, 0]})
    with pytest.raises(ValueError, match="features 'z': 8 dimensions before"):
        monitor.update(1, {"z": Z[:, 0, :5]})


def test_integers_are_read_as_numbers() -> None:
    counts = torch.randint(0, 9, (48, 8))
    assert Monitor(**FEW).update(0, {"z": counts})["val/z/n"] == 48


def test_targets_are_features_if_they_look_like_them() -> None:
    z, labels = Z[:, 0], torch.arange(48)
    both = Monitor(**FEW).update(0, {"z": z, "target": z, "y": labels, "x": Z})
    assert {key.split("/")[1] for key in both} == {"z", "target"}


def test_what_is_left_out_by_its_name_is_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    monitor = Monitor(every=1, n=48)
    for step in range(3):
        monitor.update(step, {"z": Z[:, 0], "logits": Z[:, 1]})
    assert capsys.readouterr().err.count("'logits' is not judged") == 1


def test_tokens_of_varying_number_are_measured_without_their_places() -> None:
    monitor = Monitor(every=10, n=96, role={"tokens": "tokens"})
    monitor.update(0, {"tokens": Z})
    values = monitor.update(1, {"tokens": Z[:, :2]})
    assert values["val/tokens/n"] == 48 * 5
    assert "val/tokens/place_spread" not in values
    assert monitor.verdict().status == "healthy"


def test_rows_are_copied_and_a_later_write_changes_nothing() -> None:
    monitor, buffer = Monitor(every=1000, n=2048), torch.empty(256, 16)
    for _ in range(5):
        buffer.fill_(1.0)
        monitor.update(0, {"z": buffer})
        buffer.normal_()
    assert monitor.verdict().status == "complete_collapse"


def test_values_beyond_the_range_of_their_products_are_diverged() -> None:
    monitor = Monitor(every=1, n=48)
    for step in range(3):
        monitor.update(step, {"z": 1e200 * Z[:, 0].double()})
    assert monitor.verdict().status == "diverged"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_another_default_type_changes_nothing(dtype: torch.dtype) -> None:
    z = torch.randn(600, 8)
    expected = Monitor(every=1, n=None).update(0, {"z": z})
    torch.set_default_dtype(dtype)
    try:
        assert Monitor(every=1, n=None).update(0, {"z": z}) == expected
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_width_that_changes_between_measurements_is_refused() -> None:
    monitor = Monitor(every=1, n=48)
    monitor.update(0, {"z": Z[:, 0]})
    with pytest.raises(ValueError, match="8 dimensions in earlier measurements"):
        monitor.update(1, {"z": Z[:, 0, :5]})
