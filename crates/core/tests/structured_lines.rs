//! Merges of configuration in lines as hosts have it, and which format a place tells.

mod merge_cases;

use merge_cases::{merged, refused};
use thinroot_core::path::TreePath;
use thinroot_core::structured::{Format, merge};

const NOTHING: [&str; 0] = [];

const FSTAB: &str = "\
# /etc/fstab: static file system information.
#
# <file system> <mount point>   <type>  <options>       <dump>  <pass>
# / was on /dev/vda1 during installation
UUID=0b1d2c3e /               ext4    errors=remount-ro 0       1
UUID=77aa88bb /home           ext4    defaults        0       2
UUID=5c6d7e8f none            swap    sw              0       0
/dev/sr0        /media/cdrom0   udf,iso9660 user,noauto     0       0
";

#[test]
fn fstab_by_mount_field_and_option() {
    let local = FSTAB
        .replace("/home           ext4    defaults   ", "/home           ext4    defaults,noatime,size=1")
        .replace(
            "/dev/sr0        /media/cdrom0   udf,iso9660 user,noauto     0       0\n",
            "\n# the big disk\nUUID=9 /srv xfs defaults,nofail 0 2\n",
        );
    let vendor = FSTAB
        .replace("errors=remount-ro 0       1", "errors=remount-ro,discard 0 1")
        .replace("/home           ext4    defaults  ", "/home           btrfs   defaults,size=2")
        .replace("# / was on /dev/vda1 during installation\n", "# root\n")
        + "tmpfs /tmp tmpfs\n";
    let (text, lost) = merged(Format::Mounts, FSTAB, &local, &vendor);
    assert_eq!(
        text,
        "\
# /etc/fstab: static file system information.
#
# <file system> <mount point>   <type>  <options>       <dump>  <pass>
# root
UUID=0b1d2c3e /               ext4    errors=remount-ro,discard 0 1
UUID=77aa88bb /home           btrfs   defaults,size=1,noatime      0       2
UUID=5c6d7e8f none            swap    sw              0       0

# the big disk
UUID=9 /srv xfs defaults,nofail 0 2
tmpfs /tmp tmpfs
"
    );
    assert_eq!(lost, ["/home: options"]);
}

#[test]
fn fstab_with_fields_left_out() {
    let (b, l, n) = ("a /a x\nb /b x ro 0 0\n", "a /a x defaults 0 2\nb /b x ro\n", "a\t/a y\nb  /b  x ro,z  0 0\n");
    assert_eq!(merged(Format::Mounts, b, l, n), ("a\t/a y\tdefaults\t0\t2\nb  /b  x ro,z  0 0\n".into(), vec![]));
}

#[test]
fn fstab_options_that_repeat_or_are_quoted() {
    let line = |options: &str| format!("d /d x {options} 0 0\n");
    let (b, l) = (line("x=a,x=b"), line("x=b,x=c,context=\"s0:c1,c2\""));
    let n = line("x=a,x=b,x=d,ro");
    assert_eq!(merged(Format::Mounts, &b, &l, &n), (line("x=b,x=d,ro,x=c,context=\"s0:c1,c2\""), vec![]));
    let (b, l, n) = (line("ro"), line("defaults"), line("ro,ro"));
    assert_eq!(merged(Format::Mounts, &b, &l, &n), (line("defaults"), vec![]));
}

#[test]
fn fstab_that_is_none() {
    for odd in ["a /a\n", "a /a x o 0 0 more\n", "a /a x o # why\n", "a /a x\nb /a x\n", "\u{feff}a /a x\n"] {
        refused(Format::Mounts, odd, "q /q x\n");
    }
}

#[test]
fn crypttab_by_name_field_and_option() {
    let b = "# <target> <source> <key> <options>\nroot UUID=1 none luks,discard\nold UUID=2 none luks\n";
    let l = "# <target> <source> <key> <options>\nroot UUID=1 none luks\ndata UUID=3 /etc/keys/data luks\nold UUID=2\n";
    let n = "# target source key options\nroot UUID=1 none luks,discard,tries=5\nold UUID=9 none luks\n";
    let wanted = "# target source key options\nroot UUID=1 none luks,tries=5\ndata UUID=3 /etc/keys/data luks\nold UUID=9 none\n";
    assert_eq!(merged(Format::Crypt, b, l, n), (wanted.into(), vec![]));
    refused(Format::Crypt, "a b\na c\n", "x y\n");
    refused(Format::Crypt, "a\n", "x y\n");
}

const UNIT: &str = "\
[Unit]
Description=OpenBSD Secure Shell server
After=network.target auditd.service

