"""The typed configuration: what the keys of conf/ mean, and the check that stops a run before it
starts."""
