"""The queue of negatives: order of rows, skipped steps, and checkpoints."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from jepa_lab.networks.queue import NegativeQueue


def numbered(*tasks: int) -> tuple[Tensor, Tensor]:
    """Returns distinct rows, with their numbers as tasks."""
    angle = torch.tensor(tasks, dtype=torch.float32) * 0.1
    return torch.stack([angle.cos(), angle.sin()], dim=1) * 5.0, torch.tensor(tasks)


def contents(queue: NegativeQueue) -> set[int]:
    rows, tasks = queue.filled
    # each with its task, at length 1
    assert torch.allclose(rows, numbered(*tasks.tolist())[0] / 5.0, atol=1e-6)
    return set(tasks.tolist())


def test_rows_enter_the_queue_at_commit_only() -> None:
    queue, sizes = NegativeQueue(6, 2), []
    for step in ([(1, 2), (3, 4)], [(5, 6)]):
        for tasks in step:
            queue.stage(*numbered(*tasks))
            sizes.append(len(queue))
        queue.commit()
        sizes.append(len(queue))
    assert sizes == [0, 0, 4, 4, 6]
    assert contents(queue) == {1, 2, 3, 4, 5, 6}


def test_dropped_rows_never_enter_the_queue() -> None:
    queue = NegativeQueue(6, 2)
    queue.stage(*numbered(1, 2))
    queue.commit()
    queue.stage(torch.full((2, 2), torch.nan), torch.tensor([8, 9]))
    queue.drop()
    queue.commit()
    assert contents(queue) == {1, 2}


def test_the_oldest_rows_are_replaced_first_in_a_ring() -> None:
    queue = NegativeQueue(5, 2)
    for tasks in ((1, 2, 3), (4, 5, 6), (7,)):
        queue.stage(*numbered(*tasks))
        queue.commit()
    assert contents(queue) == {3, 4, 5, 6, 7}
    queue.stage(*numbered(*range(10, 18)))
    queue.stage(*numbered(18))
    queue.commit()
    assert contents(queue) == {14, 15, 16, 17, 18}
    queue.stage(*numbered(19, 20))
    queue.commit()
    assert contents(queue) == {16, 17, 18, 19, 20}


def test_the_queue_ignores_gradients_and_later_changes_of_the_rows() -> None:
    queue, (rows, tasks) = NegativeQueue(4, 2), numbered(1, 2)
    rows.requires_grad_()
    queue.stage(rows, tasks)
    with torch.no_grad():
        rows.mul_(-1)
        tasks.add_(50)
    queue.commit()
    assert not queue.filled[0].requires_grad
    assert contents(queue) == {1, 2}


def test_half_precision_rows_are_kept_in_float32_at_length_one() -> None:
    queue = NegativeQueue(4, 3)
    queue.stage(torch.randn(4, 3).bfloat16(), torch.arange(4))
    queue.commit()
    assert queue.filled[0].dtype == torch.float32
    assert torch.allclose(queue.filled[0].norm(dim=1), torch.ones(4), atol=1e-6)


def test_a_restored_queue_is_equal_and_continues_equally(tmp_path: Path) -> None:
    queue, restored = NegativeQueue(5, 2), NegativeQueue(5, 2)
    for tasks in ((1, 2, 3), (4, 5, 6)):
        queue.stage(*numbered(*tasks))
        queue.commit()
    restored.stage(*numbered(99))  # from a step that is not in the checkpoint
    torch.save(queue.state_dict(), tmp_path / "queue.pt")
    restored.load_state_dict(torch.load(tmp_path / "queue.pt", weights_only=True))
    for q in (queue, restored):
        q.stage(*numbered(7))
        q.commit()
    assert len(restored) == len(queue) == 5
    assert torch.equal(restored.rows, queue.rows)
    assert torch.equal(restored.tasks, queue.tasks)
    assert contents(restored) == {3, 4, 5, 6, 7}


def test_a_queue_of_size_zero_stays_empty() -> None:
    queue = NegativeQueue(0, 2)
    queue.stage(*numbered(1))
    queue.commit()
    assert queue.filled[0].shape == (0, 2)
    assert queue.filled[1].shape == (0,)


def test_wrong_sizes_raise() -> None:
    with pytest.raises(ValueError, match="-1"):
        NegativeQueue(-1, 2)
    with pytest.raises(ValueError, match=r"rows \(n, 2\)"):
        NegativeQueue(4, 2).stage(torch.ones(3, 4), torch.arange(3))
    with pytest.raises(ValueError, match="tasks"):
        NegativeQueue(4, 2).stage(torch.ones(3, 2), torch.arange(2))
