"""The typed configuration: types and ranges of the keys in conf/, and the check before a run
starts."""
