"""jepa-lab: experiments with joint-embedding predictive models. Every run ends with a verdict on
collapse."""

from typing import TYPE_CHECKING, Any

import jepa_lab.process.early
import jepa_lab.process.openmp  # before anything imports torch
import jepa_lab.process.plot_backend  # noqa: F401 - before anything imports matplotlib

__version__ = "0.1.0"
# raised whenever the maths changes, so that old runs are reported instead of reused
RESULTS_VERSION = 2

if TYPE_CHECKING:
    from jepa_lab.monitor import Monitor

__all__ = ["RESULTS_VERSION", "Monitor", "__version__"]


def __getattr__(name: str) -> Any:
    """Imports `Monitor` on first use. It needs torch, and a command should not wait for that."""
    if name == "Monitor":
        from jepa_lab.monitor import Monitor  # start-up

        return Monitor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
