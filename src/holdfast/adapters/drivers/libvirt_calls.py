"""A worker that makes blocking calls to libvirt: several at once, each in a thread of its own."""

import contextlib
import json
import os
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import libvirt
import libvirt_qemu
import msgspec

from holdfast.adapters.drivers import (
    disk_images,
    leftovers,
    libvirt_host,
    libvirt_migration,
    vm_disks,
    vm_needs,
)
from holdfast.adapters.drivers.child import Parent
from holdfast.adapters.drivers.libvirt_cpus import Processors
from holdfast.adapters.drivers.libvirt_words import spoken_state
from holdfast.facts.definitions import HostSize, Rebuild, RebuiltDisk, VmNeeds

THREADS = 24
PINGERS = 16
FINAL = {libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_XML_ERROR, libvirt.VIR_ERR_CONFIG_UNSUPPORTED}
AGENT_LIMIT_S = 1
CHANNEL = "org.qemu.guest_agent.0"
ACTIONS = {
    0: "destroy",
    1: "restart",
    2: "rename-restart",
    3: "preserve",
    4: "coredump-destroy",
    5: "coredump-restart",
}


class Calls:
    """One connection, shared by the threads; made anew when it broke."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._lock = threading.Lock()
        self._connection: Any = None
        self._pingers = ThreadPoolExecutor(PINGERS)
        self._lock_asked = threading.Lock()
        self._asked: dict[str, Future[bool | None]] = {}
        self._processors = Processors(self._pingers)

    def connection(self) -> Any:
        with self._lock:
            if self._connection is None or not self._connection.isAlive():
                self._connection = libvirt.open(self._uri)
                with contextlib.suppress(libvirt.libvirtError):  # A driver inside needs none.
                    self._connection.setKeepAlive(5, 3)
            return self._connection

    def find(self, vm: str) -> Any:
        return self.connection().lookupByUUIDString(vm)

    def domains(self) -> Any:
        found = []
        for domain in self.connection().listAllDomains(0):
            try:
                found.append(describe(domain))
            except libvirt.libvirtError:
                continue  # Undefined meanwhile.
        return found

    def domain(self, vm: str) -> Any:
        return describe(self.find(vm))

    def start(self, vm: str) -> Any:
        """From its initial state, whatever was saved; returns its name."""
        domain = self.find(vm)
        try:
            domain.createWithFlags(libvirt.VIR_DOMAIN_START_FORCE_BOOT)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID or not domain.isActive():
                raise
        return domain.name()

    def definition(self, vm: str, shared_paths: list[str]) -> Any:
        """With its secrets, such as the password of its screen: it would start without them."""
        domain = self.find(vm)
        flags = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE
        xml = domain.XMLDesc(flags)
        running = domain.XMLDesc(0) if domain.isActive() else ""
        needs = self._needs(xml, shared_paths, running)
        return {"vm": vm, "name": domain.name(), "xml": xml, "needs": msgspec.to_builtins(needs)}

    def define(self, xml: str) -> Any:
        vm_needs.parse(xml)
        self.connection().defineXML(xml)

    def judge(
        self, xml: str, shared_paths: list[str], vm: str = "", rebuilds: Iterable[Any] = ()
    ) -> Any:
        size = msgspec.convert(self.size(), HostSize)
        made = msgspec.convert(list(rebuilds), tuple[RebuiltDisk, ...])
        here = vm_disks.Remade(self._here(shared_paths), {one.path for one in made})
        needs = vm_needs.read_needs(xml, here)
        obstacles = (disk_images.obstacle(vm, one) for one in made)
        return vm_needs.misfit(needs, size) or next((text for text in obstacles if text), "")

    def rebuild(self, vm: str, rebuild: Any) -> Any:
        """Why it could not be done, or empty."""
        try:
            disk_images.make(vm, msgspec.convert(rebuild, Rebuild))
        except disk_images.NotMade as failure:
            return str(failure)
        return ""

    def size(self) -> Any:
        connection = self.connection()
        offered = self._processors.offered(connection)
        return {**libvirt_host.size(connection), "processors": offered}

    def _needs(self, xml: str, shared_paths: list[str], running: str = "") -> VmNeeds:
        return vm_needs.read_needs(xml, self._here(shared_paths), running)

    def _here(self, shared_paths: list[str]) -> libvirt_host.HostView:
        return libvirt_host.HostView(self.connection(), shared_paths)

    def ping_all(self, vms: list[str], wait_ms: int) -> Any:
        """Which guests' agents answer, as far as is known after `wait_ms`; None for a VM that
        cannot be asked. One that is still asked (libvirt waits long) is not asked again."""
        with self._lock_asked:
            for vm in vms:
                if vm not in self._asked:
                    self._asked[vm] = self._pingers.submit(self._ask, vm)
            asked = {vm: self._asked[vm] for vm in vms}
        done, _ = wait(asked.values(), timeout=wait_ms / 1_000)
        with self._lock_asked:
            for vm, future in asked.items():
                if future in done and self._asked.get(vm) is future:
                    del self._asked[vm]
        return {vm: future.result() if future in done else False for vm, future in asked.items()}

    def _ask(self, vm: str) -> bool | None:
        try:
            return ping(self.find(vm))
        except libvirt.libvirtError:
            return None

    def screenshot(self, vm: str, path: str) -> Any:
        domain = self.find(vm)
        stream = self.connection().newStream(0)
        kind = domain.screenshot(stream, 0, 0)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "wb") as file:
            stream.recvAll(lambda _stream, data, out: out.write(data), file)
        stream.finish()
        return kind

    def dump(self, vm: str, path: str) -> Any:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        flags = libvirt.VIR_DUMP_MEMORY_ONLY
        self.find(vm).coreDumpWithFormat(path, libvirt.VIR_DOMAIN_CORE_DUMP_FORMAT_RAW, flags)
        os.chown(path, os.getuid(), os.getgid())  # libvirt may give it to the user of QEMU.
        os.chmod(path, 0o600)

    def addresses(self, vm: str) -> Any:
        domain = self.find(vm)
        found = agent_addresses(domain)
        for source in (
            libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE,
            libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP,
        ):
            try:
                interfaces = domain.interfaceAddresses(source, 0)
            except libvirt.libvirtError:
                continue
            for interface in interfaces.values():
                found += [a["addr"] for a in interface.get("addrs") or []]
        return [a for a in dict.fromkeys(found) if not a.startswith(("127.", "::1", "fe80:"))]

    def look_for_leftovers(self, **what: Any) -> Any:
        try:
            return {"shown": leftovers.look(**what)}
        except leftovers.StillThere as still:
            return {"still": str(still)}

    def take_over(self, vm: str) -> Any:
        domain = self.find(vm)
        was = describe(domain)
        set_on_crash(domain, "preserve")
        return {"autostart": was["autostart"], "on_crash": was["on_crash"]}

    def migrate(self, vm: str, uri: str) -> Any:
        libvirt_migration.migrate(self.find(vm), uri)

    def migration(self, vm: str) -> Any:
        return libvirt_migration.look(self._known(vm))

    def abort_migration(self, vm: str) -> Any:
        domain = self._known(vm)
        if domain is not None:
            libvirt_migration.abort(domain)

    def end_half_migration(self, vm: str) -> Any:
        domain = self._known(vm)
        if domain is not None:
            libvirt_migration.end_half(domain)

    def _known(self, vm: str) -> Any:
        """None for one that libvirt does not know."""
        try:
            return self.find(vm)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                raise
            return None

    def give_back(self, vm: str, on_crash: str) -> Any:
        set_on_crash(self.find(vm), on_crash or "destroy")


def set_on_crash(domain: Any, action: str) -> None:
    number = {name: number for number, name in ACTIONS.items()}[action]
    flags = libvirt.VIR_DOMAIN_AFFECT_CONFIG if domain.isPersistent() else 0
    if domain.isActive():
        flags |= libvirt.VIR_DOMAIN_AFFECT_LIVE
    domain.setLifecycleAction(libvirt.VIR_DOMAIN_LIFECYCLE_CRASH, number, flags)


def ping(domain: Any) -> bool | None:
    """Whether the guest's agent answers; None when it could not be asked."""
    try:
        libvirt_qemu.qemuAgentCommand(domain, '{"execute":"guest-ping"}', AGENT_LIMIT_S, 0)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_AGENT_UNRESPONSIVE:
            return None
        return None if "not connected" in (error.get_error_message() or "") else False
    return True