[Service]
EnvironmentFile=-/etc/default/ssh
ExecStartPre=/usr/sbin/sshd -t
ExecStart=/usr/sbin/sshd -D $SSHD_OPTS
# Restart it.
Restart=on-failure
RestartSec=5
RuntimeDirectory=sshd

[Install]
WantedBy=multi-user.target
Alias=sshd.service
";

#[test]
fn a_unit_by_section_and_key() {
    let local = UNIT
        .replace("-t\n", "-t\nExecStartPre=/usr/local/bin/check \\\n    --all\n")
        .replace("Restart=on-failure\n", "# It must always run.\nRestart=always\n# ten\nTimeoutSec=10\n")
        .replace("RestartSec=5", "RestartSec=1")
        .replace("Alias=sshd.service\n", "")
        + "\n# local\n[X-Site]\nOwner=net\n";
    let vendor = UNIT
        .replace("After=network.target auditd.service", "After=network.target nss.target\nWants=nss.target")
        .replace("RestartSec=5\n", "")
        .replace("# Restart it.\nRestart=on-failure", "# Restarted where it fails.\nRestart=on-abnormal")
        .replace("RuntimeDirectory=sshd", "RuntimeDirectory=sshd\nRuntimeDirectoryMode=0755");
    let (text, lost) = merged(Format::Ini, UNIT, &local, &vendor);
    assert_eq!(
        text,
        "\
[Unit]
Description=OpenBSD Secure Shell server
After=network.target nss.target
Wants=nss.target

[Service]
EnvironmentFile=-/etc/default/ssh
ExecStartPre=/usr/sbin/sshd -t
ExecStartPre=/usr/local/bin/check \\
    --all
ExecStart=/usr/sbin/sshd -D $SSHD_OPTS
# Restarted where it fails.
# It must always run.
Restart=always
# ten
TimeoutSec=10
RestartSec=1
RuntimeDirectory=sshd
RuntimeDirectoryMode=0755

[Install]
WantedBy=multi-user.target

# local
[X-Site]
Owner=net
"
    );
    assert_eq!(lost, ["[Service] Restart", "[Service] RestartSec: removed by the image, changed here"]);
}

#[test]
fn a_drop_in_that_resets_a_list() {
    let b = "[Service]\nExecStart=\nExecStart=/usr/bin/a\n";
    let l = "[Service]\nExecStart=\nExecStart=/usr/bin/a -v\nNice=5";
    let n = "[Service]\n# start\nExecStart=\nExecStart=/usr/bin/a\nUser=a";
    let wanted = "[Service]\n# start\nExecStart=\nExecStart=/usr/bin/a -v\nNice=5\nUser=a";
    assert_eq!(merged(Format::Ini, b, l, n), (wanted.into(), vec![]));
}

#[test]
fn a_connection_keeps_its_secret_out_of_the_report() {
    let b = "[connection]\nid=Office\ntype=wifi\n\n[wifi]\nssid=office\n\n[wifi-security]\nkey-mgmt=wpa-psk\npsk=first\n\n[ipv4]\nmethod=auto\n";
    let l = b
        .replace("psk=first", "psk=hunter2")
        .replace("method=auto", "method=manual\naddress1=10.0.0.2/24,10.0.0.1\ndns=10.0.0.1;");
    let n = b.replace("psk=first", "psk=known").replace("ssid=office", "ssid=office2") + "\n[ipv6]\nmethod=ignore\n";
    let wanted = l.replace("ssid=office", "ssid=office2") + "\n[ipv6]\nmethod=ignore\n";
    assert_eq!(merged(Format::Ini, b, &l, &n), (wanted, vec!["[wifi-security] psk".into()]));
}

#[test]
fn sections_of_one_name_are_never_mixed() {
    let b = "[Match]\nName=e\n\n[Route]\nDestination=10.0.0.0/8\nType=blackhole\n";
    let l = format!("{b}\n[Route]\nGateway=192.168.1.1\n");
    let n = b.replace("Name=e", "Name=e*") + "\n[Network]\nDHCP=no\n";
    assert_eq!(merged(Format::Ini, b, &l, &n), (format!("{n}\n[Route]\nGateway=192.168.1.1\n"), vec![]));
    let both = b.replace("Type=blackhole", "Type=prohibit");
    assert_eq!(merge(Format::Ini, Some(b.as_bytes()), l.as_bytes(), both.as_bytes()), None);
}

