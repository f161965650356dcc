"""What fence agents say is read strictly: one word of power, one line of complaint, no secret."""

import pytest

from holdfast.adapters.drivers.fence_metadata import (
    MOST_WORDS,
    is_secret,
    last_words,
    mask,
    reaches_out,
    read_status,
)


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("Status: OFF\n", "off"),
        ("  status: on  \nthanks", "on"),
        ("Status: OFF\nStatus: OFF\n", "off"),
        ("Status: OFF\nStatus: ON\n", ""),
        ("Status: ON\nStatus: OFF\n", ""),
        ("Status: OFFLINE", ""),
        ("the Status: OFF", ""),
        ("Success: Powered OFF", ""),
        ("", ""),
    ],
)
def test_the_power_is_one_word_on_a_line_of_its_own(said: str, status: str) -> None:
    assert read_status(said) == status


@pytest.mark.parametrize(
    ("said", "complained", "words"),
    [
        (
            "",
            "2026-11-30 09:34:11,455 ERROR: Failed: You have to enter it\n\n",
            "You have to enter it",
        ),
        ("", "ERROR:root:no such module\nWARNING: more\n", "no such module"),
        ("", "a\n\nb\nthe end.\n", "b; the end"),
        ("N/A\n", "", "N/A"),
        ("", "", ""),
        ("", "it is \x1b[31mred\x07", "it is ?[31mred?"),
    ],
)
def test_the_last_words_are_one_line(said: str, complained: str, words: str) -> None:
    assert last_words(said, complained, []) == words


def test_the_last_words_are_short() -> None:
    assert len(last_words("", "x" * 9_000, [])) == MOST_WORDS


def test_a_secret_is_masked_however_it_is_written() -> None:
    secret = "a 'b\"&ü"
    written = (
        secret,
        "'a '\"'\"'b\"&ü'",  # As a shell takes it.
        "a 'b\\\"&\\u00fc",  # As JSON.
        "a%20%27b%22%26%C3%BC",  # As an address holds it, in both ways.
        "a+%27b%22%26%C3%BC",
    )
    for text in written:
        assert mask(f"before {text} after", ["", secret]) == "before *** after"


def test_secrets_are_known_by_their_names() -> None:
    secrets = "password passwd snmp_priv_passwd apikey secret_key access_key token hexadecimal_kg"
    assert [name for name in secrets.split() if not is_secret(name)] == []
    shown = "ip plug username auth auth_url token_file password_script passwd_script plug_separator"
    assert [name for name in shown.split() if is_secret(name)] == []


def test_what_reaches_out_is_known_by_its_name() -> None:
    bad = "password_script snmp_priv_passwd_script ipmitool_path openstack-path debug debug_file"
    bad += " logfile exec ssh_options sudo use_sudo cookie_file"
    assert [name for name in bad.split() if not reaches_out(name)] == []
    fine = "ip password api_path ssh identity_file plug power_wait kubeconfig command_prompt"
    assert [name for name in fine.split() if reaches_out(name)] == []
