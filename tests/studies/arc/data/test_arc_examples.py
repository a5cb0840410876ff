import numpy as np
import pytest
import torch

from arc_token_tasks import counting_task, real_tasks
from jepa_lab.studies.arc.data.batch import DEMO_INPUT, DEMO_OUTPUT, FRAME, QUERY
from jepa_lab.studies.arc.data.examples import ABSENT, make_examples
from jepa_lab.studies.arc.data.task import ArcTask, Pair

DRAW = {"seed": 3, "split": "train", "epoch": 0}


def columns(examples, numbers: torch.Tensor) -> list[int]:
    """Returns the pair of each grid: pair i of a counting task has 1 + i columns."""
    return [examples.grids[i].shape[1] - 1 if i != ABSENT else -1 for i in numbers.tolist()]


def test_every_pair_is_a_query_once_with_the_other_demonstrations() -> None:
    examples = make_examples([counting_task("a", 3, 2)], n_demos=3)
    assert len(examples) == 5
    contexts = [columns(examples, context) for context in examples.context]
    assert contexts == [
        [1, 1, 2, 2, -1, -1, 0],
        [0, 0, 2, 2, -1, -1, 1],
        [0, 0, 1, 1, -1, -1, 2],
        [0, 0, 1, 1, 2, 2, 3],
        [0, 0, 1, 1, 2, 2, 4],
    ]
    assert columns(examples, examples.target) == [0, 1, 2, 3, 4]
    assert all(len(examples.grids[i]) == 2 for i in examples.target.tolist())
    rows = [[len(examples.grids[i]) for i in context] for context in examples.context[3:].tolist()]
    assert rows == [[1, 2, 1, 2, 1, 2, 1]] * 2  # inputs have one row, outputs two
    assert examples.roles.tolist() == [DEMO_INPUT, DEMO_OUTPUT] * 3 + [QUERY]
    assert examples.pairs.tolist() == [0, 0, 1, 1, 2, 2, 3]


def test_no_context_contains_the_output_of_its_query() -> None:
    examples = make_examples(real_tasks(30), n_demos=5)
    context = examples.drawn_context(torch.arange(len(examples)), **DRAW)
    assert not (context == examples.target[:, None]).any()
    assert torch.equal(context[:, -1] + 1, examples.target)
    assert all(
        (examples.owner[c[c != ABSENT]] == t).all()
        for c, t in zip(context, examples.task, strict=True)
    )


def test_training_draws_ordered_demonstrations_by_epoch_and_example() -> None:
    examples = make_examples([counting_task("a", 8)] * 20, n_demos=3)
    index = torch.arange(len(examples))
    drawn = examples.drawn_context(index, **DRAW)
    assert torch.equal(drawn, examples.drawn_context(index, **DRAW))
    assert torch.equal(drawn[7:9], examples.drawn_context(index[7:9], **DRAW))
    assert not torch.equal(drawn, examples.drawn_context(index, **DRAW | {"epoch": 1}))
    inputs = drawn[:, 0:-1:2]
    assert (inputs.diff(dim=1) > 0).all()
    assert torch.equal(drawn[:, 1:-1:2], inputs + 1)
    # the test queries
    of_first = torch.tensor([columns(examples, row) for row in inputs[examples.target % 18 == 17]])
    assert len(of_first.unique()) == 8  # all eight demonstrations are drawn at some time
    assert not torch.equal(drawn, examples.context)


def test_a_task_with_few_demonstrations_shows_all_of_them_in_training() -> None:
    examples = make_examples([counting_task("few", 2), counting_task("many", 9)], n_demos=3)
    drawn = examples.drawn_context(torch.arange(len(examples)), **DRAW)
    assert torch.equal(drawn[:3], examples.context[:3])
    assert (drawn[3:] != ABSENT).all()


def test_queries_without_another_demonstration_are_omitted_and_counted() -> None:
    examples = make_examples([counting_task("one", 1, 1), counting_task("two", 2, 0)], split="val")
    assert examples.task.tolist() == [0, 1, 1]
    assert examples.note == "1 val pairs have no other demonstration and are omitted"


def test_a_pair_without_an_output_is_not_a_query() -> None:
    task = counting_task("a", 2, 0)
    hidden = Pair(np.ones((2, 2), np.uint8), np.zeros((0, 0), np.uint8))
    assert len(make_examples([ArcTask("a", task.train, (hidden,))])) == 2


def test_frames_are_windows_with_the_next_state_as_target() -> None:
    states = tuple(np.full((1, 1), i, np.uint8) for i in range(5))
    tasks = [ArcTask("a", frames=(states, states[:3])), ArcTask("b", frames=(states[1:],))]
    examples = make_examples(tasks, "frames", n_frames=3)
    windows = torch.cat([examples.context, examples.target[:, None]], dim=1)
    shown = [[int(examples.grids[i][0, 0]) for i in window] for window in windows]
    assert shown == [[0, 1, 2, 3], [1, 2, 3, 4], [1, 2, 3, 4]]
    assert examples.task.tolist() == [0, 0, 1]
    assert examples.roles.tolist() == [FRAME] * 3
    assert examples.pairs.tolist() == [0, 1, 2]
    assert examples.note == "1 of 3 train frame sequences have fewer than 4 states and are omitted"


def test_copies_repeat_the_input_of_a_pair() -> None:
    examples = make_examples([counting_task("a", 2, 1)], "copies", n_frames=3)
    assert examples.context.tolist() == [[0, 0, 0], [2, 2, 2], [4, 4, 4]]
    assert examples.target.tolist() == [1, 3, 5]


@pytest.mark.parametrize(
    ("tasks", "options", "message"),
    [
        (
            [counting_task("a", 1, 0)],
            {},
            "problem demos: none of the 1 train tasks has a pair with an output",
        ),
        (
            [counting_task("a", 3)],
            {"problem": "frames"},
            "problem frames: none of the 0 frame sequences of",
        ),
        (
            [ArcTask("a")],
            {"problem": "copies"},
            "problem copies: none of the 1 train tasks has a pair with an output",
        ),
        ([], {}, "problem demos: none of the 0 train tasks"),
        (
            [counting_task("a", 3)],
            {"problem": "demo"},
            "problem: 'demo' is none of demos, frames, copies",
        ),
        ([counting_task("a", 3)], {"n_demos": 0}, "n_demos: 0 is not a whole number from 1"),
        ([counting_task("a", 3)], {"n_frames": 2.5}, "n_frames: 2.5 is not a whole number from 1"),
    ],
)
def test_tasks_without_examples_raise_an_error_of_one_line(
    tasks: list[ArcTask], options: dict, message: str
) -> None:
    with pytest.raises(ValueError) as error:
        make_examples(tasks, **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
