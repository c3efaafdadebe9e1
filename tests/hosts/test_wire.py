"""Messages as bytes: what comes out is what went in, and what breaks a limit is refused as a whole."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from evoae_cli.hosts import wire
from evoae_cli.outcome import Outcome

TOKEN, FINGERPRINT = b"0123456789abcdef", "a" * 64
LOAN = wire.Loan(id=7, payload=b"work", name="a task", timeout_s=1.5, inputs=[FINGERPRINT], has_output=True)
ENDING = wire.Ending(
    loan=7, kind="lost", outcome=Outcome.CRASHED, payload=b"", reason="killed", worker="cpu-1", run_s=2.5, log="words"
)
REQUESTS: tuple[wire.Request, ...] = (
    wire.Hello("gpu-2", "0.1.0", 4, "NVIDIA H100", 7077),
    wire.Poll(TOKEN, [1, 2], [2], 3, 4, 4, 1.0, "NVIDIA H100"),
    wire.Report(TOKEN, [ENDING]),
    wire.Fetch(TOKEN, FINGERPRINT, 1 << 20),
    wire.Put(TOKEN, 7, 0, b"weights", is_last=True),
    wire.Leave(TOKEN),
    wire.Register("a search", "", 7077),
    wire.Beat(TOKEN, wire.Standing(n_queued=100_000)),
    wire.Unregister(TOKEN),
    wire.Find(),
    wire.Ask(),
)
ANSWERS: tuple[wire.Answer, ...] = (
    wire.Welcome(TOKEN, "a search", 10.0),
    wire.Loans([LOAN], [3], is_over=False),
    wire.Taken(),
    wire.Part(b"images", 1 << 40),
    wire.Registered(TOKEN, 10.0),
    wire.Brokers([wire.Listed("a search", "gpu-1", 7077, wire.Standing(), 0.5)]),
    wire.About(
        *("a search", wire.Standing(), [wire.Guest("gpu-2", "NVIDIA H100", 4, 8, 0.5)]),
        [wire.Helped("another search", "gpu-3:7077", 2, "")],
    ),
    wire.Refused("unknown", "no such session"),
)


def test_every_message_comes_out_as_it_went_in() -> None:
    assert {type(request) for request in REQUESTS} == set(get_args(wire.Request))
    assert {type(answer) for answer in ANSWERS} == set(get_args(wire.Answer))
    for request in REQUESTS:
        assert wire.request_in(wire.packed(request)) == request
    for answer in ANSWERS:
        assert wire.answer_in(wire.packed(answer)) == answer


def test_a_request_is_no_answer_and_an_answer_no_request() -> None:
    with pytest.raises(wire.WireError, match=r"^no answer: "):
        wire.answer_in(wire.packed(REQUESTS[0]))
    with pytest.raises(wire.WireError, match=r"^no request: "):
        wire.request_in(wire.packed(ANSWERS[0]))


@pytest.mark.parametrize("version", [0, 2, 65535])
def test_another_version_is_told_before_anything_else(version: int) -> None:
    data = wire.packed(wire.Ask())
    other = data[:4] + version.to_bytes(2, "big") + b"whatever it says"
    wanted = f"it speaks version {version} of the protocol between hosts, this one {wire.VERSION}"
    with pytest.raises(wire.WireError, match=f"^{wanted}$") as caught:
        wire.request_in(other)
    assert caught.value.kind == "version"


@pytest.mark.parametrize(
    "plain",
    [
        ["hello", "x" * 201, "0.1.0", 4, "", None],
        ["hello", "x", "0.1.0", -1, "", None],
        ["hello", "x", "0.1.0", 4, "", 0],
        ["hello", "x", "0.1.0", 4, "", None, "more"],
        ["hello"],
        ["poll", TOKEN[:15], [], [], 0, 0, 0, 1.0, ""],
        ["poll", TOKEN, [0], [], 0, 0, 0, 1.0, ""],
        ["poll", TOKEN, [], [], 0, 0, 0, float("nan"), ""],
        ["poll", TOKEN, [], [], 0, 0, 0, 61.0, ""],
        ["poll", TOKEN, "ids", [], 0, 0, 0, 1.0, ""],
        ["report", TOKEN, [[7, "eaten", "ok", b"", "", "", 1.0, ""]]],
        ["report", TOKEN, [[7, "lost", "ok", b"x" * 60_001, "", "", 1.0, ""]]],
        ["fetch", TOKEN, "../../etc/passwd", 0],
        ["fetch", TOKEN, FINGERPRINT.upper(), 0],
        ["put", TOKEN, 7, -1, b"", True],
        ["put", TOKEN, 7, 0, bytes(wire.MAX_CHUNK + 1), True],
        ["register", "x", "", 65536],
        ["shutdown"],
        {"hello": 1},
        None,
        7,
    ],
)
def test_what_breaks_a_limit_or_is_of_no_known_kind_is_refused(plain: Any) -> None:
    data = wire.packed(wire.Ask())[:6] + msgspec.msgpack.encode(plain)
    with pytest.raises(wire.WireError) as caught:
        wire.request_in(data)
    assert caught.value.kind == "malformed"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"EVOA", b"EVOA\0\1", b"HTTP/1.1 200 OK", bytes(wire.MAX_MESSAGE + 7)])
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.request_in(data)
    with pytest.raises(wire.WireError):
        wire.answer_in(data)


def test_a_message_that_is_too_long_is_not_sent() -> None:
    endings = [msgspec.structs.replace(ENDING, payload=bytes(60_000))] * 20
    with pytest.raises(ValueError, match="at most"):
        wire.packed(wire.Report(TOKEN, endings))


def structs_in(kind: Any) -> Iterator[Any]:
    """It, and those within it."""
    info = msgspec.inspect.type_info(kind)
    if isinstance(info, msgspec.inspect.StructType):
        yield kind
        for field in info.fields:
            for part in (field.type, getattr(field.type, "item_type", None), *getattr(field.type, "types", ())):
                if isinstance(part, msgspec.inspect.StructType):
                    yield from structs_in(part.cls)


def limits_of(info: Any) -> set[str]:
    """What a field may be, as the page writes it."""
    match info:
        case msgspec.inspect.UnionType(types=types):
            return {limit for part in types for limit in limits_of(part)}
        case msgspec.inspect.ListType(item_type=item, max_length=most):
            return {f"at most {most:,} of them", *limits_of(item)}
        case msgspec.inspect.StrType(pattern=str()):
            return {"64 hex digits, lower case"}
        case msgspec.inspect.StrType(max_length=most):
            return {f"at most {most:,} characters"}
        case msgspec.inspect.BytesType(min_length=least, max_length=most):
            return {f"{most} bytes" if least == most else f"at most {most:,} bytes"}
        case msgspec.inspect.IntType(ge=least, le=most):
            return {f"{least} to {f'2^{most.bit_length() - 1}' if most > 2**20 else f'{most:,}'}"}
        case msgspec.inspect.FloatType(gt=above, ge=least, le=most):
            shown = "10^9" if most == 1e9 else f"{most:,.0f}"
            return {f"above 0, at most {shown} s" if above is not None else f"{least:.0f} to {shown} s"}
        case msgspec.inspect.StructType() | msgspec.inspect.BoolType() | msgspec.inspect.EnumType():
            return set()
        case msgspec.inspect.LiteralType() | msgspec.inspect.NoneType():
            return set()
    raise AssertionError(info)


def test_the_page_on_the_protocol_tells_every_limit() -> None:
    page = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
    rows = [
        line.split("|")[1:3] for line in page.partition("### Limits")[2].partition("###")[0].splitlines() if "|" in line
    ]
    kinds = {found for kind in (*get_args(wire.Request), *get_args(wire.Answer)) for found in structs_in(kind)}
    assert wire.Standing in kinds
    assert wire.Ending in kinds
    for kind in kinds:
        for field in msgspec.inspect.type_info(kind).fields:
            for limit in limits_of(field.type):
                named = [names for names, what in rows if what.strip().startswith(limit)]
                assert any(f"`{field.name}`" in names for names in named), (kind.__name__, field.name, limit)


def test_the_page_on_the_protocol_names_every_message_and_its_fields() -> None:
    page = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
    for kind in (*get_args(wire.Request), *get_args(wire.Answer)):
        tag = kind.__struct_config__.tag
        assert f"`{tag}`" in page, tag
        if kind in get_args(wire.Request):
            (row,) = re.findall(rf"^\| (?:`\w+`, )*`{tag}`(?:, `\w+`)* \|.*$", page, re.MULTILINE)
            assert all(f"`{name}`" in row for name in kind.__struct_fields__), row
