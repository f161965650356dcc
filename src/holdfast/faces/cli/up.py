"""Start controller and agent on this host, show what they see, and what to try next."""

import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import click

from holdfast.faces.cli import asking
from holdfast.faces.cli.alarms import alarm_stream, wall_ms
from holdfast.faces.cli.asking import AGENT, CONTROLLER, ask, ask_program
from holdfast.faces.cli.calling import Away
from holdfast.faces.cli.children import Children
from holdfast.faces.cli.exits import Exit, Failure
from holdfast.faces.cli.host_libvirt import (
    ensure_libvirt,
    running_vms,
    started_keeper,
    stop_started,
)
from holdfast.faces.cli.incidents import read_incidents
from holdfast.faces.cli.programs import checked_settings, config_option
from holdfast.faces.cli.sample import NAME, make_sample
from holdfast.faces.cli.settings import Site, pass_site
from holdfast.faces.cli.showing import say, show, typable
from holdfast.faces.cli.vm import ask_vms
from holdfast.facts.alarms import AlarmRecord
from holdfast.facts.incidents import Incident, IncidentState
from holdfast.facts.settings import Settings
from holdfast.facts.wire import VmSummary

READY_LIMIT_S = 60.0
POLL_S = 0.2
INCIDENTS_EVERY_S = 1.0
PULSE = "pulse"
HOPELESS_DEATHS = 5


class Stopped(BaseException):
    """Somebody asked us to end: Ctrl-C, or a service manager."""


@click.command()
@click.option("--no-sample", is_flag=True, help="Make no sample VM where there is no VM.")
@config_option
@pass_site
def up(site: Site, no_sample: bool, own_config: str | None) -> None:
    """Start controller and agent here, and show what they see, until Ctrl-C. Needs root.

    It watches every VM of this host's libvirt and acts on none until `holdfast vm protect VM`.
    Where there is no VM at all it makes a small protected one, holdfast-sample.
    """
    checked_settings(site, own_config)
    site.url = ""  # What starts here is asked here.
    run_up(site, Children(say), has_sample=not no_sample)


def run_up(site: Site, children: Children, *, has_sample: bool) -> None:
    """Raises Failure; returns when somebody asked for the end."""
    settings = site.settings
    _refuse_a_second(settings)
    ensure_libvirt(settings.libvirt_uri, Path(settings.run_dir), say)
    say(_acceleration())
    with _stop_on_signals():
        try:
            _start(site, children)
            if has_sample and not ask_vms(site)[0]:
                _try_sample(site)
            _introduce(ask_vms(site)[0])
            _watch(site, children)
        except Stopped:
            click.echo("")
            say("stopping; VMs run on, and nothing watches them now")
        finally:
            children.stop()
            _end_libvirt(settings)


def _refuse_a_second(settings: Settings) -> None:
    if os.geteuid() != 0:
        hint = "run it with sudo"
        raise Failure("up needs root: it reads QEMU's processes and libvirt's socket", hint)
    running = [name for name in (CONTROLLER, AGENT) if asking.is_running(settings, name)]
    if running:
        raise Failure(f"Holdfast runs here already ({', '.join(running)})", "see: holdfast status")


def _acceleration() -> str:
    if os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "this host has /dev/kvm; whether a guest boots on it is seen with the first one"
    return "KVM is not usable here: VMs run in software emulation, slowly"


