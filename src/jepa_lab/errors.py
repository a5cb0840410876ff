"""The ways a run ends that are no defect of this code, and what a message suggests for a mistyped
name."""

import difflib
import sys
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in the input. The command line prints its text as one line and exits with code 2.
    A mistake in the input. The command line prints its text as one line and exits with code 2."""


class RunBusy(UserError):
    """Another process is at this run."""


class RunStopped(Exception):
    """The run was asked to stop; its checkpoint is written, the same command resumes it from it."""


class StoppedByVerdict(Exception):
    """The verdict on the run is one of diagnosis.stop_on: its text says which, where and since
    when."""


class NonFinite(Exception):
    """A loss term or a gradient is NaN or infinite: which, and at which optimiser step. The weights
    are still good."""

    def __init__(self, term: str, step: int, detail: str = "") -> None:
        super().__init__(f"{term} is not finite at step {step}{detail}")
        self.term = term
        self.step = step


def nearest(name: str, candidates: Iterable[str], most: int = 1) -> str:
    """ "; did you mean 'a'?" for the closest candidates, `most` at the most; the list of all where
     it is short and none
    is close; else ""."""
    known = sorted(set(candidates))
    close = difflib.get_close_matches(name, known, n=most, cutoff=0.5)
    if close:
        return f"; did you mean {' or '.join(map(repr, close))}?"
    return f"; one of {', '.join(known)}" if 0 < len(known) <= 12 else ""


def say(text: str, prefix: str = "jepa_lab: ") -> None:
    """Prints one line to stderr."""
    print(f"{prefix}{text}", file=sys.stderr, flush=True)
