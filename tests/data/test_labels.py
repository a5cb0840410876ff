"""Labels of every kind become classes 0 to K - 1, or one clear message."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from jepa_lab.data.labels import MOST_CLASSES, Classes, classes_of, listed

FOUR = np.arange(8) % 4


def classes(labels: Any, n: int = 8, **options: bool) -> Classes:
    return classes_of({"labels": labels}, {"labels": n}, **options)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (np.array(["dog", "cat", "owl", "ant"])[FOUR], ("ant", "cat", "dog", "owl")),
        (np.array([b"dog", b"cat", b"owl", b"ant"])[FOUR], ("ant", "cat", "dog", "owl")),
        (["dog", "cat", "owl", "ant"] * 2, ("ant", "cat", "dog", "owl")),
        (np.array(["10", "9"])[FOUR % 2], ("10", "9")),
        (np.array([10, 9])[FOUR % 2], ("9", "10")),
        (FOUR > 1, ("False", "True")),
        (FOUR.astype(float) - 3, ("-3", "-2", "-1", "0")),
        (FOUR.astype(np.float16), ("0", "1", "2", "3")),
        (FOUR[:, None], ("0", "1", "2", "3")),
        (FOUR.astype(">i2"), ("0", "1", "2", "3")),
        (FOUR % 2 * 2**62, ("0", str(2**62))),
        (FOUR % 2 * 10**7, ("0", "10000000")),
        (np.array([2**64 - 1, 5], dtype=np.uint64)[FOUR % 2], ("5", str(2**64 - 1))),
        ([10**30, -1] * 4, ("-1", str(10**30))),
        (np.array([True, False] * 4, dtype=object), ("False", "True")),
        (np.array([1, 2.0] * 4, dtype=object), ("1", "2")),
        (np.ma.array(FOUR), ("0", "1", "2", "3")),
        (np.repeat(FOUR, 3)[::3], ("0", "1", "2", "3")),
        (torch.tensor([3, 4] * 4), ("3", "4")),
        (torch.tensor([3.0, 4.0] * 4).bfloat16(), ("3", "4")),
    ],
)
def test_distinct_values_are_numbered_in_sorted_order(labels: Any, names: tuple[str, ...]) -> None:
    found = classes(labels)
    assert found.names == names
    numbers = found.labels["labels"]
    assert (numbers.dtype, tuple(numbers.shape)) == (torch.int64, (8,))
    listed_labels = labels if isinstance(labels, list) else labels.reshape(8).tolist()
    plain = np.array([str(x) for x in listed_labels])
    same_class = numbers[:, None] == numbers[None]
    assert torch.equal(same_class, torch.from_numpy(plain[:, None] == plain[None]))
    assert not found.index_like()


@pytest.mark.skipif(not hasattr(np.dtypes, "StringDType"), reason="NumPy 1 has no such type")
def test_strings_of_any_length_are_strings() -> None:
    labels = np.array(["b", "a"] * 4, dtype=np.dtypes.StringDType())
    assert classes(labels).names == ("a", "b")


@pytest.mark.parametrize("dtype", ["int64", "uint8", ">i4", "float32"])
def test_labels_that_are_classes_already_keep_their_numbers(dtype: str) -> None:
    found = classes(FOUR.astype(dtype))
    assert torch.equal(found.labels["labels"], torch.from_numpy(FOUR))
    assert found.numbered


def test_classes_are_counted_over_all_splits_together() -> None:
    found = classes_of(
        {"train_labels": np.array([7, 3] * 3), "test_labels": np.array([5.0, 7.0])},
        {"train_labels": 6, "test_labels": 2},
    )
    assert found.names == ("3", "5", "7")
    assert found.labels["train_labels"].tolist() == [2, 0] * 3
    assert found.counts() == {"train_labels": [3, 0, 3], "test_labels": [0, 1, 1]}


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.where(FOUR == 2, np.nan, FOUR), "labels: nan in row 2 is not a finite number"),
        (np.where(FOUR == 2, np.inf, FOUR), "labels: inf in row 2 is not a finite number"),
        (FOUR / 2, "labels: 0.5 in row 1 is not whole, as in a regression target"),
        (np.array(["a", " "] * 4), "labels: ' ' in row 1 is an empty string"),
        (["a", 1] * 4, "labels hold Python objects (int, str); one kind is needed"),
        (["a", None] * 4, "labels hold Python objects (NoneType, str)"),
        ([True, 1] * 4, "labels hold Python objects (bool, int)"),
        ([[1], [2, 3]] * 4, "labels hold Python objects (list)"),
        (FOUR[:7], "labels have shape (7,); (8,) is needed, one label per row"),
        (
            np.eye(4)[FOUR],
            "labels have shape (8, 4); (8,) is needed, one label per row; of one-hot",
        ),
        (None, "labels have shape (); (8,) is needed"),
        (np.array([b"\xff"] * 8), "labels hold bytes that are not UTF-8"),
        (FOUR.astype(complex), "labels hold complex128; strings, bools or whole numbers"),
        (FOUR.astype("M8[D]"), "labels hold datetime64[D]"),
        (np.zeros(8, dtype=[("a", int), ("b", int)]), "labels: an array with the fields a, b"),
        (np.ma.array(FOUR, mask=FOUR == 1), "labels: 2 of 8 values are masked"),
    ],
)
def test_labels_that_are_no_classes_are_named(labels: Any, message: str) -> None:
    with pytest.raises(ValueError) as error:
        classes(labels)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_splits_with_labels_of_two_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match="train_labels are strings, test_labels are whole numbers"):
        classes_of(
            {"train_labels": np.array(["a"]), "test_labels": FOUR},
            {"train_labels": 1, "test_labels": 8},
        )


def test_unknown_labels_belong_to_no_class() -> None:
    found = classes(np.array([-1, np.nan, 4, 4, 9, 9, -2, -2]), unknown=True)
    assert found.names == ("-2", "4", "9")
    assert found.labels["labels"].tolist() == [-1, -1, 1, 1, 2, 2, 0, 0]
    assert found.counts() == {"labels": [2, 2, 2]}


def test_more_classes_than_half_the_rows_or_than_100000_look_like_an_index() -> None:
    assert classes(np.arange(8)).index_like().startswith("8 distinct values in 8 rows")
    assert classes(np.array([0, 1, 2, 3, 4, 4, 4, 4])).index_like().startswith("5 distinct")
    assert not classes(FOUR).index_like()
    many = np.arange(MOST_CLASSES + 1).repeat(2)
    assert classes(many, len(many)).index_like().startswith("100,001 distinct values")
    assert not classes(many[2:], len(many) - 2).index_like()


def test_a_list_of_names_is_one_short_line() -> None:
    assert listed(["a\nb", "x" * 50], most=2) == f"a b, {'x' * 21}..."
    counted = listed(["x" * 50, str(2**64 - 1)], form=lambda place, name: f"{name} ({place} rows)")
    assert counted == f"{'x' * 21}... (0 rows), {2**64 - 1} (1 rows)"
    assert listed([str(k) for k in range(1200)], most=2) == "0, 1 and 1,198 more"
