"""A pulse says what was meant to whoever holds the key, across versions; no other is believed."""

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.facts.layers import Layer, LayerState, Plan
from holdfast.facts.pulse import (
    DIGEST_BYTES,
    LONGEST_AGE_MS,
    MALFORMED,
    NAMES_AT,
    OTHER_VERSION,
    VERSION,
    WRONG_KEY,
    Grant,
    Kind,
    Names,
    Pulse,
    PulseRefused,
    Word,
    decode,
    decode_grant,
    decode_probe,
    encode,
    encode_each,
    encode_grant,
    encode_probe,
    peek,
    read_key,
    read_said,
    sign,
)

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
PULSE = Pulse(
    names=Names("0123abcd", "storage", "89abcdef-01234567"),
    sequence=7,
    sent_ns=12_345,
    plan=Plan.PULSE_RESTARTS,
    plan_limit_ms=5_000,
    layers={
        Layer.AGENT: Word(LayerState.WELL, 20),
        Layer.LIBVIRT: Word(LayerState.ILL, LONGEST_AGE_MS),
    },
)

texts = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)
words = st.builds(Word, st.sampled_from(LayerState), st.integers(0, LONGEST_AGE_MS))
pulses = st.builds(
    Pulse,
    names=st.builds(Names, texts, texts, texts, texts),
    sequence=st.integers(0, 2**64 - 1),
    sent_ns=st.integers(0, 2**64 - 1),
    plan=st.sampled_from(Plan),
    plan_limit_ms=st.integers(0, 2**32 - 1),
    layers=st.dictionaries(st.sampled_from(Layer), words),
)


@given(pulses, st.sets(texts, min_size=1, max_size=3))
def test_each_plane_has_the_same_pulse_in_its_name(pulse: Pulse, planes: set[str]) -> None:
    with contextlib.suppress(ValueError):  # Names that are too long are refused by both.
        alone = {
            p: encode(replace(pulse, names=pulse.names._replace(plane=p)), KEY) for p in planes
        }
        assert encode_each(pulse, planes, KEY) == alone


def unsigned(data: bytes) -> bytes:
    return data[:-DIGEST_BYTES]


@given(pulses, st.sampled_from([Kind.PULSE, Kind.ANSWER]))
def test_what_was_said_is_read(pulse: Pulse, kind: Kind) -> None:
    data = encode(pulse, KEY, kind)
    assert decode(data, KEY, kind) == pulse
    assert len(data) < 512


@given(pulses)
def test_another_key_is_not_believed(pulse: Pulse) -> None:
    with pytest.raises(PulseRefused) as refused:
        decode(encode(pulse, OTHER_KEY), KEY)
    assert refused.value.reason == WRONG_KEY


@given(st.binary(max_size=600))
def test_rubbish_is_refused_with_a_reason(data: bytes) -> None:
    for read in (lambda: decode(data, KEY), lambda: decode_probe(data, KEY)):
        with pytest.raises(PulseRefused) as refused:
            read()
        assert refused.value.reason in (MALFORMED, OTHER_VERSION, WRONG_KEY)


@given(st.binary(max_size=400))
def test_rubbish_that_is_signed_is_read_or_refused(body: bytes) -> None:
    data = encode(PULSE, KEY)
    head = data[: NAMES_AT + data[5]]
    with contextlib.suppress(PulseRefused):  # Any other exception would end the ear.
        decode(sign(head + body, KEY), KEY)


@given(st.integers(0, len(encode(PULSE, KEY)) * 8 - 1))
def test_one_changed_bit_is_enough_to_be_refused(bit: int) -> None:
    data = bytearray(encode(PULSE, KEY))
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(PulseRefused):
        decode(bytes(data), KEY)


@given(st.integers(0, len(encode(PULSE, KEY)) - 1))
def test_what_was_cut_short_is_refused(length: int) -> None:
    with pytest.raises(PulseRefused):
        decode(encode(PULSE, KEY)[:length], KEY)


@pytest.mark.parametrize(("version", "is_read"), [(-1, True), (0, True), (1, True), (2, False)])
def test_versions_work_together_when_they_are_one_apart(version: int, is_read: bool) -> None:
    data = unsigned(encode(PULSE, KEY))
    other = sign(data[:3] + bytes((VERSION + version,)) + data[4:], KEY)
    if is_read:
        assert decode(other, KEY) == PULSE
    else:
        with pytest.raises(PulseRefused, match="it is version 3, and this is 1") as refused:
            decode(other, KEY)
        assert refused.value.reason == OTHER_VERSION


