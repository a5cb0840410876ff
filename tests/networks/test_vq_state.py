"""The state of a codebook: evaluation, copies, checkpoints, ranks."""

from __future__ import annotations

import copy
import io
import socket
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from jepa_lab.networks.vq.build import Quantizer, build_quantizer

PUBLISHED = {
    "init": "empty",
    "in_objective": False,
    "weight_on": "codebook",
    "update": "forward",
    "count_padding": True,
    "share": False,
}
KINDS: dict[str, dict[str, Any]] = {
    "hard": {"kind": "hard"},
    "by gradient": {"kind": "hard", "ema_decay": None},
    "published": {"kind": "hard", **PUBLISHED},
    "gumbel": {"kind": "gumbel", "gumbel_scale": 0.2, "usage_weight": 1.0},
    "fsq": {"kind": "fsq", "levels": [4, 4]},
}
every_kind = pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
Options = dict[str, Any]


def made(options: Options, dim: int = 4, size: int = 16) -> Quantizer:
    return build_quantizer(dim=dim, size=size, **options)


def tokens(n: int = 3) -> tuple[Tensor, Tensor]:
    mask = torch.ones(n, 40, dtype=torch.bool)
    mask[:, 30:] = False
    return torch.randn(n, 40, 4), mask


def step(quantizer: Quantizer, x: Tensor, mask: Tensor) -> Tensor:
    """Runs one optimiser step, with gradient descent on the parameters, and returns z."""
    out = quantizer(x, mask, collect=True)
    parameters = list(quantizer.parameters())
    if parameters:
        loss = out.z.square().mean() + out.loss.total
        for parameter, gradient in zip(
            parameters, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True
        ):
            if gradient is not None:
                parameter.data -= 0.1 * gradient
    quantizer.update()
    return out.z.detach()


def same(a: Quantizer, b: Quantizer) -> bool:
    return all(torch.equal(value, b.state_dict()[key]) for key, value in a.state_dict().items())


@every_kind
def test_evaluation_changes_no_state_and_is_repeatable(options: Options) -> None:
    quantizer = made(options)
    fresh = copy.deepcopy(quantizer)
    quantizer.eval()
    quantizer(*tokens(), collect=True)
    quantizer.update()
    assert same(quantizer, fresh)
    quantizer.train()
    step(quantizer, *tokens())
    before = copy.deepcopy(quantizer)
    quantizer.eval()
    x, mask = tokens()
    first, second = (quantizer(x, mask, collect=True) for _ in range(2))
    quantizer.update()
    assert same(quantizer, before)
    assert torch.equal(first.z, second.z)
    assert torch.equal(first.codes, second.codes)
    assert torch.equal(quantizer.live_tokens(99), before.live_tokens(99))


@every_kind
def test_training_changes_the_codebook_and_the_counts(options: Options) -> None:
    quantizer = made(options)
    step(quantizer, *tokens())
    before = copy.deepcopy(quantizer)
    step(quantizer, *tokens())
    assert not torch.equal(quantizer.codebook, before.codebook)
    assert not torch.equal(quantizer.counts, before.counts)


@every_kind
def test_a_loaded_quantizer_takes_exactly_the_same_step(options: Options) -> None:
    quantizer, batches = made(options), [tokens() for _ in range(3)]
    for batch in batches[:2]:
        step(quantizer, *batch)
    file = io.BytesIO()
    torch.save(quantizer.state_dict(), file)
    file.seek(0)
    loaded = made(options)
    loaded.load_state_dict(torch.load(file, weights_only=True))
    results = []
    for each in (quantizer, loaded):
        torch.manual_seed(5)
        results.append(step(each, *batches[2]))
    assert torch.equal(*results)
    assert same(quantizer, loaded)
    assert torch.equal(quantizer.live_tokens(20), loaded.live_tokens(20))


@every_kind
def test_a_copy_made_within_a_step_is_independent(options: Options) -> None:
    quantizer = made(options)
    quantizer(*tokens(), collect=True)
    copied = copy.deepcopy(quantizer)
    before = copy.deepcopy(copied)
    step(quantizer, *tokens())
    assert same(copied, before)
    copied.update()
    assert not torch.equal(copied.age, quantizer.age) or not torch.equal(
        copied.counts, quantizer.counts
    )


def test_the_target_uses_the_shared_codebook_or_a_frozen_copy() -> None:
    shared, apart = made(KINDS["by gradient"]), made({**KINDS["by gradient"], "share": False})
    assert shared.for_target() is shared
    target = apart.for_target()
    assert target is not apart
    assert not any(p.requires_grad for p in target.parameters())
    step(apart, *tokens())
    assert not torch.equal(apart.codebook, target.codebook)


def test_live_tokens_are_those_of_the_last_step_without_padding() -> None:
    quantizer = made(KINDS["hard"])
    assert quantizer.live_tokens(5).shape == (0, 4)
    for _ in range(2):
        (x, mask), (y, other) = tokens(), tokens()
        quantizer(x, mask, collect=True)
        quantizer(y, other)
        quantizer(y, other, collect=True)
        quantizer.update()
    assert torch.equal(quantizer.live_tokens(10**6), torch.cat([x[mask], y[other]]))
    few = quantizer.live_tokens(7)
    assert len(few) == 7
    assert torch.equal(few[-1], y[other][-1])


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def run_rank(
    rank: int, port: int, options: Options, batches: list[tuple[Tensor, Tensor]], queue: Any
) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    quantizer, gradients = made(options), []
    for x, mask in batches:
        half = x.chunk(2)[rank].clone().requires_grad_()
        loss = quantizer(half, mask.chunk(2)[rank], collect=True).loss.total
        gradients.append(
            torch.autograd.grad(loss, half)[0] if loss.requires_grad else torch.zeros_like(half)
        )
        quantizer.update()
    if rank == 1:
        state = {key: value.numpy() for key, value in quantizer.state_dict().items()}
        queue.put((state, [g.numpy() for g in gradients], quantizer.live_tokens(999).numpy()))
    else:
        quantizer.live_tokens(999)
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.parametrize("name", ["hard", "published", "by gradient", "gumbel"])
def test_two_processes_on_half_batches_equal_one_on_the_whole_batch(name: str) -> None:
    options = KINDS[name]
    batches = [tokens(4) for _ in range(3)]
    for _, mask in batches:
        mask[3, 5:] = False  # the ranks have different numbers of live tokens
    context, port = mp.get_context("spawn"), free_port()
    queue = context.SimpleQueue()
    start: Callable[..., Any] = mp.start_processes
    workers = start(
        run_rank, (port, options, batches, queue), nprocs=2, join=False, start_method="spawn"
    )
    state, gradients, live = queue.get()
    while not workers.join():
        pass
    whole = made(options)
    for (x, mask), gradient in zip(batches, gradients, strict=True):
        x = x.clone().requires_grad_()
        loss = whole(x, mask, collect=True).loss.total
        # before averaging over two ranks, a rank's gradient is twice its share
        if loss.requires_grad:
            expected = torch.autograd.grad(loss, x)[0].chunk(2)[1]
            assert torch.allclose(torch.from_numpy(gradient), 2.0 * expected, atol=1e-7)
        whole.update()
    # each rank draws its own Gumbel samples, so their statistics differ
    for key, value in whole.state_dict().items() if name != "gumbel" else ():
        assert torch.allclose(
            torch.from_numpy(state[key]).double(), value.double(), rtol=1e-5, atol=1e-6
        ), key
    everything = (torch.from_numpy(live), whole.live_tokens(999))
    assert torch.equal(*(rows[rows[:, 0].argsort(stable=True)] for rows in everything))
