"""The sample guest's libvirt definition has every device that tells of a failure."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.sax.saxutils import quoteattr

from holdfast.lab.acceleration import Acceleration
from holdfast.lab.guest_image import GuestImage

# Everything that saves time on a software-emulated CPU, and a panic that waits for its watcher.
KERNEL_WORDS = (
    "console=ttyS0 quiet panic=0 mitigations=off no_timer_check tsc=reliable"
    " cryptomgr.notests rcupdate.rcu_expedited=1 i8042.noaux i8042.nokbd"
)
CONSOLE_LOG_FOLDER = Path("/var/log/libvirt/qemu")


@dataclass(frozen=True)
class GuestDisk:
    """A disk of a sample guest: a file, or an NBD export behind a unix socket."""

    path: Path
    kind: Literal["file", "nbd"] = "file"
    error_policy: Literal["stop", "report"] = "stop"
    format: Literal["raw", "qcow2"] = "raw"


@dataclass(frozen=True)
class GuestPlan:
    """What one sample guest is made of. `address` is like 10.77.0.101/24 and needs a bridge.

    With `has_touched_memory` QEMU touches all of it at the start; with `is_memory_dumped` it is
    part of a core dump.
    """

    name: str
    uuid: str
    memory_mib: int = 128
    has_touched_memory: bool = False
    is_memory_dumped: bool = False
    vcpus: int = 1
    bridge: str | None = None
    address: str | None = None
    disk: GuestDisk | None = None
    on_crash: Literal["destroy", "restart", "preserve"] = "preserve"
    watchdog_action: Literal["none", "pause", "reset", "poweroff"] = "none"

    @property
    def console_log(self) -> Path:
        """Where the text of the serial console is kept, on the guest's host."""
        return CONSOLE_LOG_FOLDER / f"{self.name}-console.log"


def render_guest_xml(plan: GuestPlan, image: GuestImage, acceleration: Acceleration) -> str:
    """Write the domain XML of a sample guest."""
    has_kvm = acceleration.kind == "kvm"
    words = KERNEL_WORDS + (f" holdfast.ip={plan.address}" if plan.address else "")
    dumped = "on" if plan.is_memory_dumped else "off"
    return f"""<domain type='{"kvm" if has_kvm else "qemu"}'>
  <name>{plan.name}</name>
  <uuid>{plan.uuid}</uuid>
  <memory unit='MiB' dumpCore='{dumped}'>{plan.memory_mib}</memory>
  {_render_touched_memory(plan)}
  <vcpu>{plan.vcpus}</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{image.kernel}</kernel>
    <initrd>{image.initramfs}</initrd>
    <cmdline>{words}</cmdline>
  </os>
  <features><acpi/></features>
  {"<cpu mode='host-passthrough' migratable='on'/>" if has_kvm else ""}
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>{plan.on_crash}</on_crash>
  <devices>
    <serial type='pty'><log file={quoteattr(str(plan.console_log))} append='on'/></serial>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <panic model='isa'/>
    <watchdog model='i6300esb' action='{plan.watchdog_action}'/>
    <video><model type='vga'/></video>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    {_render_network(plan)}
    {_render_disk(plan.disk)}
  </devices>
</domain>
"""


def _render_touched_memory(plan: GuestPlan) -> str:
    if not plan.has_touched_memory:
        return ""
    return "<memoryBacking><allocation mode='immediate'/></memoryBacking>"


def _render_network(plan: GuestPlan) -> str:
    if plan.bridge is None:
        return ""
    source = f"<source bridge={quoteattr(plan.bridge)}/>"
    return f"<interface type='bridge'>{source}<model type='virtio'/></interface>"


def _render_disk(disk: GuestDisk | None) -> str:
    if disk is None:
        return ""
    path = quoteattr(str(disk.path))
    source = f"<source file={path}/>"
    if disk.kind == "nbd":
        source = f"<source protocol='nbd'><host transport='unix' socket={path}/></source>"
    return f"""<disk type='{"file" if disk.kind == "file" else "network"}' device='disk'>
      <driver name='qemu' type='{disk.format}' cache='none' error_policy='{disk.error_policy}'/>
      {source}
      <target dev='vda' bus='virtio'/>
    </disk>"""