def test_what_a_newer_version_adds_is_left_out() -> None:
    """More names, more layers, more states and plans, and more fields after all of them."""
    names = b"0123abcd\na\n1-2\n\nnew"
    head = b"HFP" + bytes((VERSION + 1, Kind.PULSE, len(names))) + names
    numbers = (7).to_bytes(8, "big") + (9).to_bytes(8, "big")
    said = bytes((200,)) + (40).to_bytes(4, "big") + bytes((3, 0, 1, 99, 1, 1, 250))
    ages = b"".join(age.to_bytes(2, "big") for age in (10, 20, 30))
    newer = sign(head + numbers + said + ages + b"and more", KEY)
    assert decode(newer, KEY) == Pulse(
        names=Names("0123abcd", "a", "1-2"),
        sequence=7,
        sent_ns=9,
        plan=Plan.NONE,
        plan_limit_ms=40,
        layers={
            Layer.AGENT: Word(LayerState.WELL, 10),
            Layer.LIBVIRT: Word(LayerState.UNKNOWN, 30),
        },
    )


def test_a_pulse_is_no_answer_and_an_answer_is_no_pulse() -> None:
    with pytest.raises(PulseRefused, match="kind 1"):
        decode(encode(PULSE, KEY), KEY, Kind.ANSWER)
    with pytest.raises(PulseRefused, match="kind 3"):
        decode(encode(PULSE, KEY, Kind.ANSWER), KEY)


def test_a_probe_names_whom_it_asks_and_can_be_made_by_who_holds_the_key_alone() -> None:
    probe = encode_probe("0123abcd", "a", b"n" * 16, KEY)
    assert decode_probe(probe, KEY) == Names("0123abcd", "a", "", (b"n" * 16).hex())
    with pytest.raises(PulseRefused, match=WRONG_KEY):
        decode_probe(probe, OTHER_KEY)
    with pytest.raises(PulseRefused, match="nonce"):
        decode_probe(encode_probe("0123abcd", "a", b"n", KEY), KEY)


@pytest.mark.parametrize("names", [Names("a\nb", "c"), Names("ä", "b"), Names("a" * 300, "b")])
def test_a_name_that_cannot_be_said_is_refused_by_the_sender(names: Names) -> None:
    with pytest.raises(ValueError, match="pulse"):
        encode(Pulse(names=names), KEY)


@pytest.mark.parametrize("names", [b"", b"\n", b"host\n", b"\nplane", b"\xff\nplane"])
def test_a_datagram_must_name_host_and_plane(names: bytes) -> None:
    head = b"HFP" + bytes((VERSION, Kind.PULSE, len(names))) + names
    with pytest.raises(PulseRefused, match=MALFORMED):
        peek(sign(head, KEY), Kind.PULSE)


def test_the_part_that_seldom_changes_is_read_alone() -> None:
    said = read_said(bytes((2, 0, 0, 0, 9, 1, 1, 2)) + b"more")
    assert (said.plan, said.plan_limit_ms) == (Plan.HOST_STOPS, 9)
    assert said.layers == {Layer.LIBVIRT: LayerState.ILL}


@pytest.mark.parametrize("text", ["", "zz", "00" * 31, "00" * 33])
def test_a_key_has_its_length(text: str) -> None:
    with pytest.raises(ValueError, match=r"key|hex"):
        read_key(text)


def test_a_key_is_read_from_its_line() -> None:
    assert read_key("00" * 32 + "\n") == bytes(32)


GRANT = Grant(PULSE.names, 7, 12_345, 3)


def test_a_grant_says_which_pulse_it_answers_and_what_a_newer_one_adds_is_skipped() -> None:
    data = encode_grant(GRANT, KEY)
    assert decode_grant(data, KEY) == GRANT
    newer = sign(data[:-DIGEST_BYTES] + b"more", KEY)
    assert decode_grant(newer, KEY) == GRANT


def test_a_grant_of_another_key_a_half_one_and_a_pulse_are_refused() -> None:
    data = encode_grant(GRANT, KEY)
    with pytest.raises(PulseRefused, match=WRONG_KEY):
        decode_grant(data, OTHER_KEY)
    with pytest.raises(PulseRefused, match=MALFORMED):
        decode_grant(sign(data[: -DIGEST_BYTES - 1], KEY), KEY)
    with pytest.raises(PulseRefused, match=MALFORMED):
        decode_grant(encode(PULSE, KEY), KEY)
    with pytest.raises(PulseRefused, match=MALFORMED):  # One of the version before does the same.
        decode(data, KEY)
