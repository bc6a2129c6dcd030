use super::*;

fn path(text: &str) -> TreePath {
    TreePath::parse(text.as_bytes()).unwrap()
}

fn merged_usr() -> BTreeMap<Vec<u8>, Vec<u8>> {
    [(b"bin".to_vec(), b"usr/bin".to_vec()), (b"lib".to_vec(), b"usr/lib".to_vec())].into()
}

#[test]
fn what_nobody_vouches_for_is_the_hosts_own() {
    let vendor = Vendor {
        answers: true,
        owned: ["etc", "etc/shipped", "usr", "usr/bin", "usr/bin/tool"].map(path).into(),
        changed: [
            ("etc/edited", Deviation::Content),
            ("usr/bin/patched", Deviation::Content),
            ("etc/opened", Deviation::Meta),
            ("etc/replaced", Deviation::Missing { config: true }),
        ]
        .map(|(text, deviation)| (path(text), deviation))
        .into(),
    };
    let policy = Policy::default();
    let of = |text: &str| fate(&policy, &vendor, &path(text), None);
    for (text, wanted) in [
        ("", Fate::Keep),
        ("etc/shipped", Fate::Keep),
        ("usr/bin/tool", Fate::Keep),
        ("etc/edited", Fate::Restore(Deviation::Content)),
        ("usr/bin/patched", Fate::Restore(Deviation::Content)),
        ("etc/opened", Fate::Restore(Deviation::Meta)),
        ("etc/replaced", Fate::Remove),
        ("etc/mine", Fate::Remove),
        ("etc/passwd", Fate::Remove),
        ("var/lib/db/data", Fate::Remove),
        ("home/me", Fate::Remove),
        ("usr/bin/mine", Fate::Remove),
        ("tmp/x", Fate::Remove),
        ("var/cache/big", Fate::Remove),
        ("var/lib/dpkg/status", Fate::Keep),
        ("usr/lib/sysimage/rpm/rpmdb.sqlite", Fate::Keep),
        ("usr/lib/python3/dist-packages/__pycache__/x.pyc", Fate::Keep),
        ("usr/lib/modules/6.1.0/modules.dep", Fate::Keep),
        ("usr/lib/modules/6.1.0/extra/mine.ko", Fate::Remove),
        ("etc/ssl/certs/ca-certificates.crt", Fate::Keep),
    ] {
        assert_eq!(of(text), wanted, "{text}");
    }
    let link = |text: &str, target: &str| fate(&policy, &vendor, &path(text), Some(target.as_bytes()));
    assert_eq!(link("usr/bin/editor", "/etc/alternatives/editor"), Fate::Keep);
    assert_eq!(link("etc/alternatives/editor", "/usr/bin/vim"), Fate::Remove);
    assert_eq!(link("etc/ssl/certs/a.pem", "/usr/share/ca-certificates/mozilla/a.crt"), Fate::Keep);
    assert_eq!(link("etc/ssl/certs/0a1b2c3d.0", "a.pem"), Fate::Keep);
    assert_eq!(link("etc/ssl/certs/mine.pem", "/usr/local/share/ca-certificates/mine.crt"), Fate::Remove);
    let silent = Vendor { answers: false, ..vendor.clone() };
    assert_eq!(fate(&policy, &silent, &path("usr/bin/unknown"), None), Fate::Keep);
    assert_eq!(fate(&policy, &silent, &path("etc/unknown"), None), Fate::Remove);
    assert_eq!(link("vmlinuz", "boot/vmlinuz-6.1"), Fate::Keep);
    assert_eq!(link("srv/vmlinuz", "boot/vmlinuz-6.1"), Fate::Remove);
}

#[test]
fn a_removal_counts_where_state_is_carried() {
    let policy = Policy::default();
    assert!(removal_counts(&policy, &path("etc/cron.d/gone")));
    assert!(!removal_counts(&policy, &path("usr/share/doc/x/copyright")));
    assert!(!removal_counts(&policy, &path("var/lib/dpkg/info/x.list")));
}

#[test]
fn what_dpkg_and_rpm_print_is_read() {
    let dpkg = b"??5?????? c /etc/ssh/ssh config\nmissing   c /etc/cron.d/x\nmissing     /lib/a\n??5??????   /bin/b\n";
    let wanted = [
        ("etc/ssh/ssh config", Deviation::Content),
        ("etc/cron.d/x", Deviation::Missing { config: true }),
        ("usr/lib/a", Deviation::Missing { config: false }),
        ("usr/bin/b", Deviation::Content),
    ];
    assert_eq!(verified(dpkg, &merged_usr()), wanted.map(|(text, deviation)| (path(text), deviation)).into());
    let rpm =
        b"S.5....T.  c /etc/a\n.M...UG..    /var/b\n.......T.  c /etc/c\nUnsatisfied dependencies for x-1-1: /bin/y\n\
                ....L....  c /etc/d\nmissing     /root/e (Permission denied)\n.........  g /etc/f(1)\n";
    let wanted = [
        ("etc/a", Deviation::Content),
        ("var/b", Deviation::Meta),
        ("etc/d", Deviation::Content),
        ("root/e", Deviation::Missing { config: false }),
    ];
    assert_eq!(verified(rpm, &BTreeMap::new()), wanted.map(|(text, deviation)| (path(text), deviation)).into());
    let list = b"/.\n/bin\n/bin/a\n/lib/x86/b\n/etc/c\n\nnone\n";
    let wanted = ["bin", "usr/bin/a", "usr/lib/x86/b", "etc/c"].map(path);
    assert_eq!(dpkg_list(list, &merged_usr()).into_iter().filter(|path| !path.is_root()).collect::<Vec<_>>(), wanted);
    let record = "auto\n/usr/bin/editor\neditor.1.gz\n/usr/share/man/man1/editor.1.gz\n\n/bin/nano\n40\n";
    assert_eq!(automatic_alternatives("editor", record), ["editor", "editor.1.gz"]);
    assert_eq!(automatic_alternatives("editor", "manual\n/usr/bin/editor\n"), [""; 0]);
    let hashes = ucf_hashes(b"0123456789abcdef0123456789abcdef  /etc/ssh/sshd_config\nshort /x\n");
    assert_eq!(hashes, [(path("etc/ssh/sshd_config"), "0123456789abcdef0123456789abcdef".to_string())].into());
}
