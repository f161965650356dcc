"""The command line on another machine: a URL, a token, the site's CA, and clear words without."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from holdfast.faces.cli import main
from holdfast.facts.roles import Role
from tests.faces.api.site import Api, api


@contextmanager
def site_in_a_thread(folder: Path) -> Iterator[Api]:
    """With tokens of each role made."""
    loop = asyncio.new_event_loop()
    ended, is_up, found = asyncio.Event(), threading.Event(), list[Api]()

    async def serve() -> None:
        async with api(folder) as site:
            for role in Role:
                await site.token(role)
            found.append(site)
            is_up.set()
            await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert is_up.wait(20)
        yield found[0]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(20)
        loop.close()


@pytest.fixture
def site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Api]:
    """Where the command line is, no Holdfast runs: its settings are of another place."""
    (tmp_path / "here").mkdir()
    file = tmp_path / "here" / "holdfast.toml"
    file.write_text(f'[storage]\nrun_dir = "{tmp_path}/here"\nstate_dir = "{tmp_path}/here"\n')
    monkeypatch.setenv("HOLDFAST_CONFIG", str(file))
    with site_in_a_thread(tmp_path / "site") as found:
        monkeypatch.setenv("HOLDFAST_API", f"https://127.0.0.1:{found.port}")
        monkeypatch.setenv("HOLDFAST_CA", str(tmp_path / "site/tls/ca.crt"))
        capsys.readouterr()
        yield found


def test_a_token_shows_and_changes_what_its_role_may(
    site: Api,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "token"
    file.write_text(site.tokens[Role.SEE] + "\n")
    assert main.run(["--token-file", str(file), "vm", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"vms": [], "from": "controller"}
    assert main.run(["--token-file", str(file), "arm"]) == 4
    assert "has the role see, and this needs operate: POST /v1/arm" in capsys.readouterr().err
    monkeypatch.setenv("HOLDFAST_TOKEN", site.tokens[Role.OPERATE])
    assert main.run(["disarm", "--reason", "disk swap"]) == 0
    assert main.run(["audit", "--json"]) == 0
    out = capsys.readouterr().out
    changes = json.loads(out[out.index("{") :])["changes"]
    assert [one["who"] for one in changes] == ["token the-see", "token the-operate"]
    assert main.run(["status"]) in (0, 1)
    out = capsys.readouterr().out
    assert "recovery    off until" in out
    assert "agent" not in out, "the one of this machine is none of that site"


@pytest.mark.parametrize(
    ("environment", "words", "code", "said"),
    [
        ({}, ["vm", "list"], 4, "a token or a certificate of the site is needed"),
        ({"HOLDFAST_TOKEN": "holdfast.x.y"}, ["vm", "list"], 4, "this token is not known"),
        ({"HOLDFAST_CA": ""}, ["vm", "list"], 4, "is not known to be a controller of this site"),
        ({"HOLDFAST_API": "https://127.0.0.1:1"}, ["vm", "list"], 3, "no controller listens at"),
        ({"HOLDFAST_API": "https://127.0.0.1:1"}, ["status"], 3, "no controller listens at"),
        ({"HOLDFAST_API": "http://10.0.0.1"}, ["vm", "list"], 2, "use https"),
        ({"HOLDFAST_API": "ftp://h1"}, ["vm", "list"], 2, "is no address of a controller"),
        ({"HOLDFAST_API": "https://h1:x"}, ["vm", "list"], 2, "is no address of a controller"),
        ({"HOLDFAST_API": "https://[::1"}, ["vm", "list"], 2, "is no address of a controller"),
        ({"HOLDFAST_CA": "/nothing"}, ["vm", "list"], 2, "these cannot be used for TLS: /nothing"),
        ({}, ["--token-file", "/nothing", "vm", "list"], 2, "cannot read /nothing"),
    ],
)
def test_what_is_missing_is_said_and_no_agent_here_stands_in(
    site: Api,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    environment: dict[str, str],
    words: list[str],
    code: int,
    said: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert main.run(words) == code
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err
