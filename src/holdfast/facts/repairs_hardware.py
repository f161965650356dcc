"""What to do about broken hardware, step by step: beside the rows of the catalogue."""

# Markdown, for the page of each.
HARDWARE_STEPS: dict[str, str] = {
    "memory-poisoned": """\
1. See whom it hit: the alarm names the VM, or the process. A protected VM was restarted by its own
   alarm; the page is out of use, and the host goes on.
2. The VIM should place no new VM there (quarantine). From the fourth page of a day on it should
   drain the host: `holdfast host drain HOST`.
3. In the next maintenance test the memory, or replace the module: `ras-mc-ctl --layout`, or the
   BMC's event log, says which.
""",
    "memory-fatal": """\
1. Drain it now: `holdfast host drain HOST`. Each minute more may end all its VMs at once.
2. Switch it off when it is empty, and replace the module. A mere reboot clears the alarm and not
   the fault: the page is used again.
3. If it crashes before: its fence proves it dead and its VMs start elsewhere, where the host is in
   mode act. After it is back, `host-kernel-crashed` has the last words.
""",
    "cpu-suspect": """\
1. `advice: drain` in the details: it erred without being corrected. Drain the host, and replace the
   processor that `socket` names.
2. `advice: quarantine`: it corrects itself, too often. Look whether it is too hot (`overheated`).
3. `part: unknown to Holdfast`: look the bank and the status up in the maker's manual, and tell us.
""",
    "memory-corrected": """\
1. *those of page ... repeat*: it is taken out of use by itself (`repair` in `[hardware]`), and the
   alarm clears when that was enough.
2. Else, or when it comes back: `where` names the modules, or the addresses. Place no new VM there.
3. Drain the host when its VMs allow it (`holdfast host drain HOST`), and replace the module.
""",
    "pcie-error": """\
1. What is it: `lspci -s DEVICE`. A network card: the vSwitch or bond above it has its own alarm.
2. *could not bring it back*: it is gone until it is reset, which is done by itself only with
   `repair = "all"` in `[hardware]`. Nothing of it is used by a VM? Then
   `echo 1 > /sys/bus/pci/devices/DEVICE/remove`, and `echo 1 > /sys/bus/pci/rescan`.
3. Errors that are corrected, and many: seat the card anew, try another slot, then another card.
""",
    "raid-degraded": """\
1. *it is being rebuilt*: wait. `cat /proc/mdstat` says how far it is.
2. *nothing replaces it yet*: a member whose disk is well is put back by itself, and a spare takes
   its place. `tried` in the details says why that did not help. Take the failed member out,
   `mdadm /dev/ARRAY --remove /dev/DISK`, replace the disk, and put the new one in:
   `mdadm /dev/ARRAY --add /dev/DISK`.
3. One that only lost its cable can be put back: `mdadm /dev/ARRAY --re-add /dev/DISK`.
""",
    "hardware-missing": """\
1. Was it taken out, or given to a VM (VFIO) on purpose? Then acknowledge the alarm: it ends with
   the next boot of the host.
2. A disk or card that fell off its bus: look at `dmesg`, seat it anew, or replace it.
3. Memory that is missing after a boot: the firmware switched a module off. Its event log says why.
""",
}
