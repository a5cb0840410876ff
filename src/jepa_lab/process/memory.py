"""The memory that this process can have, and the errors of a memory that is used up."""

from __future__ import annotations

import errno

from jepa_lab.files.limits import memory_at_hand

__all__ = ["in_words", "is_out_of_memory", "memory_at_hand", "out_of_memory"]

# parts of torch's messages, in a RuntimeError, for a size beyond 64 bits a TypeError, and when its
# libraries are mapped an ImportError
OF_TORCH = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "calculation overflowed",
    "multiplication overflow",
    "maybe an overflow",
    "Overflow when unpacking",
    "bad_alloc",
    "failed to map segment",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Returns whether an error says that memory could not be allocated."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, RuntimeError | TypeError | ImportError):
        return any(part in str(error) for part in OF_TORCH)
    return isinstance(error, MemoryError)


def out_of_memory() -> str:
    """Returns the line for an error of used-up memory."""
    return (
        f"out of memory: {in_words(memory_at_hand())} are not enough for this configuration and its"
        " data; lower dataset.batch_size or a width of the model, or use a machine with more memory"
    )


def in_words(size: float) -> str:
    """Returns a number of bytes as text, '3.2 GB'."""
    for unit, name in ((1e18, "EB"), (1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}" if size < 1e21 else "more than 1000 EB"
    return f"{size / 1e3:.1f} kB"
