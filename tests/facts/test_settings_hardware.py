"""The table [hardware] is read like every other: what works is kept, and what does not is named."""

import pytest

from holdfast.facts.settings_hardware import HARDWARE, Board, Hardware
from holdfast.facts.settings_reader import SettingsWrong, read_settings
from tests.architecture.sources import PROJECT

EXAMPLE = PROJECT / "docs" / "examples" / "holdfast.toml"
REDFISH = """\
[hardware]
board = "redfish"
address = "10.0.9.4"
user = "holdfast"
secret_file = "/etc/holdfast/bmc.secret"
insecure = true
"""


def test_nothing_need_be_said() -> None:
    assert read_settings("", "f").hardware == Hardware()
    assert Hardware().board is Board.LOCAL


def test_a_board_over_the_network() -> None:
    hardware = read_settings(REDFISH, "f").hardware
    assert (hardware.board, hardware.address, hardware.user) == (
        Board.REDFISH,
        "10.0.9.4",
        "holdfast",
    )
    assert hardware.insecure


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('board = "redfsh"', "f:2: board must be one of local, ipmi, redfish, none; did you mean"),
        ('board = "ipmi"', "f:2: board = 'ipmi' needs address and user and secret_file"),
        ("period_s = 60", "f:2: period_s must be seconds from 10 to 28, not 60"),
        ("corrected_per_hour = 0", "f:2: corrected_per_hour must be a whole number from 1"),
        ("watch = 1", "f:2: watch must be true or false"),
        ('secret_file = "x"', "f:2: secret_file must be the absolute path"),
        ('user = "-f"', "f:2: user must be a word, in quotes"),  # No option of ipmitool's.
        ("bord = 1", "f:2: bord is not known in [hardware]; did you mean board?"),
    ],
)
def test_a_mistake_is_named(text: str, said: str) -> None:
    with pytest.raises(SettingsWrong) as caught:
        read_settings(f"[hardware]\n{text}\n", "f")
    assert str(caught.value).startswith(said)


def test_two_looks_fit_into_the_promised_minute() -> None:
    assert 2 * 28 <= 60
    with pytest.raises(ValueError, match="10 to 28"):
        HARDWARE["period_s"](31)


def test_the_example_shows_each_key() -> None:
    """Commented out: uncommented, it is whole."""
    table = EXAMPLE.read_text().partition("[hardware]\n")[2].partition("\n\n")[0]
    keys = [line.removeprefix("#").split()[0] for line in table.splitlines()]
    assert keys == list(HARDWARE)
    text = "\n".join(line.removeprefix("#") for line in table.splitlines())
    read = read_settings(f"[hardware]\n{text}\n", "f").hardware
    assert (read.period_s, read.corrected_per_hour) == (
        Hardware().period_s,
        Hardware().corrected_per_hour,
    )
