"""Where a message may go: to an address that anybody in the Internet could reach, or to a host that
the operator named. Who may write a webhook must not reach what only this server can."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Collection
from ipaddress import IPv4Address, IPv6Address

from hotmend.server.notifications.errors import NotSentError

Lookup = Callable[[str, int], list[str]]
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def look_up(host: str, port: int) -> list[str]:
    """All its addresses. Raises NotSentError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NotSentError(f"{host} has no address: {error}") from None
    return [str(one[4][0]) for one in found]


def address_of(host: str, port: int, allowed: Collection[str], looked_up: Lookup = look_up) -> str:
    """The one to connect to: it is looked up once, so that no second answer can be another one.
    A host of which any address is not public is not reached. Raises NotSentError."""
    found = looked_up(host, port)
    if not found:
        raise NotSentError(f"{host} has no address")
    if host.lower() not in allowed:
        for address in found:
            if not is_public(address):
                raise NotSentError(
                    f"{host} is {address}, which is not a public address; "
                    "an operator may put the host into allowed_hosts"
                )
    return found[0]


def is_public(text: str) -> bool:
    """Neither private, loopback, link-local (where clouds keep their metadata), multicast nor
    reserved; an IPv4 address inside an IPv6 one counts as itself."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    inner = _inner(address)
    return all(one.is_global and not one.is_multicast for one in (inner, address) if one)


def _inner(address: IPv4Address | IPv6Address) -> IPv4Address | None:
    if isinstance(address, IPv4Address):
        return None
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
