"""What is wrong with an input, as bytes.

::

    BinaryError           not an image Hotmend can work with
    └── NoCode            nothing in it is code that processes map, or none of that changed
"""


class BinaryError(Exception):
    """The message names the file, what is wrong with it and what would be accepted."""


class NoCode(BinaryError):
    """There is nothing to patch."""
