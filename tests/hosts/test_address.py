import pytest

from evoae_cli.errors import UsageError
from evoae_cli.hosts.address import Address, parse_address


def test_addresses_are_read_as_people_write_them() -> None:
    assert parse_address("--listen", "7077", default_host="127.0.0.1") == ("127.0.0.1", 7077)
    assert parse_address("--listen", " gpu-1.lab:7077 ", default_host="127.0.0.1") == ("gpu-1.lab", 7077)
    assert parse_address("HOST:PORT", "10.0.0.4:1") == ("10.0.0.4", 1)
    assert parse_address("--listen", "0.0.0.0:0", least_port=0) == ("0.0.0.0", 0)
    assert str(parse_address("HOST:PORT", "gpu-1:7077")) == "gpu-1:7077"


@pytest.mark.parametrize("text", ["", "7077", ":7077", "a b:7077", "-x:7077", "user@x:7077"])
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"^HOST:PORT .* is no address; write HOST:PORT, as 192\.168\.1\.5:7077$"):
        parse_address("HOST:PORT", text)


@pytest.mark.parametrize("text", ["x:", "x:0", "x:65536", "x:-1", "x:seven", "x:7077/"])
def test_ports_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--listen .* has no port that can be; use 1 to 65535, as in x:7077$"):
        parse_address("--listen", text, default_host="127.0.0.1")


def test_numbers_of_version_6_are_refused_as_such() -> None:
    with pytest.raises(UsageError, match=r"^HOST:PORT '\[::1\]:7077' is an IPv6 address, which cannot be used; "):
        parse_address("HOST:PORT", "[::1]:7077")


def test_it_is_known_who_can_reach_an_address() -> None:
    assert all(Address(host, 1).is_loopback for host in ("127.0.0.1", "127.8.8.8", "localhost"))
    assert not any(Address(host, 1).is_loopback for host in ("0.0.0.0", "10.0.0.1", "gpu-1", "localhost.example.org"))
    assert Address("0.0.0.0", 1).is_any
    assert not Address("10.0.0.1", 1).is_any
