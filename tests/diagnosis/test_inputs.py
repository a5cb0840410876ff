"""diagnose_features reads arrays of any library, type and memory layout, or raises ValueError."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from jepa_lab.diagnosis import diagnose_features

Z = np.random.default_rng(0).normal(size=(64, 48)).astype(np.float32)
WIDE = np.zeros((128, 96), np.float32)
WIDE[::2, ::2] = Z
FOUR = np.arange(64) % 4
PLAIN = diagnose_features(torch.from_numpy(Z), labels=torch.from_numpy(FOUR))


@pytest.mark.parametrize(
    "z",
    [
        Z,
        np.asfortranarray(Z),
        WIDE[::2, ::2],
        Z.astype(">f4"),
        Z.astype(object),
        Z.tolist(),
        np.ma.array(Z),
        torch.from_numpy(Z).requires_grad_(),
        torch.from_numpy(Z).to_sparse(),
    ],
)
def test_features_of_any_layout_have_the_same_verdict(z: Any) -> None:
    found = diagnose_features(z, labels=FOUR, reference=z)
    assert found.evidence == pytest.approx(PLAIN.evidence)
    assert found.status == PLAIN.status


@pytest.mark.parametrize(
    "labels",
    [
        FOUR,
        FOUR.tolist(),
        FOUR[:, None],
        np.array(list("abcd"))[FOUR],
        list("abcd") * 16,
        FOUR * 2**61,
        FOUR.astype(">u8") + np.uint64(2**63),
        -2.0 - FOUR,
        torch.from_numpy(FOUR).to(torch.uint8),
    ],
)
def test_labels_of_any_kind_are_the_same_evidence(labels: Any) -> None:
    assert diagnose_features(Z, labels=labels).evidence == PLAIN.evidence


def test_labels_may_stand_for_each_view() -> None:
    views = np.random.default_rng(1).normal(size=(64, 2, 48))
    by_image = diagnose_features(views, labels=FOUR)
    for labels in (FOUR.repeat(2), FOUR.repeat(2).reshape(64, 2)):
        assert diagnose_features(views, labels=labels).evidence == by_image.evidence
    index = diagnose_features(views, labels=np.arange(64).repeat(2))
    assert "labels are not used: 64 distinct values in 64 rows" in index.reasons[-1]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"z": Z > 0}, "z holds bool"),
        ({"z": Z.astype(complex)}, "z holds complex128"),
        ({"z": torch.from_numpy(Z).to(torch.complex64)}, "z holds complex64"),
        ({"z": Z.astype(str)}, "z holds <U"),
        ({"z": np.array([["a"]], dtype=object)}, "z holds Python objects"),
        ({"z": np.ma.array(Z, mask=Z > 1)}, "z: .* values are masked"),
        ({"z": np.zeros(64, dtype=[("x", float)])}, "z: an array with the fields x"),
        ({"z": [[1.0], [2.0, 3.0]]}, "z: not an array"),
        ({"z": Z[0]}, r"expected features \(n, d\) or \(n, v, d\), got \(48,\)"),
        ({"z": torch.zeros(64, 0, 8), "labels": FOUR}, r"got \(64, 0, 8\)"),
        ({"z": Z, "labels": FOUR[:5]}, r"labels have shape \(5,\); \(64,\) is needed"),
        ({"z": Z, "labels": FOUR / 3}, "in row 1 is not whole"),
        ({"z": Z, "labels": ["a", 1] * 32}, "labels hold Python objects"),
        ({"z": Z, "codes": FOUR - 2}, "codes holds -2"),
        ({"z": Z, "codes": torch.tensor([2**40])}, "codes holds 1099511627776; expected indices"),
        ({"z": Z, "codes": FOUR > 1}, "codes holds bool"),
        ({"z": Z, "codes": np.zeros(0, int)}, r"codes has shape \(0,\)"),
        ({"z": Z, "codes": 3.0}, r"codes has shape \(\); expected one index for each row"),
        ({"z": Z, "codes": 3}, r"codes has shape \(\)"),
        ({"z": Z, "codes": torch.tensor(3.0)}, r"codes has shape \(\)"),
        ({"z": Z, "codes": -np.ones(4)}, "codes holds counts that are negative"),
        ({"z": Z, "codes": np.full(4, np.nan)}, "codes holds counts that are"),
        ({"z": Z, "reference": Z[0]}, r"expected reference \(n, d\)"),
        ({"z": Z, "reference": Z.astype(str)}, "reference holds <U"),
        ({"z": Z, "reference": 3.0}, r"expected reference \(n, d\)"),
        ({"z": Z, "reference": Z * np.nan}, "reference has 0 rows that are finite; 2 are needed"),
    ],
)
def test_inputs_that_do_not_fit_are_a_value_error(inputs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        diagnose_features(**inputs)
    assert "\n" not in str(error.value)


def test_rows_of_the_reference_that_are_not_finite_are_left_out_and_counted() -> None:
    start = np.random.default_rng(2).normal(size=(64, 48))
    broken = np.concatenate([start, start[:3] * np.nan])
    whole, found = (diagnose_features(Z, reference=r) for r in (start, broken))
    assert (found.status, found.evidence) == (whole.status, whole.evidence)
    remark = "3 of 67 rows of the reference are not finite and are left out"
    assert found.reasons == (*whole.reasons, remark)
