import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from arc_token_tasks import noise_grids, real_grids, same_tokens
from jepa_lab.studies.arc.data.flat_grids import FlatGrids
from jepa_lab.studies.arc.data.tokens.cells import Cells
from jepa_lab.studies.arc.data.tokens.objects import foreground_key
from jepa_lab.studies.arc.data.tokens.runs import RunLengths
from jepa_lab.studies.arc.data.tokens.tokenisers import make_tokeniser
from jepa_lab.studies.arc.data.transform import Transforms, apply_many

EMPTY = np.zeros((0, 0), np.uint8)
KINDS = [("slots", {}), ("slots", {"slot_features": "published"}), ("patches", {})]


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_flat_grids_are_the_sequence_of_the_grids() -> None:
    grids = [*real_grids(3), EMPTY, *noise_grids(5)]
    flat = FlatGrids.of(grids)
    assert same(list(flat), grids)
    assert same([flat[i] for i in range(len(flat))], grids)
    assert np.array_equal(flat[-1], grids[-1])
    for part in (slice(1, 4), slice(3, 3), slice(None, None, 2), slice(-2, None)):
        assert same(list(flat[part]), grids[part])
    assert same(list(flat.take(np.array([4, 1, 1]))), [grids[4], grids[1], grids[1]])
    assert same(list(FlatGrids.cat([flat, flat[:2]])), grids + grids[:2])
    assert len(FlatGrids.of([])) == 0


def test_a_cell_has_its_row_and_column() -> None:
    row, col = FlatGrids.of([np.zeros((2, 3)), EMPTY, np.zeros((2, 1))]).positions()
    assert row.tolist() == [0, 0, 0, 1, 1, 1, 0, 1]
    assert col.tolist() == [0, 1, 2, 0, 1, 2, 0, 0]


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_rows_choose_grids_and_an_empty_grid_has_no_tokens(
    kind: str, options: dict[str, str]
) -> None:
    tokeniser, grids = make_tokeniser(kind, **options), [*noise_grids(6), EMPTY]
    rows = torch.tensor([6, 0, 3, 3, 5])
    chosen, every = tokeniser(grids, rows), tokeniser(grids)
    assert same_tokens(chosen, every.rows(rows))
    assert same_tokens(every, tokeniser(grids[:-1]).with_blank())
    assert not torch.signbit(every.features[-1]).any()


def test_a_shift_of_one_of_many_grids_out_of_its_frame_is_an_error_that_names_its_shape() -> None:
    grids = [np.zeros((4, 4), np.uint8), np.zeros((2, 5), np.uint8)]
    grids[1][0, 4] = 3
    palette = np.arange(10, dtype=np.uint8)[None]
    one_right = Transforms(palette, np.zeros(1, int), np.array([[0, 1]]), np.zeros(1, int))
    assert len(apply_many(grids[:1], one_right, [0])) == 1
    with pytest.raises(ValueError, match=r"shift by \(0, 1\) pushes cells out of a grid of 2x5"):
        apply_many(grids, one_right, [0, 0])


@pytest.mark.parametrize("connectivity", [4, 8])
def test_the_components_of_runs_are_those_of_the_graph_of_touching_runs(connectivity: int) -> None:
    spiral = np.zeros((29, 29), np.uint8)
    for ring in range(0, 14, 2):  # nested rings, joined into one path
        spiral[ring : 29 - ring, ring : 29 - ring] = 1
        spiral[ring + 1 : 28 - ring, ring + 1 : 28 - ring] = 0
        spiral[ring + 1, ring + 1] = 1
    comb = np.ones((30, 30), np.uint8)
    comb[:29, 1::2] = 0
    cells = Cells.of([*real_grids(5), spiral, comb, comb[::-1], *noise_grids(40)])
    key = foreground_key(cells, np.zeros(len(cells.height), dtype=np.int64))
    runs = RunLengths.of(cells, key, connectivity)
    label, count = runs.components()
    ones = np.ones(runs.touching.shape[1])
    graph = csr_matrix((ones, tuple(runs.touching)), shape=(len(runs), len(runs)))
    expected, labels = connected_components(graph, directed=False)
    assert count == expected
    assert len(np.unique(np.stack([label, labels]), axis=1).T) == count
    first = np.unique(label, return_index=True)[1]
    assert np.array_equal(first, np.sort(first))  # numbered in the order of their first runs
