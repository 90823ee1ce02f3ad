"""BinaryError: these bytes are not an image Hotmend can work with."""


class BinaryError(Exception):
    """The message names the file, what is wrong with it and what would be accepted."""
