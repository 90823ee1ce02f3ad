"""The API, called from inside the process by somebody who is logged in at the portal."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message

from hotmend.server.control import Control
from hotmend.server.errors import ArmError
from hotmend.server.identity.principals import Principal


class Api:
    """``arm``: the application that answers everybody else, too."""

    def __init__(self, control: Control, arm: ASGIApp) -> None:
        self._control = control
        self._arm = arm

    async def call(self, who: Principal, method: str, path: str, body: Any = None) -> Any:
        """What the API answers ``who``, parsed. Raises ArmError with what it refuses."""
        token = self._control.tokens.issue(who.id, self._control.clock(), who.generation)
        place = urlsplit(path)
        sent = b"" if body is None else json.dumps(body).encode()
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "https",
            "path": place.path,
            "raw_path": place.path.encode(),
            "query_string": place.query.encode(),
            "root_path": "",
            "server": ("localhost", 443),
            "client": None,
            "headers": [
                (b"authorization", f"Bearer {token}".encode()),
                (b"content-type", b"application/json"),
                (b"content-length", str(len(sent)).encode()),
            ],
        }
        messages = [{"type": "http.request", "body": sent, "more_body": False}]
        answered: list[Message] = []

        async def receive() -> Message:
            return messages.pop() if messages else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            answered.append(message)

        await self._arm(scope, receive, send)
        status = next(m["status"] for m in answered if m["type"] == "http.response.start")
        whole = b"".join(m.get("body", b"") for m in answered)
        content = json.loads(whole) if whole else None
        if status >= 400:
            error = (content or {})["error"]
            raise ArmError(status, error["code"], error["message"], error.get("target", ""))
        return content
