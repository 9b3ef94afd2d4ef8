"""SPF macros: the examples of RFC 7208 section 7.4, what a receiver takes for an error, and what cannot be known."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.dns.spf_macro import check_macros, expand

FOUR = ipaddress.ip_address("192.0.2.3")
SIX = ipaddress.ip_address("2001:db8::cb01")
DOMAIN = "email.example.com"


@pytest.mark.parametrize(
    ("text", "ip", "name"),
    [
        ("%{o}", FOUR, "email.example.com"),
        ("%{d}", FOUR, "email.example.com"),
        ("%{d4}", FOUR, "email.example.com"),
        ("%{d2}", FOUR, "example.com"),
        ("%{d1}", FOUR, "com"),
        ("%{dr}", FOUR, "com.example.email"),
        ("%{d2r}", FOUR, "example.email"),
        ("%{ir}.%{v}._spf.%{d2}", FOUR, "3.2.0.192.in-addr._spf.example.com"),
        (
            "%{ir}.%{v}._spf.%{d2}", SIX,
            "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6._spf.example.com",
        ),
        ("%{I}.%%%_%-X.example", FOUR, "192.0.2.3.% %20x.example"),
        ("%{d-}.example", FOUR, "email.example.com.example"),
        ("%{l}.example", FOUR, ""),
        ("%{s}._spf.example", FOUR, ""),
        ("%{h}.example", FOUR, ""),
    ],
)  # fmt: skip
def test_a_macro_means_what_the_rfc_says(text: str, ip: ipaddress.IPv4Address, name: str) -> None:
    check_macros(text)
    assert expand(text, ip=ip, domain=DOMAIN, sender_domain=DOMAIN) == name


@pytest.mark.parametrize(
    "text", ["%", "%{d", "%{z}", "%(d)", "%{d0}", "%{c}.example", "%{t}", "100%.example", "%{d2rr}"]
)
def test_what_a_receiver_takes_for_an_error_is_one(text: str) -> None:
    with pytest.raises(ValueError, match="%"):
        check_macros(text)


@given(st.text(max_size=60))
def test_any_text_is_an_error_or_a_name_of_bounded_length(text: str) -> None:
    try:
        check_macros(text)
    except ValueError:
        return
    assert len(expand(text, ip=FOUR, domain=DOMAIN, sender_domain=DOMAIN)) <= 253
