#!/bin/sh
# Starts a timer of the kernel's that restarts the machine, where the boot loader says that this start is a try. Whatever hangs
# from here on, a machine that nobody declares good comes back; 'thinroot bless' stops the timer. It is softdog, so that no
# hardware is needed; a kernel that hangs itself needs a hardware watchdog.
#
#   thinroot.try          this start is a try (set by the boot loader)
#   thinroot.deadman=N    seconds until the restart, 900 unless said otherwise; 0: never
case "$1" in
    prereqs) exit 0 ;;
esac
try=
limit=900
for word in $(cat /proc/cmdline); do
    case "$word" in
        thinroot.try) try=yes ;;
        thinroot.deadman=*) limit=${word#*=} ;;
    esac
done
[ -n "$try" ] && [ "$limit" -gt 0 ] 2>/dev/null || exit 0
modprobe -q softdog soft_margin="$limit" || exit 0
for dog in /sys/class/watchdog/*; do
    if [ "$(cat "$dog/identity" 2>/dev/null)" = "Software Watchdog" ]; then
        # Closed without its password, it goes on.
        echo >"/dev/${dog##*/}"
    fi
done
exit 0
