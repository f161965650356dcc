"""The sample guest's first process loads drivers, starts the guest agent and says READY."""

# Everything it calls is busybox, linked into /bin when the image is made.
INIT_SCRIPT = """#!/bin/sh
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in $(cat /modules/order); do insmod /modules/$module; done
ip link set lo up

# Without udev the agent's port is found by its name.
find_agent_port() {
    for port in /sys/class/virtio-ports/*; do
        name=$(cat $port/name 2>/dev/null)
        [ "$name" = org.qemu.guest_agent.0 ] && echo /dev/${port##*/} && return
    done
    return 1
}
tries=0
until port=$(find_agent_port) || [ $tries -ge 100 ]; do tries=$((tries + 1)); usleep 10000; done
[ -n "$port" ] && qemu-ga -d -m virtio-serial -p $port -f /run/qemu-ga.pid -t /run

for word in $(cat /proc/cmdline); do
    case $word in holdfast.ip=*)
        ip addr add ${word#holdfast.ip=} dev eth0
        ip link set eth0 up
        httpd -p 80 -h /www;;
    esac
done
acpid
echo READY > /dev/console
while :; do setsid cttyhack sh; done
"""

# qemu-ga calls this for guest-shutdown, acpid for the power button.
SHUTDOWN_SCRIPT = """#!/bin/sh
sync
case "$1" in
    -r) exec /bin/busybox reboot -f ;;
    *) exec /bin/busybox poweroff -f ;;
esac
"""

# A real-time loop that nothing in the guest can interrupt. Linux 6.12 keeps 5 % of a CPU for
# ordinary tasks (the fair server) unless it is told not to.
STARVE_SCRIPT = """#!/bin/sh
echo -1 > /proc/sys/kernel/sched_rt_runtime_us
mount -t debugfs debug /sys/kernel/debug 2>/dev/null
for server in /sys/kernel/debug/sched/fair_server/*; do
    [ -e $server/runtime ] && echo 0 > $server/runtime
done
cpus=$(grep -c ^processor /proc/cpuinfo)
while [ $cpus -gt 1 ]; do
    chrt -f 99 /bin/sh -c 'while :; do :; done' &
    cpus=$((cpus - 1))
done
exec chrt -f 99 /bin/sh -c 'while :; do :; done'
"""
