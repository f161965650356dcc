"""Settings are read whole, and every mistake is named at once with its line."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.facts.promises import Admission, Owner, Spread
from holdfast.facts.settings import Settings, Webhook
from holdfast.facts.settings_reader import SECTIONS, SettingsWrong, read_settings
from tests.architecture.sources import PROJECT

EXAMPLE = PROJECT / "docs" / "examples" / "holdfast.toml"
UNSET = {"host_name", "rack", "switch", "zone", "etcd_endpoints"}  # Nothing by default.
MANY_MISTAKES = """\
[hots]
name = "a"

[storage]
state_dir = "var"
journal_mib = 0
recorder_mib = true

[webhook.a]
ulr = "http://a"

[webhook.b]
url = "ftp://b"
heartbeat_s = 0

[exec.a]
command = "mail"

[group.g]
owner = "externl"
level = 7
dump = "yes"
"""
ALL_NAMED = """\
f:1: [hots] is not known; did you mean host?
f:5: state_dir must be an absolute path, and 'var' does not begin with /
f:6: journal_mib must be a whole number from 1 to 1048576 (MiB), not 0
f:7: recorder_mib must be a whole number from 1 to 1048576 (MiB), not true
f:9: [webhook.a] lacks url
f:10: ulr is not known in [webhook.a]; did you mean url?
f:13: url must be a URL like http://HOST:PORT/PATH, and 'ftp://b' is none
f:14: heartbeat_s must be seconds from 1 to 3600, not 0
f:16: [exec.a] has the name of [webhook.a]; give it another
f:17: command must be a list of words, like ["/usr/local/bin/mail-alarm", "--brief"]
f:20: owner must be one of holdfast, external, nobody; did you mean external?
f:21: level must be a whole number from 1 to 3, not 7
f:22: dump must be true or false, not 'yes'"""


def mistakes(text: str) -> str:
    with pytest.raises(SettingsWrong) as raised:
        read_settings(text, "f")
    return str(raised.value)


def test_no_settings_are_the_defaults() -> None:
    assert read_settings("", "f") == Settings()


def test_shared_paths_are_folders() -> None:
    text = '[libvirt]\nshared_paths = ["/srv/a", "/dev/shared"]'
    assert read_settings(text, "f").shared_paths == ("/srv/a", "/dev/shared")


def test_every_mistake_is_named_at_once_with_its_line() -> None:
    assert mistakes(MANY_MISTAKES) == ALL_NAMED


def test_the_example_loads() -> None:
    settings = read_settings(EXAMPLE.read_text(), str(EXAMPLE))
    [webhook], [program], [group] = settings.webhooks, settings.execs, settings.groups
    assert (webhook.name, program.name, group.name) == ("noc", "mail", "gateways")
    assert (group.owner, group.level) == (Owner.HOLDFAST, 1)
    assert (group.priority, group.spread, group.admit) == (10, Spread.HOST, Admission.WARN)


def test_the_example_shows_every_key_and_the_true_defaults() -> None:
    text = EXAMPLE.read_text()
    uncommented = "".join(
        line[1:] if line.startswith("#") and line[1:2].isalpha() else line
        for line in text.splitlines(keepends=True)
    )
    settings = read_settings(uncommented, "f")
    assert settings.state_dir == Settings().state_dir
    for keys in SECTIONS.values():
        for key, (field, _) in keys.items():
            assert f"{key} = " in text, f"the example does not show {key}"
            if field not in UNSET:
                assert getattr(settings, field) == getattr(Settings(), field), key


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = ", "f:1: this is not TOML: invalid value"),
        ("[host]\n[host]\n", "f:2: this is not TOML: cannot declare ('host',) twice"),
        ('[host]\nname = "a', "f:2: this is not TOML: unterminated string"),
        ("[webhook.a]\n[webhook.a]\n", "f:2: this is not TOML: cannot declare"),
        ("[a", "f:1: this is not TOML: "),
    ],
)
def test_what_is_not_toml_is_named_with_its_line(text: str, said: str) -> None:
    assert said in mistakes(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("host = 4", "f:1: host must be a table: [host]"),
        ("webhook = 3", "f:1: webhook must be tables with names: [webhook.NAME]"),
        ('[[webhook]]\nurl = "http://a"', "f:1: webhook must be tables with names"),
        ('[webhook]\nurl = "http://a"', "f:2: webhook needs a name before its keys"),
        ("host.name = 5", "f:1: name must be the host's name, in quotes"),
        ('host = { nam = "a" }', "f:1: nam is not known in [host]; did you mean name?"),
        ("frobnicate = 1", "f:1: frobnicate is not known; known are host, site, storage, libvirt"),
        ('["group"."a b"]\nlevel = 1', "f:1: [group.'a b']: a name has letters, digits"),
        ('[webhook.a]\nurl = "http://[::1"', "f:2: url must be a URL"),
        ('[webhook.a]\nurl = "http://a:99999/"', "f:2: url must be a URL"),
        ('[webhook.a]\nurl = "/alarms"', "f:2: url must be a URL"),
        ('[webhook.a]\nurl = "http://a/\\nb"', "f:2: url must be a URL"),
        ('[webhook.a]\nurl = "http://a/b c"', "f:2: url must be a URL"),
        ('[exec.a]\ncommand = ["mail"]', "f:2: command must begin with an absolute path"),
        ("[exec.a]\ncommand = []", "f:2: command must be a list of words"),
        ("[exec.a]\ntimeout_s = 1", "f:1: [exec.a] lacks command"),
        ("[group.a]\nlevel = 1.5", "f:2: level must be a whole number from 1 to 3, not 1.5"),
        (
            '[plane.a]\naddress = "10.77.0.1"\n[plane.b]\naddress = "10.77.0.1"',
            "f:3: [plane.b] a and b both have 10.77.0.1, and one address is one plane",
        ),
        (
            '[controller.c]\naddress = "::1"\nplanes = { a = "fd00::1", b = "fd00:0::1" }',
            "f:3: planes must have an address of its own for each plane: a and b both have fd00::1",
        ),
        ('[libvirt]\nshared_paths = "/srv"', "f:2: shared_paths must be a list of folders"),
        ('[libvirt]\nshared_paths = ["srv"]', "f:2: shared_paths must be an absolute path"),
        ('[libvirt]\nshared_paths = ["/"]', "f:2: shared_paths must not name /"),
        ("[group.a]\nrestarts_window_s = 0", "f:2: restarts_window_s must be a whole number"),
        ("[acting]\nfence_after_s = 2.9", "f:2: fence_after_s must be seconds from 3 to 600"),
        ("[acting]\nbrake_percent = 60", "f:2: brake_percent must be a whole number from 10 to 50"),
        ("[acting]\nhost_losses = 3", "f:2: host_losses must be a whole number from 0 to 2"),
        ("[group.a]\npriority = 101", "f:2: priority must be a whole number from -100 to 100"),
        ('[group.a]\nspread = "rak"', "f:2: spread must be one of none, host, rack; did you mean"),
        ('[group.a]\nzones = "all"', "f:2: zones must be one of same, any"),
        ('[host]\nroles = ["computer"]', "f:2: roles must be a list of compute, storage, control"),
        ("[host]\nroles = []", "f:2: roles must be a list of compute, storage, control"),
        ('[host]\nroles = "compute"', "f:2: roles must be a list of compute, storage, control"),
        ("[host]\nroles = [1]", "f:2: roles must be a list of compute, storage, control"),
        ("[group.a]\nadmit = 1", "f:2: admit must be one of warn, refuse"),
    ],
)
def test_a_mistake_is_named_with_what_is_allowed(text: str, said: str) -> None:
    assert said in mistakes(text)


def test_a_name_given_twice_counts_even_among_other_mistakes() -> None:
    text = '[webhook.a]\nurl = "http://a"\n[exec.a]\ncommand = ["/bin/true"]\n'
    assert mistakes(text) == "f:3: [exec.a] has the name of [webhook.a]; give it another"


def test_dotted_and_quoted_keys_mean_the_same() -> None:
    tables = read_settings('[webhook."a.b"]\nurl = "http://a/x"\nheartbeat_s = 5\n', "f")
    dotted = read_settings('webhook."a.b" = { url = "http://a/x", heartbeat_s = 5 }\n', "f")
    assert tables == dotted
    assert tables.webhooks == (Webhook(name="a.b", url="http://a/x", heartbeat_s=5.0),)


@given(st.text(alphabet="[]=.\"'ab\n#{} 1,", max_size=60))
def test_whatever_the_text_it_is_settings_or_named_mistakes(text: str) -> None:
    try:
        read_settings(text, "f")
    except SettingsWrong as wrong:
        lines = [problem.line for problem in wrong.problems]
    else:
        return
    assert lines
    assert all(1 <= line <= len(text.splitlines()) + 1 for line in lines)


def test_the_reader_touches_no_file(tmp_path: Path) -> None:
    missing = tmp_path / "secret"
    text = f'[webhook.a]\nurl = "http://a"\nsecret_file = "{missing}"\n'
    assert read_settings(text, "f").webhooks[0].secret_file == str(missing)
