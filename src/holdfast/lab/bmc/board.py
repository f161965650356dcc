"""The BMC of a lab host: OpenIPMI's ipmi_sim and a Redfish service, at an address of their own.

Both run on the lab's wire, outside of every host. They carry the lab's mark, so that whoever takes
the lab down takes them, too.
"""

import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import NAMESPACE_DNS, uuid5

from holdfast.facts.fencing import FenceDevice
from holdfast.lab.bmc.chassis import Chassis, program
from holdfast.lab.commands import LabError
from holdfast.lab.host import Host, find_wire
from holdfast.lab.namespaces import Holder, wait_until_dead
from holdfast.lab.network import PREFIX_LENGTH, find_plane, run_ip
from holdfast.lab.outside import Outside

# Hosts are numbered from 1 to 90; the BMC of the nth is 100 further, a second one 200: only the
# first 54 can have that.
NUMBER = 100
IPMI_PORT, REDFISH_PORT = 623, 443
USER, PASSWORD = "fencer", "let-me-cut"
READY_LIMIT_S = 20.0
KINDS = ("ipmi", "redfish")

# Source: ipmi_lan(5), ipmi_sim_cmd(5).
LAN_CONF = """name "{name}"
set_working_mc 0x20
startlan 1
addr {address} {port}
priv_limit admin
allowed_auths_callback md5
allowed_auths_user md5
allowed_auths_operator md5
allowed_auths_admin md5
guid {guid}
endlan
chassis_control "{program}"
user 2 true "{user}" "{password}" admin 10 md5
"""
HARDWARE = """mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02
mc_enable 0x20
"""


@dataclass(frozen=True)
class Bmc:
    """One BMC. It has power of its own, unless a problem maker says otherwise.

    A host can have a second one, at `place` 2, which shares nothing with the first.
    """

    host: Host
    place: int = 1

    @property
    def address(self) -> str:
        """Where it answers, on plane a."""
        return find_plane("a").address(NUMBER * self.place + self.host.number)

    @property
    def chassis(self) -> Chassis:
        return Chassis(self.host.lab, self.host.name, self.place)

    @property
    def ipmi(self) -> FenceDevice:
        """How it is fenced through IPMI."""
        return FenceDevice(
            agent="fence_ipmilan",
            # Without a cipher ipmitool asks for the list, which this BMC does not know.
            options={"ip": self.address, "username": USER, "lanplus": "1", "cipher": "3"},
            secrets={"password": PASSWORD},
        )

    @property
    def redfish(self) -> FenceDevice:
        """How it is fenced through Redfish."""
        uri = f"/redfish/v1/Systems/{self._uuid}"
        options = {"ip": self.address, "username": USER, "ssl_insecure": "1", "systems_uri": uri}
        return FenceDevice(agent="fence_redfish", options=options, secrets={"password": PASSWORD})

    def begin(self, kinds: Sequence[str] = KINDS) -> None:
        """Give it power; returns when it answers. `kinds`: of ipmi and redfish."""
        self.chassis.folder.mkdir(parents=True, exist_ok=True)
        plane = find_plane("a")
        run_ip(
            find_wire(self.host.lab),
            f"addr replace {self.address}/{PREFIX_LENGTH} dev {plane.wire}",
        )
        starts = {"ipmi": self._ipmi_command, "redfish": self._redfish_command}
        started = [self._start(kind, starts[kind]()) for kind in kinds]
        for kind, holder in zip(kinds, started, strict=True):
            self._wait_listening(kind, holder)

    def power_cut(self) -> int:
        """It is dead and its address is nobody's; returns the CLOCK_MONOTONIC ns just before."""
        cut_ns = self._signal(signal.SIGKILL)
        wait_until_dead(list(self._holders()))
        with suppress(LabError):  # It had none.
            run_ip(
                find_wire(self.host.lab),
                f"addr del {self.address}/{PREFIX_LENGTH} dev {find_plane('a').wire}",
            )
        return cut_ns

    def hang(self) -> int:
        """It takes what is sent and answers nothing; returns the ns just before."""
        return self._signal(signal.SIGSTOP)

    def go_on(self) -> int:
        """It answers again; returns the ns just before."""
        return self._signal(signal.SIGCONT)

    def _ipmi_command(self) -> list[str]:
        folder = self.chassis.folder
        (folder / "ipmi").mkdir(exist_ok=True)
        control = " ".join([*program(), self.host.lab, self.host.name, str(self.place)])
        words = {"name": self.host.name, "address": self.address, "port": IPMI_PORT}
        guid = self._uuid.replace("-", "")
        login = {"user": USER, "password": PASSWORD}
        (folder / "lan.conf").write_text(
            LAN_CONF.format(guid=guid, program=control, **words, **login)
        )
        (folder / "hardware").write_text(HARDWARE)
        files = ["-c", str(folder / "lan.conf"), "-f", str(folder / "hardware")]
        return ["ipmi_sim", *files, "-s", str(folder / "ipmi"), "--nostdio"]

    def _redfish_command(self) -> list[str]:
        # Late: bcrypt comes with sushy-tools, which only the tests have.
        import bcrypt

        users = self.chassis.folder / "users"
        word = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(rounds=4)).decode()
        users.write_text(f"{USER}:{word}\n")
        module = [sys.executable, "-P", "-m", "holdfast.lab.bmc.redfish"]
        whose = [self.host.lab, self.host.name, str(self.place), self.address]
        return [*module, *whose, str(users), self._uuid]

    def _start(self, kind: str, command: list[str]) -> Holder:
        pid = Outside(self.host.lab).leave_running(command, self._log(kind))
        holder = Holder.of_pid(pid)
        holder.save(self._record(kind))
        return holder

    def _wait_listening(self, kind: str, holder: Holder) -> None:
        deadline = time.monotonic() + READY_LIMIT_S
        while not _is_listening(holder, kind, self.address):
            if not holder.is_alive() or time.monotonic() > deadline:
                words = self._log(kind).read_text(errors="replace")[-1000:]
                raise LabError(f"the {kind} BMC of {self.host.name} did not start: {words}")
            time.sleep(0.02)

    def _signal(self, number: signal.Signals) -> int:
        at_ns = time.monotonic_ns()
        for holder in self._holders():
            with suppress(ProcessLookupError):
                if holder.is_alive():
                    os.kill(holder.pid, number)
        return at_ns

    def _holders(self) -> list[Holder]:
        loaded = [Holder.load(self._record(kind)) for kind in KINDS]
        return [holder for holder in loaded if holder is not None]

    @property
    def _uuid(self) -> str:
        return str(uuid5(NAMESPACE_DNS, f"{self.host.name}.{self.host.lab}.bmc"))

    def _record(self, kind: str) -> Path:
        return self.chassis.folder / f"{kind}.pid"

    def _log(self, kind: str) -> Path:
        return self.chassis.folder / f"{kind}.log"


def _is_listening(holder: Holder, kind: str, address: str) -> bool:
    """Look among the sockets of the network that it is in. Source: proc_net_tcp."""
    number = int.from_bytes(socket.inet_aton(address), sys.byteorder)
    table, port = ("udp", IPMI_PORT) if kind == "ipmi" else ("tcp", REDFISH_PORT)
    with suppress(OSError):
        rows = Path(f"/proc/{holder.pid}/net/{table}").read_text().splitlines()
        return any(f"{number:08X}:{port:04X}" in row.split()[1:2] for row in rows)
    return False
