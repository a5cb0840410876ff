"""jepa-lab: experiments with joint-embedding predictive models, each ending in a verdict on
collapse."""

__version__ = "0.1.0"
RESULTS_VERSION = (
    2  # raised whenever the maths changes, so that old runs are reported instead of reused
)
