import numpy as np
import pytest
import torch

from arc_plain import plain_object_slots
from arc_token_tasks import check_form, grid, noise_grids, real_grids, same_tokens
from jepa_lab.studies.arc.data.tokens.slots import NAMES, ObjectSlots
from jepa_lab.studies.arc.data.tokens.tokenisers import make_tokeniser

TWO = grid("0000", "0110", "0010", "3000")  # an L of three cells, and one cell of another colour


def feature(name: str, token: torch.Tensor) -> float:
    return token[NAMES.index(name)].item()


def shape(token: torch.Tensor) -> torch.Tensor:
    return token[NAMES.index("shape_0_0") :].view(5, 5)


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("grids", [real_grids(25), noise_grids(60)], ids=["real", "noise"])
@pytest.mark.parametrize("max_objects", [4, 16])
def test_the_tokens_equal_those_of_the_plain_tokeniser(
    connectivity: int, grids: list, max_objects: int
) -> None:
    tokens = ObjectSlots(max_objects, connectivity)(grids)
    check_form(tokens)
    for i, one in enumerate(grids):
        features, mask, adjacency, colors = plain_object_slots(
            one, max_objects=max_objects, connectivity=connectivity
        )
        np.testing.assert_allclose(tokens.features[i], features, atol=1e-6)
        np.testing.assert_array_equal(tokens.mask[i], mask)
        np.testing.assert_array_equal(tokens.adjacency[i], adjacency)
        np.testing.assert_array_equal(tokens.colors[i, :, 0], colors)


def test_two_small_objects_have_the_expected_tokens() -> None:
    tokens = ObjectSlots()([TWO])
    whole, large, small = tokens.features[0, :3]
    assert tokens.mask[0].tolist() == [True] * 3 + [False] * 13
    assert tokens.colors[0, :3, 0].tolist() == [0, 1, 3]
    assert feature("background_share", whole) == 12 / 16
    assert feature("slotted_share", whole) == 1
    assert feature("log_objects", whole) == pytest.approx(np.log(3) / np.log(901))
    assert [
        feature(name, large) * 30 for name in ("height", "width", "top", "left")
    ] == pytest.approx([2, 2, 1, 1])
    assert feature("density", large) == 3 / 4
    assert feature("centroid_y", large) * 30 == pytest.approx((1.5 + 1.5 + 2.5) / 3)
    assert feature("relative_x", large) == pytest.approx((1.5 + 2.5 + 2.5) / 3 / 4)
    assert [feature(f"at_{side}", small) for side in ("top", "left", "bottom", "right")] == [
        0,
        1,
        1,
        0,
    ]
    assert shape(large).sum() == pytest.approx(25 * 3 / 4)
    # the lower left quarter is empty; the middle parts are halves
    assert shape(large)[3:, :2].sum() == 0
    assert shape(small).tolist() == [[1.0] * 5] * 5
    assert tokens.adjacency[0, 1, 2]  # the boxes meet at a corner
    assert tokens.adjacency[0, 0].tolist() == [False, True, True] + [False] * 13


def test_boxes_are_adjacent_if_no_free_row_or_column_lies_between() -> None:
    near, apart = grid("100", "020", "000"), grid("100", "000", "002")
    adjacency = ObjectSlots()([near, apart]).adjacency
    assert adjacency[:, 1, 2].tolist() == [True, False]


@pytest.mark.parametrize(
    ("rows", "four", "eight"),
    [
        (("111", "101", "111"), 1, 1),
        (("11111", "10101", "11111"), 2, 2),
        (("1110", "1011", "1101", "0111"), 1, 2),  # two gaps that meet at a corner
        (("111", "121", "111"), 1, 1),  # filled by another colour
        (("11", "11"), 0, 0),
    ],
)
def test_holes_are_counted(rows: tuple[str, ...], four: int, eight: int) -> None:
    for connectivity, expected in ((4, four), (8, eight)):
        first = ObjectSlots(connectivity=connectivity)([grid(*rows)]).features[0, 1]
        assert np.expm1(feature("log_holes", first)) == pytest.approx(expected, abs=1e-6)


def test_objects_joined_at_a_corner_are_one_only_with_connectivity_8() -> None:
    diagonal = grid("100", "010", "001")
    assert ObjectSlots(connectivity=4)([diagonal]).mask.sum() == 1 + 3
    assert ObjectSlots(connectivity=8)([diagonal]).mask.sum() == 1 + 1


def test_a_shift_changes_only_the_place() -> None:
    padded = np.zeros((9, 9), dtype=np.uint8)
    one, other = padded.copy(), padded.copy()
    one[1:5, 1:5] = other[3:7, 2:6] = TWO
    place = ("centroid_y", "centroid_x", "top", "left", "relative_y", "relative_x")
    before, after = (ObjectSlots()([moved]) for moved in (one, other))
    moved = [NAMES.index(name) for name in place]
    still = [i for i in range(len(NAMES)) if i not in moved]
    assert torch.equal(before.features[0, 1:, still], after.features[0, 1:, still])
    step = (after.features - before.features)[0, 1:3]
    assert step[:, NAMES.index("top")].tolist() == pytest.approx([2 / 30] * 2)
    assert step[:, NAMES.index("relative_x")].tolist() == pytest.approx([1 / 9] * 2)
    assert torch.equal(before.adjacency, after.adjacency)
    assert torch.equal(before.colors, after.colors)


