"""BuildError: the builder cannot go on with what it was given.

What Hotmend looked at and says no to is a Refusal, never this.
"""


class BuildError(Exception):
    """The message names the input, what is wrong with it and what to do."""
