"""What to do about an alarm, step by step, where the sentence of the catalogue is too little."""

from holdfast.facts.repairs_hardware import HARDWARE_STEPS

# Markdown, for the page of each.
STEPS: dict[str, str] = {
    **HARDWARE_STEPS,
    "disarmed": """\
1. Look who switched recovery off, why, and until when: `holdfast status`. Leave it off while that
   work lasts; it comes back by itself.
2. Until then VMs that fail are reported, and stay down: start one with `virsh start NAME`. VMs
   that run are not touched.
3. Sooner: `holdfast arm`. The alarm is raised per host that was told, so one disarm of the site
   shows once for each host; all clear together.
""",
    "agent-away": """\
1. Start what ended there: `systemctl start holdfast.target`, or without systemd
   `/etc/init.d/holdfast start`. Its log says why it ended: `journalctl -u holdfast-agent`, or
   `/var/log/holdfast/agent.log`.
2. Its VMs run on. Until the agent is back nobody sees that one of them fails, and none is
   restarted: look with `virsh list --all` on the host.
3. If it runs and is not linked, `holdfast status` on that host says what the link lacks: the
   network to TCP 7311, or a certificate.
""",
    "pulse-away": """\
1. Start what ended there: `systemctl start holdfast.target`, or without systemd
   `/etc/init.d/holdfast start`. Its log says why it ended: `journalctl -u holdfast-pulse`, or
   `/var/log/holdfast/pulse.log`.
2. Its VMs run on; do not reset it. While its agent runs they are watched and restarted. Where all
   of Holdfast was stopped, nothing watches them: look with `virsh list --all` on the host.
3. While the pulse is away, the loss of the host itself is noticed late.
4. If the pulse runs, its way is cut: let UDP 7312 pass from the host to every controller.
""",
    "process-failed": """\
1. *Local repair in progress*: wait. The host begins it again itself, and the alarm clears, or says
   what was tried. `holdfast explain NAME` tells each step and its result.
2. *Handed over*: its host lives, and so do the VMs there; do not reset it. Read the process's own
   log (`journalctl -u UNIT`), mend what keeps it from running, and start it. The alarm clears when
   it has run for a second.
3. It was stopped on purpose, by other means than its service manager? Leave its end mark next
   time: `touch /run/holdfast/stopped/NAME`. Whether such a host is given no VMs any more, or its
   VMs move away, says `hand_over` in the settings ([Mending](../mending.md)).
""",
    "host-unfenceable": """\
1. `holdfast fence list` says of each device of the host what it answered. While this alarm is open
   the host's VMs run on, and nothing is done to it; only if it dies now they start nowhere else.
2. *does not answer*, or a refused login: look at the BMC's address, its network, its user. Set the
   device anew if its address or password changed: `holdfast fence set HOST AGENT ...`.
3. *says off while the host pulses*: the device belongs to another machine. **It would switch off
   the wrong one.** Take it away at once: `holdfast fence clear HOST`, then find the right one.
4. `holdfast fence rehearse HOST` tries again, and harms nothing. Where it cannot be mended soon,
   say that a person acts on this host: `holdfast host mode HOST report`.
""",
    "host-lost": """\
1. Look at the host from outside: its console or BMC, its power, its switch ports. `holdfast
   explain` tells who heard what of it, and when.
2. Nobody starts its VMs elsewhere, and nor should you while it may still live: two copies of a VM
   on one disk destroy the disk. Switch the host off first, and see that it is off; then its VMs
   may be started on another host by hand.
3. When it comes back the alarm clears, and its agent looks after its VMs again: see `holdfast vm
   list`. If it never does: `holdfast settle INCIDENT`, and `holdfast ca certificate revoke HOST
   --reason gone`.
""",
    "host-frozen": """\
1. Find out first which it is. Log in, or look at its console: if it answers, it is not frozen,
   and only Holdfast's programs ended there (somebody stopped them, perhaps). Its VMs run on then:
   `virsh list`. Start the services: `systemctl start holdfast.target`, or `/etc/init.d/holdfast
   start`. Do not reset it.
2. If neither console nor login answers, its VMs most likely stand still too. It may go on by
   itself, after a storm of swapping for example: wait as long as its VMs allow.
3. A reset ends every VM on it. Start none of them elsewhere before the host was reset; afterwards
   see `holdfast vm list`, and start by hand what does not run and should.
""",
}