def agent_addresses(domain: Any) -> list[str]:
    """Ask the agent itself, since libvirt's own call would wait for a silent agent without end."""
    try:
        said = libvirt_qemu.qemuAgentCommand(
            domain, '{"execute":"guest-network-get-interfaces"}', AGENT_LIMIT_S, 0
        )
        interfaces = json.loads(said)["return"]
        return [
            str(address["ip-address"])
            for interface in interfaces
            for address in interface.get("ip-addresses", [])
        ]
    except (libvirt.libvirtError, ValueError, KeyError, TypeError):
        return []


def describe(domain: Any) -> dict[str, Any]:
    state, reason = spoken_state(*domain.state(0))
    root = ET.fromstring(domain.XMLDesc(0))
    channel = root.find(f"devices/channel/target[@name='{CHANNEL}']")
    consoles = [n.get("file", "") for n in root.findall("devices/serial/log")]
    consoles += [n.get("path", "") for n in root.findall("devices/serial[@type='file']/source")]
    consoles += [n.get("file", "") for n in root.findall("devices/console/log")]
    watchdog = root.find("devices/watchdog")
    return {
        "vm": domain.UUIDString(),
        "name": domain.name(),
        "state": state,
        "reason": reason,
        "is_persistent": bool(domain.isPersistent()),
        "has_agent_channel": channel is not None,
        "is_agent_connected": channel is not None and channel.get("state") == "connected",
        "console_log": next((c for c in consoles if c), ""),
        "taps": [
            n.get("dev", "") for n in root.findall("devices/interface/target") if n.get("dev")
        ],
        "disks": _disks(root),
        "memory_mib": vm_needs.memory_mib(root),
        "autostart": bool(domain.autostart()) if domain.isPersistent() else False,
        "on_crash": root.findtext("on_crash", "destroy"),
        "watchdog_action": watchdog.get("action", "reset") if watchdog is not None else "",
        "has_panic_device": root.find("devices/panic") is not None,
        "has_managed_save": bool(domain.hasManagedSaveImage(0)) if domain.isPersistent() else False,
    }


