#!/bin/busybox sh
# First process of the test kernel. BED_JOB (the folder shared with the host) and BED_BINDS (colon-separated MODE=DIR)
# come from the kernel command line. The root is the host's tree, read-only, under a throw-away overlay.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
bb=/bin/busybox
die() { echo "bed: cannot set up $*" >/dev/console; $bb poweroff -f; }
$bb mount -t proc proc /proc || die /proc
$bb mount -t tmpfs -o size=90% tmpfs /mnt || die tmpfs
modules=/usr/lib/uml/modules/$($bb uname -r)
$bb insmod "$modules/kernel/fs/overlayfs/overlay.ko" || die overlay.ko
$bb mkdir /mnt/upper /mnt/work /mnt/root
$bb mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/root || die overlay
root=/mnt/root
$bb mount -t proc proc $root/proc
$bb mount -t sysfs sysfs $root/sys
$bb mount -t devtmpfs dev $root/dev || die devtmpfs
$bb mkdir -p $root/dev/pts $root/dev/shm
$bb mount -t devpts -o ptmxmode=666 devpts $root/dev/pts
$bb mount -t tmpfs shm $root/dev/shm
$bb mount -t tmpfs run $root/run
$bb mount -t tmpfs tmp $root/tmp
$bb mkdir -p $root/run/lock $root/run/lvm $root/run/job $root/lib/modules $root/etc/lvm
$bb ln -sfn "$modules" $root/lib/modules/$($bb uname -r)
$bb mount -t hostfs -o "$BED_JOB" job $root/run/job || die "job folder"
$bb cp "$BED_JOB/lvmlocal.conf" $root/etc/lvm/lvmlocal.conf
for bind in $(echo "$BED_BINDS" | $bb tr : " "); do
    dir=${bind#*=}
    $bb mkdir -p "$root$dir" && $bb mount -t hostfs -o "$dir" host "$root$dir" || die "bind $dir"
    case $bind in ro=*) $bb mount -o remount,ro "$root$dir" || die "ro $dir" ;; esac
done
# pivot_root and not chroot: user namespaces are refused to a process in a chroot.
cd $root && $bb mkdir -p mnt && $bb pivot_root . mnt || die pivot_root
exec $bb chroot . /bin/busybox sh -c '/bin/busybox umount -l /mnt; exec /bin/busybox sh /run/job/stage2.sh'
