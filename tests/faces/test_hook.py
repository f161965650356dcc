"""libvirt's hook: what the agent writes, and what the script that is installed makes of it.

covers: H9
"""

import subprocess
from pathlib import Path
from uuid import NAMESPACE_DNS, uuid5

import msgspec
import pytest

from holdfast.adapters.drivers import libvirt_hook
from holdfast.agent.hook_files import HookFiles
from holdfast.faces.cli import hook
from holdfast.faces.cli.exits import Exit
from holdfast.faces.cli.services import Machine
from holdfast.faces.cli.status_view import make_view
from holdfast.facts.commands import Command, ProtectionEnded, Wake
from holdfast.facts.settings import Settings
from holdfast.facts.verdicts import Verdict
from holdfast.policy import copies
from holdfast.policy.decide import Decider
from tests.faces.conftest import Run
from tests.faces.examples import AGENT_STATUS
from tests.policy import inputs
from tests.policy.inputs import at

LIMIT_S = 10
_commands: msgspec.json.Decoder[Command] = msgspec.json.Decoder(Command)
WEB, DB = (str(uuid5(NAMESPACE_DNS, name)) for name in ("web", "db"))
XML = """<domain type='kvm'>
  <name>web &lt;uuid&gt;</name>
  <uuid>{uuid}</uuid>
  <metadata><app:x xmlns:app="http://a">
    <uuid>11111111-0000-4000-8000-000000000000</uuid>
  </app:x></metadata>
</domain>
"""