def _disks(root: Any) -> list[str]:
    """Those that the VM writes, and no other VM beside it: a path, or `rbd:pool/image` and such."""
    found = []
    for disk in root.findall("devices/disk"):
        source = disk.find("source")
        is_shared = disk.find("readonly") is not None or disk.find("shareable") is not None
        if source is not None and not is_shared:
            found.append(source.get("file") or source.get("dev") or _network_disk(disk, source))
    return [d for d in found if d]


def _network_disk(disk: Any, source: Any) -> str:
    kind = source.get("protocol") or disk.get("type", "")
    parts = (source.get("pool"), source.get("name") or source.get("volume"))
    name = "/".join(part for part in parts if part)
    return f"{kind}:{name}" if kind != "file" or name else ""  # An empty drive has no source.


def main() -> None:
    libvirt.registerErrorHandler(lambda *_: None, None)
    libvirt.virEventRegisterDefaultImpl()
    threading.Thread(target=_keep_events, daemon=True).start()
    parent = Parent()
    calls = Calls(parent.args[0])
    pool = ThreadPoolExecutor(THREADS)

    def work(message: dict[str, Any]) -> None:
        try:
            data = getattr(calls, message["call"])(**message["args"])
            parent.send({"id": message["id"], "data": data})
        except libvirt.libvirtError as error:
            final = error.get_error_code() in FINAL
            text = error.get_error_message() or str(error)
            parent.send({"id": message["id"], "error": text, "final": final})
        except vm_needs.NotXml as error:
            parent.send({"id": message["id"], "error": str(error), "final": True})
        except (OSError, KeyError, TypeError, ValueError) as error:
            parent.send({"id": message["id"], "error": str(error), "final": False})

    while True:
        pool.submit(work, parent.receive())


def _keep_events() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


if __name__ == "__main__":
    main()
