"""HotpatchError: a file is not a usable .hotpatch (damaged, foreign, too large, newer format)."""


class HotpatchError(Exception):
    """The message names what is wrong and what to do."""
