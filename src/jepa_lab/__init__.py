"""jepa-lab: experiments with joint-embedding predictive models. Every run ends with a verdict on
collapse."""

import jepa_lab.process.early
import jepa_lab.process.plot_backend  # noqa: F401 - before anything imports matplotlib

__version__ = "0.1.0"
# raised whenever the maths changes, so that old runs are reported instead of reused
RESULTS_VERSION = 2
