//! What holds where neither the image nor the admin says otherwise.

use super::{Class, Format, Reach, Treatment};

const OUTSIDE: &str = "changed outside the state scope, not carried";
const PACKAGES: &str = "packages installed here are not carried yet";
const BOOT: &str = "kernels and boot entries belong to the image; changes in /boot are not carried";

/// The built-in table: path, reach, treatment, note.
pub(super) const BUILT_IN: &[(&str, Reach, Treatment, &str)] = {
    use Class::{Carry, Derived, Identity, Merge, Structured};
    use Reach::{Exact, Prefix, Tree};
    use Treatment::{Ignored, NotCarried, State};
    &[
        ("", Tree, NotCarried, OUTSIDE),
        // The scope.
        ("etc", Tree, State(Merge), ""),
        ("root", Tree, State(Carry), ""),
        ("usr/local", Tree, State(Carry), ""),
        ("opt", Tree, State(Carry), ""),
        ("srv", Tree, State(Carry), ""),
        ("home", Tree, State(Carry), ""),
        ("var", Tree, State(Carry), ""),
        // Who this host is.
        ("etc/machine-id", Exact, State(Identity), ""),
        ("etc/hostname", Exact, State(Identity), ""),
        ("etc/hostid", Exact, State(Identity), ""),
        ("etc/adjtime", Exact, State(Identity), ""),
        ("etc/ssh/ssh_host_", Prefix, State(Identity), ""),
        ("etc/iscsi/initiatorname.iscsi", Exact, State(Identity), ""),
        ("etc/nvme/hostnqn", Exact, State(Identity), ""),
        ("etc/nvme/hostid", Exact, State(Identity), ""),
        ("var/lib/dbus/machine-id", Exact, State(Identity), ""),
        ("var/lib/systemd/random-seed", Exact, State(Identity), ""),
        // Who may log in: one set, merged by name.
        ("etc/passwd", Exact, State(Structured(Format::Accounts)), ""),
        ("etc/group", Exact, State(Structured(Format::Accounts)), ""),
        ("etc/shadow", Exact, State(Structured(Format::Accounts)), ""),
        ("etc/gshadow", Exact, State(Structured(Format::Accounts)), ""),
        ("etc/subuid", Exact, State(Structured(Format::Accounts)), ""),
        ("etc/subgid", Exact, State(Structured(Format::Accounts)), ""),
        // Which physical volumes this host may use, and what it calls its multipath devices.
        ("etc/lvm/devices", Tree, State(Identity), ""),
        ("etc/multipath/bindings", Exact, State(Identity), ""),
        ("etc/multipath/wwids", Exact, State(Identity), ""),
        // What was chosen here among alternatives; the choices themselves are the image's.
        ("var/lib/dpkg/alternatives", Tree, State(Merge), ""),
        ("var/lib/alternatives", Tree, State(Merge), ""),
        // SELinux: only what was added here; the policy itself is built from the image's modules.
        ("var/lib/selinux", Tree, State(Derived), ""),
        ("var/lib/selinux/targeted/active/modules/400", Tree, State(Carry), ""),
        ("var/lib/selinux/targeted/active/booleans.local", Exact, State(Carry), ""),
        ("var/lib/selinux/targeted/active/file_contexts.local", Exact, State(Carry), ""),
        ("var/lib/selinux/targeted/active/ports.local", Exact, State(Carry), ""),
        ("var/lib/selinux/targeted/active/seusers.local", Exact, State(Carry), ""),
        ("var/lib/selinux/targeted/active/users_extra.local", Exact, State(Carry), ""),
        ("var/lib/selinux/targeted/active/interfaces.local", Exact, State(Carry), ""),
        ("var/lib/selinux/targeted/active/nodes.local", Exact, State(Carry), ""),
        // Generated from other files.
        ("etc/ld.so.cache", Exact, State(Derived), ""),
        ("etc/udev/hwdb.bin", Exact, State(Derived), ""),
        ("etc/selinux/targeted/policy", Tree, State(Derived), ""),
        ("var/cache", Tree, State(Derived), ""),
        ("var/lib/apt/lists", Tree, State(Derived), ""),
        ("boot/initrd", Prefix, State(Derived), ""),
        ("boot/initramfs", Prefix, State(Derived), ""),
        ("initrd.img", Prefix, State(Derived), ""),
        // Package databases are never copied: they describe the image, not the layer.
        ("var/lib/dpkg", Tree, NotCarried, PACKAGES),
        ("var/lib/rpm", Tree, NotCarried, PACKAGES),
        ("usr/lib/sysimage/rpm", Tree, NotCarried, PACKAGES),
        // Not part of a root file system, or not outliving a boot.
        ("run", Tree, Ignored, ""),
        ("tmp", Tree, Ignored, ""),
        ("var/tmp", Tree, Ignored, ""),
        ("proc", Tree, Ignored, ""),
        ("sys", Tree, Ignored, ""),
        ("dev", Tree, Ignored, ""),
        ("lost+found", Tree, Ignored, ""),
        ("boot/lost+found", Tree, Ignored, ""),
        ("boot", Tree, NotCarried, BOOT),
    ]
};
