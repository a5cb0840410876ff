"""The one exception that means: the user asked for something that cannot be done."""


class UserError(Exception):
    """A mistake in the input. The command line prints its text as one line and exits with code 2."""
