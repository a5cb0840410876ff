"""Exceptions for the expected ends of a run, and suggestions for mistyped names."""

import difflib
import sys
from collections.abc import Iterable

LONGEST = 4000  # characters of a line


class UserError(Exception):
    """A mistake in the input. The command line prints its text as one line and exits with code
    2."""


class RunBusy(UserError):
    """Another process is working on the run."""


class RunStopped(Exception):
    """The run was asked to stop. Its checkpoint is written, and the same command resumes it."""


class StoppedByVerdict(Exception):
    """The verdict on the run is listed in diagnosis.stop_on. The text names the verdict, its place
    and its step."""


class NonFinite(Exception):
    """A loss term or a gradient is NaN or infinite. `term` names it, and `step` is the optimiser
    step. The weights are still good."""

    def __init__(self, term: str, step: int, detail: str = "") -> None:
        super().__init__(f"{term} is not finite at step {step}{detail}")
        self.term = term
        self.step = step


def nearest(name: str, candidates: Iterable[str], most: int = 1) -> str:
    """Returns the end of a message that suggests names close to `name`, at most `most` of them.

    It is "; did you mean 'a'?" if candidates are close. If none is close, it lists all candidates
    if there are at most 12. Otherwise it is "".
    """
    known = sorted(set(candidates))
    close = difflib.get_close_matches(name, known, n=most, cutoff=0.5)
    if close:
        return f"; did you mean {' or '.join(map(repr, close))}?"
    return f"; one of {', '.join(known)}" if 0 < len(known) <= 12 else ""


def to_install(extra: str) -> str:
    """Returns the end of a message about a missing package: how to install the extra that brings
    it. jepa-lab is on no package index, so its name alone would install nothing of ours."""
    checkout = f'pip install -e ".[{extra}]" in a checkout of jepa-lab'
    return f'install the extra {extra}: {checkout}, or pip install "FILE.whl[{extra}]" with a wheel'


def say(text: str, prefix: str = "jepa_lab: ") -> None:
    """Prints one line to stderr. Characters that cannot be printed, such as a newline in a name,
    are escaped."""
    print(f"{prefix}{in_one_line(text)}", file=sys.stderr, flush=True)


def in_one_line(text: str) -> str:
    """Returns the text with line ends and other characters that cannot be printed escaped, as
    Python writes them in quotes. The middle of more than LONGEST characters is left out."""
    if len(text) > LONGEST:  # a name or a value from a file
        half = LONGEST // 2
        text = f"{text[:half]} ... {text[-half:]}"
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
