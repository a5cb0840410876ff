"""The statuses of a verdict, and their families for rules, reports and configurations."""

STATUSES = (
    "healthy",
    "low_rank",
    "complete_collapse",
    "dimensional_collapse",
    "uniform_output",
    "codebook_collapse",
    "regulariser_dominated",
    "ignores_actions",
    "copy_shortcut",
    "no_learning",
    "unstable",
    "diverged",
    "too_short",
    "inconclusive",
)
# worst first: the status of a run to which several apply. Causes come before their consequences
SEVERITY = (
    "diverged",
    "complete_collapse",
    "dimensional_collapse",
    "uniform_output",
    "codebook_collapse",
    "regulariser_dominated",
    "no_learning",
    "copy_shortcut",
    "ignores_actions",
    "unstable",
    "low_rank",
    "healthy",
)
# the representation is lost: other faults follow from that and are not reported
LOST = ("diverged", "complete_collapse", "dimensional_collapse")
# the representation collapsed although its values stayed finite
COLLAPSES = ("complete_collapse", "dimensional_collapse", "uniform_output")
# the representation was judged and did not fail
PASSES = ("healthy", "low_rank")
NO_FAILURE = (*PASSES, "too_short", "inconclusive")
FAILURES = tuple(status for status in STATUSES if status not in NO_FAILURE)


def failed(status: str) -> bool:
    """Whether a status is a failure. "" (no verdict) is not."""
    return bool(status) and status not in NO_FAILURE


def status_in(line: str | None) -> str:
    """Returns the status at the start of a verdict's line, or "" without a verdict."""
    return (line or "").partition(" ")[0]
