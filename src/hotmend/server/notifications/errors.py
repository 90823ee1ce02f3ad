"""What goes wrong on the way to a receiver."""


class NotSentError(Exception):
    """Nobody took it, and why; it is tried again."""
