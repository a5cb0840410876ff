"""Uniform random numbers that depend only on their key, not on the time of the draw."""

import hashlib

import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB


def uniform(
    index: Tensor, n: int, *, seed: int, split: str, epoch: int, stream: str = "views"
) -> Tensor:
    """Returns n uniform numbers in [0, 1) for every sample of a batch: (B,) int64 -> (B, n) float32
    on the same device.

    Each number is a hash of (seed, split, epoch, stream, sample index, slot). It is therefore the
    same for any batch composition, order, number of workers and device, and after a resume. Slots
    are 0 to n - 1. Numbers have 24 random bits, so `floor(u * k)` is uniform for a power of two k
    and uniform to within k / 2^24 otherwise.

    Source: the finaliser and increment of splitmix64 (Steele, Lea and Flood 2014), with one
    generator per (key, index), whose initial state is itself hashed. Raises ValueError unless index
    is a vector of int64.
    """
    if index.ndim != 1 or index.dtype != torch.int64:
        raise ValueError(
            f"index must be a vector of int64, got shape {tuple(index.shape)} of {index.dtype}"
        )
    state = _mix(index * _signed(_GOLDEN) + _key(seed, split, epoch, stream))
    slots = torch.arange(1, n + 1, device=index.device) * _signed(_GOLDEN)
    bits = _shift(_mix(state[:, None] + slots), 40)
    return bits.to(torch.float32) * 2.0**-24


def _key(seed: int, split: str, epoch: int, stream: str) -> int:
    text = repr((int(seed), str(split), int(epoch), str(stream))).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little", signed=True)


def _mix(x: Tensor) -> Tensor:
    """Applies the finaliser of splitmix64 to int64 tensors, which wrap around like its unsigned
    integers."""
    x = (x ^ _shift(x, 30)) * _signed(_MIX_1)
    x = (x ^ _shift(x, 27)) * _signed(_MIX_2)
    return x ^ _shift(x, 31)


def _shift(x: Tensor, bits: int) -> Tensor:
    """A logical shift to the right: torch's own shift of int64 copies the sign bit."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _signed(constant: int) -> int:
    return constant - (1 << 64) if constant >= 1 << 63 else constant
