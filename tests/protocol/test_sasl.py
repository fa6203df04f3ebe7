from base64 import b64encode

import pytest

from mailsuite.protocol.sasl import Credentials, LoginExchange, PlainExchange, SaslError, decode_response


def plain(response):
    return PlainExchange().step(decode_response(response))


def test_plain():
    assert plain(b64encode(b"\0tim\0tanstaaftanstaaf")) == Credentials("tim", "tanstaaftanstaaf")
    assert plain(b64encode("Ursel\0Kurt\0xipj3 plmq ü".encode())) == Credentials("Kurt", "xipj3 plmq ü", "Ursel")


@pytest.mark.parametrize(
    "response",
    [
        b"not base64!",
        b"AGE",
        b64encode(b"tim\0secret"),
        b64encode(b"\0tim\0secret\0more"),
        b64encode(b"\0\0secret"),
        b64encode(b"\0tim\0"),
        b"A" * 4000,
        b"=",
        b"",
    ],
)
def test_malformed_plain(response):
    with pytest.raises(SaslError):
        plain(response)


def test_plain_with_and_without_initial_response():
    assert PlainExchange().step(None) == b""
    assert PlainExchange().step(b"\0ann\0secret") == Credentials("ann", "secret")


def test_nobody_acts_as_another():
    assert Credentials("ann", "secret", "bob").acts_as_other
    assert Credentials("ann@example.org", "secret", "bob@example.org").acts_as_other
    assert Credentials("ann@example.org", "secret", "ann").acts_as_other


@pytest.mark.parametrize(
    ("name", "identity"),
    [
        ("ann", ""),
        ("ann", "ANN"),
        ("alice@example.test", "Alice@Example.Test"),
        ("jörg@bücher.example", "JO\u0308RG@xn--bcher-kva.example"),
        ("ann@example.org", " ann@example.org"),
    ],
)
def test_who_writes_the_own_name_in_another_way_acts_as_nobody_else(name, identity):
    assert not Credentials(name, "secret", identity).acts_as_other


def test_login():
    exchange = LoginExchange()
    assert exchange.step(None) == b"Username:"
    assert exchange.step(b"ann") == b"Password:"
    assert exchange.step(b"secret") == Credentials("ann", "secret")


def test_login_with_initial_response():
    exchange = LoginExchange()
    assert exchange.step(b"ann") == b"Password:"
    assert exchange.step(b"secret") == Credentials("ann", "secret")


def test_single_equals_sign_is_an_empty_response():
    assert decode_response(b"=") == b""
