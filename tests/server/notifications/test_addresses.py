"""Where a message may go."""

from __future__ import annotations

import pytest

from hotmend.server.notifications.addresses import address_of, is_public, look_up
from hotmend.server.notifications.errors import NotSentError


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1"),
        *("169.254.169.254", "100.64.0.1", "198.18.0.1", "224.0.0.1", "255.255.255.255"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fd00::1", "fd00:ec2::254", "ff02::1"),
        *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:7f00:1::"),
        *("", "localhost", "2130706433"),
    ],
)
def test_what_only_this_server_can_reach_is_not_reached(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "20.50.2.1", "2606:4700:4700::1111", "64:ff9b::101:101"]
)
def test_what_anybody_can_reach_is(address: str) -> None:
    assert is_public(address)
    assert address_of("example.com", 443, (), lambda *_: [address]) == address


def test_one_private_address_among_public_ones_is_one_too_many() -> None:
    with pytest.raises(NotSentError, match=r"example\.com is 10\.0\.0\.1, which is not a public"):
        address_of("example.com", 443, (), lambda *_: ["1.1.1.1", "10.0.0.1"])


def test_an_operator_may_name_a_host() -> None:
    assert (
        address_of("Hooks.Internal", 1, {"hooks.internal"}, lambda *_: ["10.0.0.1"]) == "10.0.0.1"
    )
    with pytest.raises(NotSentError, match="not a public address"):
        address_of("other.internal", 1, {"hooks.internal"}, lambda *_: ["10.0.0.1"])


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "2130706433", "0x7f.1", "[::1]"])
def test_other_spellings_of_this_machine_are_this_machine(host: str) -> None:
    """By the system's own resolver."""
    with pytest.raises(NotSentError):
        address_of(host, 80, ())


def test_a_name_that_is_none_is_said() -> None:
    with pytest.raises(NotSentError, match="has no address"):
        look_up("nobody.invalid", 443)