#[test]
fn removals_on_either_side() {
    let b = "[a]\nx=1\ny=1\n[b]\n# of z\nz=1\n\n[c]\nw=1\n";
    let l = "[a]\ny=2\n[c]\nw=1\n";
    let n = "[a]\nx=2\n[b]\n# of z\nz=1\n\n[c]\nw=1\n";
    let wanted = "[a]\ny=2\n[c]\nw=1\n";
    let lost = vec![
        "[a] x: removed here, changed by the image".to_owned(),
        "[a] y: removed by the image, changed here".to_owned(),
    ];
    assert_eq!(merged(Format::Ini, b, l, n), (wanted.into(), lost));
    // What the layer changed in a section that the vendor dropped keeps its section.
    let wanted = "[a]\nx=1\n\n[b]\nz=2\n";
    let lost = vec!["[b] z: removed by the image, changed here".to_owned()];
    assert_eq!(
        merged(Format::Ini, "[a]\nx=1\n[b]\nz=1\nq=1\n", "[a]\nx=1\n[b]\nz=2\nq=1\n", "[a]\nx=1\n"),
        (wanted.into(), lost)
    );
}

#[test]
fn without_a_base_both_arrive() {
    let merged = merge(Format::Ini, None, b"[a]\nx=1\nz=3\n", b"[a]\nx=2\ny=2\n").unwrap();
    assert_eq!(merged.text, b"[a]\nx=1\nz=3\ny=2\n");
    assert_eq!(merged.lost, ["[a] x"]);
}

#[test]
fn ini_that_is_unclear() {
    for odd in [
        "[a]\nkey =\n  deeper\n",
        "[a]\nkey =\n  deeper = 1\n",
        "[a]\nurl: x?y=1\n",
        "[a]\nsome words\n",
        "[a] key=1\n",
        "[a\n",
        "[a]\nk=1\\",
        "[a]\nk=1\rl=1\n",
        "[a]\n=1\n",
        "\u{feff}[a]\nk=1\n",
    ] {
        refused(Format::Ini, odd, "[a]\nk=2\n");
    }
    assert_eq!(merge(Format::Ini, Some(b"[a]\nx=\xff\n"), b"[a]\nx=1\n", b"[a]\nx=2\n"), None);
}

const GRUB: &str = "\
# If you change this file, run 'update-grub' afterwards to update
# /boot/grub/grub.cfg.

GRUB_DEFAULT=0
GRUB_TIMEOUT=5
GRUB_DISTRIBUTOR=`( . /etc/os-release; echo ${NAME:-Debian} ) 2>/dev/null || echo Debian`
GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"
GRUB_CMDLINE_LINUX=\"\"

# Uncomment to disable graphical terminal
#GRUB_TERMINAL=console

# The resolution used on graphical terminal
#GRUB_GFXMODE=640x480
";

#[test]
fn default_grub_by_key() {
    let local = GRUB
        .replace("GRUB_TIMEOUT=5", "# no waiting, don't ask\nGRUB_TIMEOUT=0")
        .replace("LINUX=\"\"", "LINUX=\"console=ttyS0\"")
        .replace("#GRUB_TERMINAL=console", "GRUB_TERMINAL=serial")
        + "\n# Kept by net team.\n";
    let vendor = GRUB
        .replace("# If you change", "# When you change")
        .replace("GRUB_DEFAULT=0\n", "GRUB_DEFAULT=0\n# Seconds.\n")
        .replace("DEFAULT=\"quiet\"", "DEFAULT=\"quiet splash\"")
        .replace("#GRUB_GFXMODE=640x480", "#GRUB_GFXMODE=1024x768");
    let wanted = "\
# When you change this file, run 'update-grub' afterwards to update
# /boot/grub/grub.cfg.

GRUB_DEFAULT=0
# Seconds.
# no waiting, don't ask
GRUB_TIMEOUT=0
GRUB_DISTRIBUTOR=`( . /etc/os-release; echo ${NAME:-Debian} ) 2>/dev/null || echo Debian`
GRUB_CMDLINE_LINUX_DEFAULT=\"quiet splash\"
GRUB_CMDLINE_LINUX=\"console=ttyS0\"

# Uncomment to disable graphical terminal
GRUB_TERMINAL=serial
#GRUB_TERMINAL=console

# The resolution used on graphical terminal
#GRUB_GFXMODE=1024x768

# Kept by net team.
";
    assert_eq!(merged(Format::Assignments, GRUB, &local, &vendor), (wanted.into(), vec![]));
}

