#!/bin/sh
# Tells thinroot of kernels that are installed on the running layer, made a new initrd for, or removed, so that it boots them.
# It runs as a hook of Debian's kernels and of initramfs-tools (VERSION FILE), and of kernel-install (COMMAND VERSION ...).
# Where it fails the old entry boots, so that a package's installation does not fail with it.
set -e

case "$0" in
    */install.d/*) command=$1 version=$2 ;;
    */postrm.d/*)
        command=keep version=$1
        # An upgrade removes nothing.
        case "$DEB_MAINT_PARAMS" in *remove* | *purge*) command=remove ;; esac
        ;;
    *) command=add version=$1 ;;
esac
[ -n "$version" ] && [ -x /usr/bin/thinroot ] || exit 0

# In an image that is being built, and on a host that is not thinroot's, there is nothing to do.
if [ ! -d /run/systemd/system ] || systemd-detect-virt --quiet --chroot; then
    exit 0
fi
[ -e /boot/loader/thinroot.sel ] || [ -e /efi/loader/thinroot.sel ] || [ -e /boot/efi/loader/thinroot.sel ] || exit 0

case "$command" in
    add) set -- "$version" ;;
    remove) set -- --remove "$version" ;;
    *) exit 0 ;;
esac
/usr/bin/thinroot --quiet layer kernel "$@" || echo "thinroot: the layer boots as before; later: thinroot layer kernel $*" >&2
exit 0