@contextmanager
def _stop_on_signals() -> Iterator[None]:
    """The first signal ends us in order; what comes while we end changes nothing."""
    asked = [False]

    def stop(_number: int, _frame: FrameType | None) -> None:
        if not asked[0]:
            asked[0] = True
            raise Stopped

    kept = {
        number: signal.signal(number, stop)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def _start(site: Site, children: Children) -> None:
    options = ["--config", site.config] if site.config else []
    children.start(CONTROLLER, *options, CONTROLLER)
    children.start(AGENT, *options, AGENT)
    children.start(PULSE, *options, PULSE)
    deadline = time.monotonic() + READY_LIMIT_S
    waiting = [CONTROLLER, AGENT]
    while waiting:
        children.look()
        waiting = [name for name in waiting if not _has_answered(site, name)]
        hopeless = children.that_died(HOPELESS_DEATHS)
        if hopeless or time.monotonic() > deadline:
            names = hopeless or waiting
            reason = f"the {' and the '.join(names)} did not come up; see above"
            raise Failure(reason, f"alone it says more: holdfast {names[0]}", Exit.BROKEN)
        time.sleep(POLL_S if waiting else 0)
    say("controller and agent run")


def _has_answered(site: Site, program: str) -> bool:
    """The controller only once the agent's VMs reached it: before, it would show none."""
    try:
        data = ask_program(site, program, "status")
    except Away:
        return False
    return program == AGENT or not isinstance(data, dict) or data.get("agents", True) != []


def _try_sample(site: Site) -> None:
    try:
        make_sample(site, say)
    except Failure as failure:
        say("going on without a sample VM")
        failure.show()


def _introduce(vms: list[VmSummary]) -> None:
    # Late: only now is there something to lay out.
    from holdfast.faces.pages.vms import vms_table

    click.echo("")
    if vms:
        show(vms_table(vms))
    else:
        click.echo("No VM is here. Define one with virsh or virt-install; it is seen at once.")
    click.echo("\nWhat to try next, in another terminal:")
    show([_suggestions(vms, typable())])
    click.echo("\nAlarms and incidents, as they come (Ctrl-C ends):")


def _suggestions(vms: list[VmSummary], program: str) -> object:
    # Late: likewise.
    from holdfast.faces.pages.tables import facts

    rows: list[tuple[str, str]] = []
    sample = next((vm for vm in vms if vm.name == NAME and vm.pid), None)
    loose = next((vm.name for vm in vms if not vm.is_protected), "VM")
    if sample:
        sudo = "sudo " if program.startswith("sudo ") else ""
        rows.append((f"{sudo}kill -9 {sample.pid}", "kill the sample, and see it come back"))
    rows.append((f"{program} status", "everything at a glance"))
    rows.append((f"{program} explain", "the story of the newest incident"))
    rows.append((f"{program} alarms --follow", "what the VIM is told"))
    rows.append((f"{program} vm protect {loose}", "restart a VM when it fails"))
    return facts([(f"  {command}", about) for command, about in rows])


def _watch(site: Site, children: Children) -> None:
    """For ever: alarms as they come, incidents as they change, programs as they die."""
    # Late: likewise.
    from holdfast.faces.pages.alarms import news_line
    from holdfast.faces.pages.incidents import incident_line  # Late: likewise.

    alarms: queue.Queue[AlarmRecord] = queue.Queue()
    _listen(site, alarms.put)
    seen = {incident.id: _state(incident) for incident in _incidents(site)}
    look_at = 0.0
    while True:
        children.look()
        with suppress(queue.Empty):
            show([news_line(alarms.get(timeout=POLL_S), wall_ms())])
        if time.monotonic() < look_at:
            continue
        look_at = time.monotonic() + INCIDENTS_EVERY_S
        for incident in _incidents(site):
            if seen.get(incident.id) != _state(incident):
                seen[incident.id] = _state(incident)
                show([incident_line(incident, wall_ms())])
                if incident.needs_you:
                    show([f"          Needs you: {incident.needs_you}"])


def _listen(site: Site, put: Callable[[AlarmRecord], None]) -> None:
    def listen() -> None:
        with suppress(Failure):  # It is said at once by whoever asks for incidents.
            for record in alarm_stream(site, lambda _text: None):
                put(record)

    threading.Thread(target=listen, name="alarms", daemon=True).start()


def _incidents(site: Site) -> list[Incident]:
    try:
        return read_incidents(ask(site, "incidents", or_agent=True))
    except Failure:
        return []  # Both programs are away: `look` says so, and starts them.


def _state(incident: Incident) -> tuple[IncidentState, str, str]:
    return incident.state, incident.step, incident.needs_you


def _end_libvirt(settings: Settings) -> None:
    """A libvirt that we started ends with us, unless VMs still need it."""
    run_dir = Path(settings.run_dir)
    if not started_keeper(run_dir):
        return
    try:
        vms = running_vms(settings.libvirt_uri)
    except Failure as failure:
        say(f"the libvirt that was started stays: {failure.message}")
        return
    if vms:
        say(f"the libvirt that was started stays for {', '.join(vms)}; holdfast clean ends it")
    else:
        stop_started(run_dir)
