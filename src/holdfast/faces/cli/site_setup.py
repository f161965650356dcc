"""What init and join do alike on a host: its certificate, its settings, its store, its services."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from holdfast.adapters.drivers.authority import Authority, Subject, make_key_and_request
from holdfast.adapters.drivers.certificates import (
    CA,
    CERTIFICATE,
    KEY,
    STORE_CA,
    STORE_CA_KEY,
    STORE_CERTIFICATE,
    STORE_KEY,
    Certificates,
    write_private,
)
from holdfast.adapters.drivers.etcd_members import EtcdMembers
from holdfast.adapters.drivers.private_folder import make_private_folder
from holdfast.adapters.drivers.site_file import SiteFileWrong, write_site
from holdfast.adapters.stores.etcd import Etcd
from holdfast.agent.boot_word import keep_word
from holdfast.faces.cli import asking
from holdfast.faces.cli.asking import AGENT, CONTROLLER
from holdfast.faces.cli.exits import Exit, Failure
from holdfast.faces.cli.services import Machine, etcd_program, store_file
from holdfast.faces.cli.settings import load_settings
from holdfast.facts.membership import (
    SitePlan,
    StoreMember,
    client_url,
    peer_url,
    store_endpoints,
)
from holdfast.facts.settings import DEFAULT_FILE, ControllerPlace, Settings
from holdfast.facts.settings_reader import same_address, shared_address

READY_LIMIT_S = 60.0
END_LIMIT_S = 20.0
Say = Callable[[str], None]

ETCD = """# Written by `holdfast init` or `holdfast join`: this controller's member of the store.
name: {name}
data-dir: {data}
listen-client-urls: {client},https://127.0.0.1:2379
advertise-client-urls: {client}
listen-peer-urls: {peer}
initial-advertise-peer-urls: {peer}
initial-cluster: {cluster}
initial-cluster-state: {state}
initial-cluster-token: holdfast
heartbeat-interval: 100
election-timeout: 1000
enable-grpc-gateway: true
auto-compaction-mode: periodic
auto-compaction-retention: 1h
logger: zap
log-level: warn
client-transport-security: &tls
  cert-file: {tls}/store.crt
  key-file: {tls}/store.key
  trusted-ca-file: {tls}/store-ca.crt
  client-cert-auth: true
peer-transport-security: *tls
"""


def need_root(command: str) -> None:
    if os.geteuid() != 0:
        text = f"{command} needs root: it writes certificates and services"
        raise Failure(text, "run it with sudo")


def refuse_where_it_runs(settings: Settings, on: Machine) -> None:
    """`holdfast up` and services on one host would fight over it."""
    if on.init_script.exists() or (on.units / "holdfast-agent.service").exists():
        return
    running = [name for name in (CONTROLLER, AGENT) if asking.is_running(settings, name)]
    if running:
        names = " and the ".join(running)
        raise Failure(f"the {names} run here already, not as services", "end `holdfast up` first")


def refuse_shared_address(planes: Mapping[str, str], command: str) -> None:
    """However the planes became known: typed, written, or as the route goes."""
    found = shared_address(planes)
    if found:
        raise Failure(
            f"planes {same_address(*found)}",
            f"one plane: leave one of them out; two: {command} --plane {found[1]}=ADDRESS, an"
            " address of this host on the other network",
            Exit.USAGE,
        )


def host_id(settings: Settings) -> str:
    """Made here if need be; all else that the agent remembers is its own to begin."""
    folder = Path(settings.state_dir)
    try:
        make_private_folder(folder)
        return keep_word(folder / "host-id")[0]
    except OSError as error:
        raise Failure(f"cannot write {error.filename}: {error.strerror}") from None


def write_host_files(tls_dir: str, ca: str, certificate: str, key: str) -> None:
    folder = Path(tls_dir)
    try:
        make_private_folder(folder)
        folder.chmod(0o700)
        write_private(folder / CA, ca)
        write_private(folder / KEY, key)
        write_private(folder / CERTIFICATE, certificate)
    except OSError as error:
        raise Failure(f"cannot write {error.filename}: {error.strerror}") from None


def write_store_files(
    settings: Settings,
    config: str,
    authority: Authority,
    *,
    name: str,
    address: str,
    members: Sequence[StoreMember] = (),
) -> None:
    """A certificate of the store's own CA, and etcd's settings. `members`: those to be joined."""
    folder = Path(settings.tls_dir)
    data = etcd_data(settings)
    key, request = make_key_and_request()
    subject = Subject(host=name, host_name=name, addresses=(address,), is_controller=True)
    write_private(folder / STORE_CA, authority.certificate)
    write_private(folder / STORE_CA_KEY, authority.key)
    write_private(folder / STORE_KEY, key)
    write_private(folder / STORE_CERTIFICATE, authority.sign(request, subject).pem)
    own = peer_url(address)
    named = [f"{one.name or name}={one.peer_url}" for one in members] or [f"{name}={own}"]
    if members and data.exists():
        shutil.rmtree(data)  # Of a membership that has ended: it would never be let in again.
    text = ETCD.format(
        name=name,
        data=data,
        client=client_url(address),
        peer=own,
        cluster=",".join(named),
        state="existing" if members else "new",
        tls=folder,
    )
    write_private(store_file(config), text)


def write_settings(
    config: str, plan: SitePlan, planes: Mapping[str, str], settings: Settings
) -> Settings:
    """Raises Failure; the settings as they are from now on."""
    try:
        write_site(
            Path(config), plan, planes, host_name=settings.host_name, tls_dir=settings.tls_dir
        )
    except SiteFileWrong as wrong:
        raise Failure(str(wrong), code=Exit.USAGE) from None
    return load_settings(config if config != DEFAULT_FILE else None)


@contextlib.contextmanager
def store_running(
    config: str, start: Callable[..., subprocess.Popen[bytes]] = subprocess.Popen
) -> Iterator[None]:
    """This host's etcd, for as long as a block lasts, before it is a service."""
    program = [etcd_program(), "--config-file", str(store_file(config))]
    with tempfile.TemporaryFile() as words, _interrupt_held() as let_interrupt:
        process = start(program, stdout=words, stderr=words)
        try:
            let_interrupt()
            yield
        finally:
            process.terminate()
            try:
                process.wait(END_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def _interrupt_held() -> Iterator[Callable[[], None]]:
    """A Ctrl-C waits until what it yields is called: between a program's start and the `try`
    that ends it, it would leave the program behind."""
    held: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: held.append(number))

    def let() -> None:
        signal.signal(signal.SIGINT, before)
        if held:
            held.clear()
            signal.raise_signal(signal.SIGINT)

    try:
        yield let
    finally:
        let()


@contextlib.contextmanager
def store_serving(
    settings: Settings, config: str, place: ControllerPlace
) -> Iterator[tuple[EtcdMembers, Etcd]]:
    """Likewise, once it serves: its members, and what it holds. Raises MembersAway,
    CertificateProblem."""
    endpoints = store_endpoints([place])
    tls = Certificates(settings.tls_dir).store_context()
    with store_running(config):
        members = EtcdMembers(endpoints, tls)
        members.wait_ready(READY_LIMIT_S)
        yield members, Etcd(endpoints, tls)


def etcd_data(settings: Settings) -> Path:
    """The folder of this host's etcd."""
    return Path(settings.state_dir) / "store"


def store_database(settings: Settings) -> Path:
    """The file in which a controller that is alone keeps its store."""
    return Path(settings.state_dir) / "controller" / "store.db"
