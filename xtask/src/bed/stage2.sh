# Runs the job's command in the finished root and hands its exit code over. A reboot in User Mode Linux starts the
# kernel again with the same init, so a second boot must end the job instead of running it again.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb LANG=C.UTF-8
bb=/bin/busybox
end() { echo "$1" >/run/job/rc.new && $bb mv /run/job/rc.new /run/job/rc; $bb poweroff -f; }
[ -e /run/job/booted ] && end 126
: >/run/job/booted
$bb hostname bed
$bb ip link set lo up 2>/dev/null
modprobe -a loop dm-mod dm-thin-pool dm-snapshot 2>/dev/console
set -a; . /run/job/env; set +a
cd "$BED_CWD" 2>/dev/null || cd /
(while :; do echo alive >/run/job/alive; $bb sleep 5; done) </dev/null >/dev/null 2>&1 &
/bin/sh /run/job/cmd >>/run/job/stdout 2>>/run/job/stderr </dev/null; rc=$?
$bb sync
end $rc
