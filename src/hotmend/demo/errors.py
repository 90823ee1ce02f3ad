"""DemoError: the demonstration cannot go on; one sentence."""


class DemoError(Exception):
    """Something on this machine stands in the way, or a step ended as it should not."""
