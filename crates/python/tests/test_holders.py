"""Where values are, and copies for workers that are to have them."""

from __future__ import annotations

import os

import pytest

from bireme import Client

#: More than messages carry.
LARGE = 1 << 20


def test_who_has_what(client: Client) -> None:
    first, second = list(client.nthreads())
    large = client.submit(os.urandom, LARGE, workers=[first], pure=False)
    assert len(large.result()) == LARGE
    assert client.who_has(large) == {large.key: [first]}
    named = client.submit(os.urandom, LARGE, workers=[second], key="large-of-the-second")
    assert len(named.result()) == LARGE
    assert "large-of-the-second" in client.has_what()[second]
    assert client.has_what([first]) == {first: []}


def test_scattered_values_go_where_they_are_told(client: Client) -> None:
    addresses = list(client.nthreads())
    everywhere = client.scatter(os.urandom(LARGE), broadcast=True)
    assert client.who_has(everywhere)[everywhere.key] == sorted(addresses)
    for address in addresses:
        there = client.scatter(os.urandom(LARGE), workers=[address])
        assert address in client.who_has(there)[there.key]
    with pytest.raises(ValueError, match="no worker 'nobody'"):
        client.scatter(1, workers=["nobody"])
    with pytest.raises(ValueError, match="no timeout"):
        client.scatter(1, timeout=1)