@pytest.mark.parametrize("background", [0, "majority"])
def test_a_permutation_of_the_colours_changes_only_colours(background: int | str) -> None:
    palette = np.array(
        [0, 4, 7, 1, 9, 2, 3, 8, 5, 6] if background == 0 else [5, 4, 7, 1, 9, 2, 3, 8, 0, 6],
        np.uint8,
    )
    grids = [*real_grids(10), *noise_grids(20)]
    tokeniser = ObjectSlots(background=background)
    one, other = tokeniser(grids), tokeniser([palette[grid] for grid in grids])
    assert torch.equal(one.features, other.features)
    assert torch.equal(one.mask, other.mask)
    assert torch.equal(one.adjacency, other.adjacency)
    named = torch.tensor([*palette.tolist(), 10])
    assert torch.equal(named[one.colors], other.colors)


def test_the_background_is_the_first_of_the_most_frequent_colours() -> None:
    tokens = ObjectSlots(background="majority")([grid("555", "525"), grid("21", "12")])
    assert tokens.colors[:, 0, 0].tolist() == [5, 2]
    assert tokens.colors[:, 1, 0].tolist() == [2, 1]


def test_objects_without_a_slot_are_counted() -> None:
    board = (np.indices((30, 30)).sum(0) % 2 * 3 + 1).astype(np.uint8)  # 900 objects of one cell
    tokens = ObjectSlots(16)([board])
    check_form(tokens)
    assert tokens.mask.all()
    assert feature("slotted_share", tokens.features[0, 0]) == pytest.approx(15 / 900)
    assert np.expm1(feature("log_unslotted", tokens.features[0, 0]) * np.log(901)) == pytest.approx(
        885, rel=1e-5
    )
    everything = ObjectSlots(901)([board])
    assert everything.mask.all()
    assert feature("slotted_share", everything.features[0, 0]) == 1


def test_objects_are_sorted_by_area_and_then_in_raster_order() -> None:
    tokens = ObjectSlots()([grid("1022", "0000", "3044", "3000")])
    assert tokens.colors[0, 1:5, 0].tolist() == [2, 3, 4, 1]


def test_degenerate_grids_have_tokens() -> None:
    one, empty, full = grid("7"), np.zeros((30, 30), np.uint8), np.full((30, 30), 6, np.uint8)
    tokens = ObjectSlots()([one, empty, full])
    check_form(tokens)
    assert tokens.mask.sum(1).tolist() == [2, 1, 2]
    assert shape(tokens.features[2, 1]).tolist() == [[1.0] * 5] * 5
    assert feature("slotted_share", tokens.features[1, 0]) == 1
    assert feature("log_area", tokens.features[2, 1]) == 1


def test_the_tokens_of_a_grid_do_not_depend_on_the_others() -> None:
    grids = [*real_grids(4), np.zeros((0, 0), np.uint8), *noise_grids(10)]
    for tokeniser in (ObjectSlots(), make_tokeniser("slots", slot_features="published")):
        together = tokeniser(grids)
        for i, one in enumerate(grids):
            assert same_tokens(together[i : i + 1], tokeniser([one]))


def test_grids_have_the_same_tokens_together_and_alone() -> None:
    grids = noise_grids(300)
    together = ObjectSlots()(grids)
    assert len(together) == 300
    assert all(
        same_tokens(together[i : i + 1], ObjectSlots()([grids[i]])) for i in (0, 255, 256, 299)
    )


def test_a_grid_without_cells_has_no_token() -> None:
    tokens = ObjectSlots()([np.zeros((0, 0), np.uint8), TWO])
    check_form(tokens)
    assert tokens.mask.sum(1).tolist() == [0, 3]
    assert len(ObjectSlots()([])) == 0


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("pixels", {}, "tokeniser: 'pixels' is none of patches, slots"),
        (
            "slots",
            {"slot_features": "shapes"},
            "slot_features: 'shapes' is none of objects, published",
        ),
        ("slots", {"max_objects": 1}, "max_objects: 1 is not a whole number from 2 to 901"),
        ("slots", {"connectivity": 6}, "connectivity: 6 is neither 4 nor 8"),
        (
            "slots",
            {"background": 10},
            "background: 10 is neither a colour from 0 to 9 nor majority",
        ),
        (
            "slots",
            {"patch": 3},
            "tokeniser slots with slot_features=objects: no option 'patch'; it has max_objects,",
        ),
        (
            "slots",
            {"slot_features": "published", "max_objects": 0},
            "max_objects: 0 is not a whole number from 1",
        ),
        (
            "slots",
            {"slot_features": "published", "normalize": 1},
            "normalize: 1 is neither true nor false",
        ),
        ("patches", {"patch": 0}, "patch: 0 is not a whole number from 1 to 30"),
    ],
)
def test_invalid_options_raise_an_error_of_one_line(name: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError) as error:
        make_tokeniser(name, **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_fingerprint_depends_on_kind_and_options() -> None:
    made = [
        make_tokeniser("slots"),
        make_tokeniser("slots", max_objects=8),
        make_tokeniser("slots", connectivity=8),
        make_tokeniser("slots", background="majority"),
        make_tokeniser("slots", slot_features="published"),
        make_tokeniser("slots", slot_features="published", normalize=False),
        make_tokeniser("slots", slot_features="published", respect_colors=False),
        make_tokeniser("patches"),
        make_tokeniser("patches", patch=2),
    ]
    assert len({tokeniser.fingerprint for tokeniser in made}) == len(made)
    for tokeniser in made:
        tokens = tokeniser([TWO])
        assert tokens.features.shape[2] == tokeniser.n_features
        assert tokens.colors.shape[2] == tokeniser.n_colors
        assert tokens.mask.shape[1] == tokeniser.places([TWO]) <= tokeniser.max_tokens
