"""A fleet's rollouts by name: how they stand, and steering them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from hotmend.client.api import Api
from hotmend.client.errors import ClientError

DEEDS = ("pause", "resume", "halt", "promote", "cancel")


class Rollouts:
    """Of one login. Everything raises ClientError."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._place = f"/subscriptions/{api.login.subscription}/providers/Hotmend.Fleet"

    def all(self) -> list[dict[str, Any]]:
        """The newest first."""
        return list(self._api.get(f"{self._place}/rollouts")["value"])

    def one(self, name: str) -> dict[str, Any]:
        """By its id, or by the beginning of its name where only one has that; with its phases."""
        known = [r for r in self.all() if r["id"] == name or r["name"].startswith(name)]
        if len(known) != 1:
            many = f"{len(known)} rollouts begin" if known else "no rollout begins"
            raise ClientError(f"{many} with {name} → hotmend rollouts")
        found: dict[str, Any] = self._api.get(self._path(known[0]["id"]))
        return found

    def turns(self, identifier: str, state: str = "") -> Iterator[dict[str, Any]]:
        """Its machines, page after page; those in ``state``, or all."""
        path = f"{self._path(identifier)}/turns" + (f"?state={quote(state)}" if state else "")
        while path:
            page = self._api.get(path)
            yield from page["value"]
            path = page.get("nextLink", "")

    def act(self, identifier: str, deed: str, because: str) -> dict[str, Any]:
        """One of ``DEEDS``; the rollout as it is then."""
        body = {"because": because}
        done: dict[str, Any] = self._api.send("POST", f"{self._path(identifier)}/{deed}", body)
        return done

    def exclude(self, identifier: str, machine: str, because: str) -> dict[str, Any]:
        """A machine, by the id that its turn has."""
        body = {"machine": machine, "because": because}
        done: dict[str, Any] = self._api.send("POST", f"{self._path(identifier)}/exclude", body)
        return done

    def settings(self) -> dict[str, Any]:
        """Those that are not as they come."""
        found: dict[str, Any] = self._api.get(f"{self._place}/rolloutSettings/default")
        return found

    def set(self, settings: dict[str, Any]) -> None:
        """All of them at once; rollouts that have begun keep their own."""
        self._api.send("PUT", f"{self._place}/rolloutSettings/default", settings)

    def _path(self, identifier: str) -> str:
        return f"{self._place}/rollouts/{quote(identifier, safe='')}"
