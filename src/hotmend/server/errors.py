"""What goes wrong in the control plane."""

from __future__ import annotations

from typing import Any


class ServerError(Exception):
    """A sentence for the person at the command line."""


class ArmError(Exception):
    """An answer in Azure's form, with ``status``: code, message, target, details."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        target: str = "",
        details: tuple[ArmError, ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.target = target
        self.details = details

    def body(self) -> dict[str, Any]:
        """What a client gets."""
        return {"error": self._content()}

    def _content(self) -> dict[str, Any]:
        content: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.target:
            content["target"] = self.target
        if self.details:
            content["details"] = [detail._content() for detail in self.details]
        return content


def invalid(message: str, target: str = "") -> ArmError:
    """What a request says makes no sense at ``target``."""
    return ArmError(400, "InvalidParameter", message, target)
