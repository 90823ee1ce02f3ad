"""A question that cannot be answered."""

from __future__ import annotations


class QueryError(ValueError):
    """``code``: Resource Graph's word for the kind of mistake. The message is a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
