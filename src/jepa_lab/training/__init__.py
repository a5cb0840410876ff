"""The one run flow: resume or start, preflight, fit, evaluate, judge, and the end of a run."""
