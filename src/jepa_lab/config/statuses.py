"""The statuses of a verdict, and the families that rules, reports and configurations know them by.
The statuses of a verdict, and the families that rules, reports and configurations know them by."""

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
    "inconclusive",
)
# from the worst: what is named where several hold. What makes the others follow comes first
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
# the representation is lost: what else is wrong follows from that and needs no note
LOST = ("diverged", "complete_collapse", "dimensional_collapse")
# the representation collapsed while its numbers stayed finite
COLLAPSES = ("complete_collapse", "dimensional_collapse", "uniform_output")
NO_FAILURE = ("healthy", "low_rank", "inconclusive")


def failed(status: str) -> bool:
    """Whether a status is a failure; "" (no verdict) is none."""
    return bool(status) and status not in NO_FAILURE


def status_in(line: str | None) -> str:
    """The status that the line of a verdict begins with; "" without a verdict."""
    return (line or "").partition(" ")[0]
