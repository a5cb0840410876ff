"""The document of the ARC JEPA: its retrieval beside plain baselines, for old and new runs."""

from arc import Arm, real_table
from arc_retrieval import kinds_in, kinds_table, plain_table, retrieval_table
from conftest import ROOT
from documents import filled

MARKS = ("order", "tried", "corrections", "effects", "real", "plain")
METRICS = {
    "reference/retrieval/top1": [0.04, 0.06],
    "test/retrieval/top1": [0.4, 0.5],
    "test/retrieval/copy_mrr": [0.3, 0.4],
    "reference/retrieval/plain/size/top1": [0.25, 0.25],
    "test/retrieval/plain/size/top1": [0.35, 0.35],
    "test/retrieval/rule/other_size/top1": [0.1, 0.3],
    "test/retrieval/rule/other_size/n": [64.0, 64.0],
}


def cells(table: str, row: str) -> list[str]:
    (line,) = [line for line in table.splitlines() if line.startswith(f"| {row} |")]
    return [cell.strip() for cell in line.split("|")[2:-1]]


def test_baselines_and_the_untrained_network_are_in_the_table_of_the_retrieval() -> None:
    table = retrieval_table(lambda key: METRICS.get(key, []))
    assert cells(table, "prediction")[0].startswith("0.050 ±")  # untrained, validation
    assert cells(table, "prediction")[4].startswith("0.450 ±")
    assert cells(table, "a copy of the query's input")[5].startswith("0.350 ±")
    size = cells(table, "no network: size that the demonstrations predict")
    assert size == ["0.250", "-", "0.250", "-", "0.350", "-"]


def test_metrics_that_an_old_run_lacks_are_dashes() -> None:
    old = retrieval_table(lambda key: [0.5] if key == "test/retrieval/top1" else [])
    assert cells(old, "prediction") == ["-", "-", "-", "-", "0.500", "-"]
    assert set(cells(old, "no network: equal cells")) == {"-"}
    assert "kind of rule" not in real_table(Arm(last={0: {"test/retrieval/top1": 0.5}}))


def test_every_kind_that_was_measured_has_a_row() -> None:
    assert kinds_in(list(METRICS)) == ["other_size"]
    table = kinds_table(lambda key: METRICS.get(key, []), ["other_size"])
    n, prediction, copy, plain = cells(table, "other size")
    assert (n, copy, plain) == ("64", "-", "-")
    assert prediction.startswith("0.200 ±")
    arm = Arm(last={0: {key: values[0] for key, values in METRICS.items()}})
    assert cells(real_table(arm), "other size") == ["64", "0.100", "-", "-"]


def test_every_table_has_a_mark_in_the_document() -> None:
    document = (ROOT / "docs/results/arc.md").read_text(encoding="utf-8")
    assert "| new |" in filled(document, dict.fromkeys(MARKS, "| new |"))


def test_the_plain_baselines_of_a_data_set_need_no_run() -> None:
    table = plain_table(["arc_agi1"])
    head = table.splitlines()[0]
    assert "arc_agi1, validation (340)" in head
    assert "arc_agi1, test (1,782)" in head
    document = (ROOT / "docs/results/arc.md").read_text(encoding="utf-8")
    for row in ("equal cells", "equal cells, moved colours and size combined"):
        assert cells(table, row) == cells(document, row)[:2]
