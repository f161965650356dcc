"""`config check` names what the text and what the machine have against the settings."""

import json
from pathlib import Path

import pytest

from tests.faces.conftest import Run
from tests.faces.programs_that_answer import answering


def test_settings_that_are_well_are_summed_up(run: Run, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0o600)
    file = tmp_path / "well.toml"
    file.write_text(
        f'[webhook.noc]\nurl = "http://127.0.0.1:1/"\nsecret_file = "{secret}"\n[group.a]\n'
    )
    ran = run("config", "check", str(file))
    assert (ran.code, ran.out) == (0, f"{file} is well: webhook noc; group a\n")


def test_every_mistake_is_shown_and_nothing_is_started(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "ill.toml"
    file.write_text('[hots]\n[group.a]\nlevel = 9\nownr = "x"\n')
    for words in (("config", "check", str(file)), ("agent", "--config", str(file))):
        ran = run(*words)
        assert ran.code == 2
        assert ran.err.splitlines() == [
            "holdfast: 3 mistakes in the settings",
            f"  {file}:1: [hots] is not known; did you mean host?",
            f"  {file}:3: level must be a whole number from 1 to 3, not 9",
            f"  {file}:4: ownr is not known in [group.a]; did you mean owner?",
        ]


@pytest.mark.parametrize(
    ("mode", "text", "said"),
    [
        (None, "", "cannot be read: No such file or directory"),
        (0o640, "x", "is open to others than its owner: chmod 600"),
        (0o600, " \n", "is empty"),
    ],
)
def test_a_secret_is_there_and_its_owners_alone(
    run: Run, tmp_path: Path, mode: int | None, text: str, said: str
) -> None:
    secret = tmp_path / "secret"
    if mode is not None:
        secret.write_text(text)
        secret.chmod(mode)
    file = tmp_path / "holdfast-secret.toml"
    file.write_text(f'[webhook.noc]\nurl = "http://a/"\nsecret_file = "{secret}"\n')
    ran = run("config", "check", str(file))
    assert ran.code == 2
    assert f"[webhook.noc] secret_file {secret} {said}" in ran.err


def test_a_program_to_run_must_be_there(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "exec.toml"
    file.write_text(f'[exec.mail]\ncommand = ["{tmp_path}/absent"]\n')
    ran = run("config", "check", str(file))
    assert ran.code == 2
    assert f"[exec.mail] command {tmp_path}/absent does not exist" in ran.err


@pytest.mark.parametrize("words", [("status",), ("config", "check"), ("agent",), ("up",)])
def test_a_file_that_was_named_must_be_there(
    run: Run, tmp_path: Path, words: tuple[str, ...]
) -> None:
    ran = run("--config", str(tmp_path / "absent.toml"), *words)
    assert ran.code == 2
    assert f"there is no settings file {tmp_path}/absent.toml" in ran.err


def test_a_file_that_is_no_text_is_named(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "binary.toml"
    file.write_bytes(b"\xff\xfe")
    ran = run("config", "check", str(file))
    assert (ran.code, ran.err) == (2, f"holdfast: cannot read {file}: it is not UTF-8 text\n")


@pytest.mark.parametrize(
    "words",
    [
        ("config", "check", "/dev/zero"),
        ("group", "set", "web", "--template", "/dev/zero"),
        ("fence", "set", "h2", "fence_ipmilan", "--secrets-from", "/dev/zero"),
        ("--controller", "https://10.0.9.9", "--token-file", "/dev/zero", "status"),
        ("replay", "h2-1", "--settings", "/dev/zero"),
    ],
)
def test_a_device_without_an_end_is_read_to_its_limit(run: Run, words: tuple[str, ...]) -> None:
    ran = run(*words)
    assert (ran.code, ran.err.splitlines()[0]) == (
        2,
        "holdfast: cannot read /dev/zero: it is larger than 1 MiB",
    )


def test_who_only_asks_is_not_stopped_by_a_mistake_in_the_settings(
    run: Run, site_dir: Path, run_dir: Path
) -> None:
    file = site_dir / "holdfast.toml"
    file.write_text(file.read_text() + "[webhook.noc]\nurll = 1\n")
    with answering(run_dir, "controller", {"alarms": []}):
        ran = run("alarms")
    assert ran.code == 0
    assert "mistakes in the settings; asking all the same\n  holdfast config check" in ran.err
    assert run("agent").code == 2


def test_programs_read_mistakes_as_json(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "ill.toml"
    file.write_text("[hots]\n")
    ran = run("config", "check", "--json", str(file))
    told = json.loads(ran.out)
    assert (ran.code, told["is_well"]) == (2, False)
    assert told["problems"] == [f"{file}:1: [hots] is not known; did you mean host?"]
    file.write_text("[group.a]\n")
    ran = run("config", "check", "--json", str(file))
    told = json.loads(ran.out)
    assert (ran.code, told["is_well"], told["groups"]) == (0, True, ["a"])