#[test]
fn sysctl_settings_with_dots_slashes_and_a_dash() {
    let b = "# a\nkernel.sysrq = 1\nnet.ipv4.ip_forward=0\n-net.core.x = 1\n";
    let l = "# a\nkernel.sysrq=438\nnet/ipv4/ip_forward = 1\nnet.core.x = 1\nnet/ipv4/conf/eth0.1/rp_filter=2\n";
    let n = "# b\nkernel.sysrq = 0\nnet.ipv4.ip_forward=0\n-net.core.x = 1\n-net.ipv4.conf.all.rp_filter\n";
    let wanted = "# b\nkernel.sysrq=438\nnet/ipv4/ip_forward = 1\nnet.core.x = 1\nnet/ipv4/conf/eth0.1/rp_filter=2\n-net.ipv4.conf.all.rp_filter\n";
    assert_eq!(merged(Format::Assignments, b, l, n), (wanted.into(), vec!["kernel.sysrq".into()]));
}

#[test]
fn a_script_is_no_list_of_assignments() {
    for odd in
        ["if true; then\nA=1\nfi\n", ". /etc/x\n", "A=\"1\n2\"\n", "A='x\n", "A=1\\\n2\n", "A B=1\n", "A=\"b\\\"\n"]
    {
        refused(Format::Assignments, odd, "K=2\n");
    }
    let (b, l, n) = ("export A=1\nB='#'\n", "export A=1 # it's one\nB='#'\n", "A=1\nB='#'\nC=3\n");
    assert_eq!(merged(Format::Assignments, b, l, n), ("export A=1 # it's one\nB='#'\nC=3\n".into(), vec!["A".into()]));
}

#[test]
fn line_ends_are_the_vendors() {
    let (b, l, n) = ("[a]\r\nx=1\r\n", "[a]\nx=1\n# why\ny=2\n", "[a]\r\nx=3\r\n\r\n[b]\r\nz=1");
    let wanted = "[a]\r\nx=3\r\n# why\r\ny=2\r\n\r\n[b]\r\nz=1";
    assert_eq!(merged(Format::Ini, b, l, n), (wanted.into(), vec![]));
    let (b, l, n) = ("A=1", "A=1\nB=2", "A=3");
    assert_eq!(merged(Format::Assignments, b, l, n), ("A=3\nB=2\n".into(), vec![]));
}

#[test]
fn equal_texts_need_no_reading() {
    for format in [Format::Mounts, Format::Crypt, Format::Ini, Format::Assignments, Format::Json, Format::Toml] {
        let [x, y] = [b"\xff{", b"\xfe["].map(|raw| raw.as_slice());
        let of = |base, local, vendor| merge(format, base, local, vendor).map(|merged| merged.text);
        assert_eq!(of(Some(x), x, y).as_deref(), Some(y));
        assert_eq!(of(Some(x), y, x).as_deref(), Some(y));
        assert_eq!(of(None, y, y).as_deref(), Some(y));
        assert_eq!(of(None, x, y), None);
    }
}

#[test]
fn formats_by_place_and_name() {
    let word = |format: Format| match format {
        Format::Mounts => "fstab",
        Format::Crypt => "crypttab",
        Format::Ini => "ini",
        Format::Assignments => "assignments",
        Format::Json => "json",
        Format::Toml => "toml",
        Format::Yaml => "yaml",
    };
    let of = |path: &str| Format::of_path(&TreePath::parse(path.as_bytes()).unwrap()).map(word);
    for (path, word) in [
        ("etc/fstab", Some("fstab")),
        ("etc/crypttab", Some("crypttab")),
        ("srv/etc/fstab", None),
        ("etc/systemd/system/a.service", Some("ini")),
        ("etc/systemd/system/a.service.d/local.conf", Some("ini")),
        ("etc/systemd/journald.conf", Some("ini")),
        ("etc/systemdx/journald.conf", None),
        ("etc/NetworkManager/NetworkManager.conf", Some("ini")),
        ("etc/NetworkManager/system-connections/Office", Some("ini")),
        ("etc/NetworkManager/dispatcher.d/10-up", None),
        ("etc/yum.repos.d/a.repo", Some("ini")),
        ("etc/containers/systemd/a.network", Some("ini")),
        ("etc/php/php.ini", Some("ini")),
        ("etc/default/grub", Some("assignments")),
        ("etc/default", None),
        ("etc/sysctl.conf", Some("assignments")),
        ("etc/sysctl.d/10-x.conf", Some("assignments")),
        ("etc/sysctl.d/README", None),
        ("etc/docker/daemon.json", Some("json")),
        ("etc/containerd/config.toml", Some("toml")),
        ("etc/netplan/01-network.yaml", Some("yaml")),
        ("etc/app/app.yml", Some("yaml")),
        ("etc/.json", None),
        ("etc/passwd", None),
        ("", None),
    ] {
        assert_eq!(of(path), word, "{path}");
    }
    assert_eq!(merged(Format::Ini, "", "a=1\n", "b=1\n").1, NOTHING);
}