class Host:
    """A host with an agent that keeps the hook's folders; a boot takes what is in /run."""

    def __init__(self, folder: Path) -> None:
        self.state, self.run = folder / "state dir", folder / "run"
        self.on = Machine(hooks=folder / "libvirt" / "hooks")
        self.on.hooks.parent.mkdir()
        self.said: list[str] = []
        settings = Settings(state_dir=str(self.state), run_dir=str(self.run))
        hook.install(settings, self.said.append, self.on)
        self.script = self.on.hooks / "qemu.d" / "holdfast"
        self.ms = 0.0
        self.decider = Decider()
        self.files = HookFiles(self.state, self.run, lambda: self.decider.world)
        self.hear(inputs.booted(0))
        self.files.begin()

    def hear(self, *facts: Verdict | Command | Wake) -> None:
        for fact in facts:
            self.decider.step(fact)
            self.files.policy_moved()

    def boot_again(self, boot: str = "boot-2") -> None:
        subprocess.run(["rm", "-rf", str(self.run)], check=True)
        self.files = HookFiles(self.state, self.run, lambda: self.decider.world)
        self.hear(inputs.booted(5, boot))
        self.files.begin()

    def ask(self, uuid: str = WEB, op: str = "prepare", sub: str = "begin") -> str:
        """What the hook says to a refusal; empty for a start that it lets happen."""
        done = subprocess.run(
            [str(self.script), "web", op, sub, "-"],
            input=XML.format(uuid=uuid),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.stdout == "", "libvirt would take that for the VM's new definition"
        assert (done.returncode == 0) is (done.stderr == "")
        return done.stderr


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def rename(fact: object, uuid: str = WEB) -> Command:
    """Facts of the tests name VMs in short; libvirt's uuids are longer."""
    text = msgspec.json.encode(fact).replace(b"uuid-web", uuid.encode())
    found: Command = _commands.decode(text)
    return found


def test_what_is_not_protected_starts(host: Host) -> None:
    assert host.ask() == ""
    host.hear(rename(inputs.granted(1)))
    assert host.ask(DB) == ""


def test_what_this_host_holds_starts_and_after_a_boot_only_once_it_is_granted(host: Host) -> None:
    host.hear(rename(inputs.granted(1)))
    assert host.ask() == ""
    host.boot_again()
    said = host.ask()
    assert "Holdfast protects web: this host does not hold it in this boot" in said
    assert "holdfast vm show web" in said
    assert f"rm '{host.state}/protected/{WEB}'" in said, "its folder has a space in its name"
    assert len(said.splitlines()) == 1
    assert host.ask(op="started") == "", "only a start is refused"
    host.hear(rename(inputs.granted(10, boot="boot-2")))
    assert host.ask() == ""


def test_libvirt_is_refused_before_any_agent_runs(host: Host) -> None:
    host.hear(rename(inputs.granted(1)))
    subprocess.run(["rm", "-rf", str(host.run)], check=True)
    assert "Holdfast protects web" in host.ask()


def test_what_another_host_holds_is_refused_and_named(host: Host) -> None:
    host.hear(rename(inputs.granted(1)), rename(inputs.outranked(2)))
    assert "host h2 held it when this host heard of it last" in host.ask()
    host.boot_again()
    assert "host h2 held it" in host.ask()
    host.hear(rename(inputs.ordered(10, generation=3, boot="boot-2")))
    assert host.ask() == "", "the leader gave it to this host"


def test_what_nobody_protects_any_more_starts(host: Host) -> None:
    host.hear(rename(inputs.granted(1)))
    host.boot_again()
    host.hear(ProtectionEnded(at=at(6), vm=WEB, by="ann"))
    assert host.ask() == ""


def test_an_agent_that_lost_its_memory_opens_nothing(host: Host) -> None:
    host.hear(rename(inputs.granted(1)))
    host.decider = Decider()
    host.boot_again()
    assert "Holdfast protects web" in host.ask()


def test_an_agent_that_comes_back_in_the_same_boot_takes_back_what_is_over(host: Host) -> None:
    host.hear(rename(inputs.granted(1)))
    host.decider = Decider()  # It remembers nothing: nothing is granted to it.
    host.files = HookFiles(host.state, host.run, lambda: host.decider.world)
    host.hear(inputs.booted(5))
    host.files.begin()
    assert "Holdfast protects web" in host.ask()


def test_what_comes_by_a_migration_is_let_in_once(host: Host) -> None:
    host.hear(rename(inputs.granted(1)), rename(inputs.outranked(2)))
    assert host.ask(op="migrate") == ""
    assert host.ask() == ""
    assert "host h2 held it" in host.ask()


def test_it_is_installed_beside_others_and_leaves_alone(tmp_path: Path) -> None:
    said: list[str] = []
    on = Machine(hooks=tmp_path / "libvirt" / "hooks")
    settings = Settings(state_dir="/s", run_dir="/r")
    hook.install(settings, said.append, on)
    assert said == [], "there is no libvirt here"
    (tmp_path / "libvirt").mkdir()
    hook.install(settings, said.append, on)
    assert any("systemctl restart libvirtd" in text for text in said), "it had none before"
    script = on.hooks / "qemu.d" / "holdfast"
    assert script.stat().st_mode & 0o777 == 0o755
    assert "PROTECTED=/s/protected\nHELD=/r/held\n" in script.read_text()
    other = on.hooks / "qemu.d" / "10-firewall"
    other.write_text("#!/bin/sh\n")
    said.clear()
    hook.install(settings, said.append, on)
    assert len(said) == 1, "libvirt knows of hooks here"
    hook.remove(said.append, on)
    hook.remove(said.append, on)
    assert [one.name for one in on.hooks.glob("qemu.d/*")] == ["10-firewall"]
    other.unlink()
    hook.install(settings, said.append, on)
    hook.remove(said.append, on)
    assert list(on.hooks.iterdir()) == []


def test_it_is_plain_and_fast(host: Host) -> None:
    subprocess.run(["sh", "-n", str(host.script)], check=True, timeout=LIMIT_S)
    assert host.script.read_text().startswith("#!/bin/sh\n")
    host.hear(rename(inputs.granted(1)))
    for uuid in (WEB, DB):
        assert host.ask(uuid) == ""


def test_what_was_anothers_starts_again_once_nobody_protects_it(host: Host) -> None:
    host.hear(rename(inputs.granted(1)), rename(inputs.outranked(2)))
    assert "host h2 held it" in host.ask()
    assert copies.barred(host.decider.world) == {WEB: 2}
    host.hear(ProtectionEnded(at=at(3), vm=WEB, by="ann"))
    assert host.ask() == ""
    assert copies.barred(host.decider.world) == {}
    host.hear(rename(inputs.outranked(4, generation=4, holder="h3")))
    assert "host h3 held it" in host.ask()


def test_a_site_older_than_the_hook_is_told_and_gets_it_by_one_command(tmp_path: Path) -> None:
    on = Machine(hooks=tmp_path / "libvirt" / "hooks")
    settings = Settings(state_dir="/s", run_dir="/r")
    assert libvirt_hook.trouble(settings, on.hooks) == "", "there is no libvirt here"
    (tmp_path / "libvirt").mkdir()
    assert "not installed" in libvirt_hook.trouble(settings, on.hooks)
    hook.install(settings, print, on)
    assert libvirt_hook.trouble(settings, on.hooks) == ""
    script = on.hooks / "qemu.d" / "holdfast"
    script.write_text(script.read_text() + "exit 0\n")
    assert "another version" in libvirt_hook.trouble(settings, on.hooks)
    hook.install(settings, print, on)
    script.chmod(0o644)
    assert "cannot be run" in libvirt_hook.trouble(settings, on.hooks)
    hook.install(settings, print, on)
    assert libvirt_hook.trouble(settings, on.hooks) == ""
    moved = Settings(state_dir="/elsewhere", run_dir="/r")
    assert "another version" in libvirt_hook.trouble(moved, on.hooks)


def test_status_says_which_command_installs_it() -> None:
    told = {**AGENT_STATUS, "hook": "it is not installed"}
    [said] = [one for one in make_view(None, told).parts if "hook" in one.name]
    assert not said.is_well
    assert said.hint == "on that host: sudo holdfast host hook"
    assert [one for one in make_view(None, AGENT_STATUS).parts if "hook" in one.name] == []


def test_a_host_of_no_site_needs_none(run: Run) -> None:
    said = run("host", "hook")
    assert said.code == Exit.USAGE
    assert "belongs to no site" in said.err
