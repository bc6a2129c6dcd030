//! Goal: what an admin set is found in the result, what a vendor changed elsewhere arrives, and what clashes is named.
//!
//! Method: files as they are met on hosts, one table a format; then random texts against the laws.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// The merged text and what lost.
fn three(format: Format, base: &str, local: &str, vendor: &str) -> (String, Vec<String>) {
    let merged = merge(format, Some(base.as_bytes()), local.as_bytes(), vendor.as_bytes()).expect("of the format");
    (String::from_utf8(merged.text).unwrap(), merged.lost)
}

fn expect(format: Format, base: &str, local: &str, vendor: &str, text: &str, lost: &[&str]) {
    let (got, gave_way) = three(format, base, local, vendor);
    assert_eq!(got, text, "{format:?}");
    assert_eq!(gave_way, lost, "{format:?}");
    assert_eq!(three(format, vendor, &got, vendor).0, got, "merged again it is itself");
}

#[test]
fn fstab_by_mount_point_and_field() {
    let base = "# <file system> <mount point> <type> <options> <dump> <pass>
UUID=a / ext4 errors=remount-ro 0 1
UUID=b /srv   ext4 defaults 0 2
UUID=s none swap sw 0 0
";
    let local = "# <file system> <mount point> <type> <options> <dump> <pass>
UUID=a / ext4 errors=remount-ro,noatime 0 1
UUID=b /srv   xfs defaults,nodev 0 2
# the backup disk
UUID=c /backup ext4 noauto 0 0
UUID=s none swap sw 0 0
";
    let vendor = "# <file system> <mount point> <type> <options> <dump> <pass>
UUID=a / ext4 errors=remount-ro,discard 0 1
UUID=b /srv   btrfs defaults 0 2
UUID=s none swap sw,pri=5 0 0
tmpfs /tmp tmpfs nosuid 0 0
";
    let wanted = "# <file system> <mount point> <type> <options> <dump> <pass>
UUID=a / ext4 errors=remount-ro,discard,noatime 0 1
UUID=b /srv   xfs defaults,nodev 0 2
# the backup disk
UUID=c /backup ext4 noauto 0 0
UUID=s none swap sw,pri=5 0 0
tmpfs /tmp tmpfs nosuid 0 0
";
    expect(Format::Mounts, base, local, vendor, wanted, &["/srv: type"]);
    let twice = "a /x ext4 ro\nb /x ext4 ro\n";
    assert_eq!(merge(Format::Mounts, Some(b""), twice.as_bytes(), b"c /y ext4 ro\n"), None);
    assert_eq!(merge(Format::Mounts, Some(b""), b"no table\n", b"c /y ext4 ro\n"), None);
}

#[test]
fn crypttab_by_name() {
    let base = "data UUID=1 none luks\n";
    let local = "data UUID=1 /etc/key luks,discard\nmore UUID=2 none\n";
    let vendor = "data UUID=1 none luks,tries=3\n";
    expect(Format::Crypt, base, local, vendor, "data UUID=1 /etc/key luks,tries=3,discard\nmore UUID=2 none\n", &[]);
}

#[test]
fn units_and_ini_by_section_and_key() {
    let base = "[Unit]
Description=A service

[Service]
# how it starts
ExecStart=/usr/bin/a
ExecStart=/usr/bin/b \\
  --more
Restart=no
Nice=0
";
    let local = "[Unit]
Description=A service

[Service]
# how it starts
ExecStart=
ExecStart=/usr/local/bin/a
# because of the noise
Environment=QUIET=1
Restart=always

[Install]
WantedBy=multi-user.target
";
    let vendor = "[Unit]
Description=A better service
After=network.target

[Service]
# how it starts, and with what
ExecStart=/usr/bin/a
ExecStart=/usr/bin/b \\
  --more
Restart=on-failure
Nice=0
";
    let wanted = "[Unit]
Description=A better service
After=network.target

[Service]
# how it starts, and with what
ExecStart=
ExecStart=/usr/local/bin/a
# because of the noise
Environment=QUIET=1
Restart=always

[Install]
WantedBy=multi-user.target
";
    expect(Format::Ini, base, local, vendor, wanted, &["[Service] Restart"]);
    assert_eq!(merge(Format::Ini, Some(b""), b"[half\nx=1\n", b"y=1\n"), None);
}

#[test]
fn a_setting_goes_where_it_stood_commented_out() {
    let base = "# Port it listens on
#Port=22
# Who may come
Users=all
";
    let local = "# Port it listens on
Port=2222
# Who may come
#Users=all
";
    let vendor = "# Port it listens on
#Port=22
# Who may come
Users=all
# New in this version
Fast=yes
";
    let wanted = "# Port it listens on
Port=2222
#Port=22
# Who may come
#Users=all
# New in this version
Fast=yes
";
    expect(Format::Ini, base, local, vendor, wanted, &[]);
}

#[test]
fn assignments_by_name() {
    let base = "# for the boot loader\nGRUB_TIMEOUT=5\nGRUB_CMDLINE=\"quiet\"\n";
    let local = "# for the boot loader\nGRUB_TIMEOUT=1\nGRUB_CMDLINE=\"quiet\"\nGRUB_TERMINAL=console";
    let vendor = "# for the boot loader\nGRUB_TIMEOUT=5\nGRUB_CMDLINE=\"quiet splash\"\nGRUB_THEME=x\n";
    let wanted =
        "# for the boot loader\nGRUB_TIMEOUT=1\nGRUB_CMDLINE=\"quiet splash\"\nGRUB_TERMINAL=console\nGRUB_THEME=x\n";
    expect(Format::Assignments, base, local, vendor, wanted, &[]);
    let sysctl = ("net.ipv4.ip_forward = 0\n", "net.ipv4.ip_forward = 1\n", "net.ipv4.ip_forward = 0\nvm.x = 1\n");
    expect(Format::Assignments, sysctl.0, sysctl.1, sysctl.2, "net.ipv4.ip_forward = 1\nvm.x = 1\n", &[]);
    for script in ["if true; then X=1; fi\n", "X=\"a\nb\"\n", "X=1\\\n2\n", ". /etc/other\n"] {
        assert_eq!(merge(Format::Assignments, Some(b""), script.as_bytes(), b"Y=1\n"), None, "{script}");
    }
}

#[test]
fn json_to_any_depth() {
    let base = r#"{
    "log-driver": "json-file",
    "hosts": ["a", "b"],
    "deep": {"x": 1, "y": 2}
}
"#;
    let local = r#"{"log-driver":"journald","hosts":["a","b","mine"],"deep":{"x":1,"y":3},"own":{"k":[1,{"z":2}]}}"#;
    let vendor = r#"{
    "hosts": ["b", "c"],
    "log-driver": "local",
    "deep": {"x": 5, "y": 2, "w": 0.5}
}
"#;
    let wanted = r#"{
    "hosts": ["b", "c", "mine"],
    "log-driver": "journald",
    "deep": {"x": 5, "y": 3, "w": 0.5},
    "own": {"k":[1,{"z":2}]}
}
"#;
    expect(Format::Json, base, local, vendor, wanted, &["log-driver"]);
    let layout_only = three(Format::Json, base, &base.replace("    ", "\t"), vendor);
    assert_eq!(layout_only, (vendor.to_string(), vec![]));
    let nested = format!("{}1{}", "[".repeat(500), "]".repeat(500));
    for bad in [r#"{"a":1,"a":2}"#, "{", "// no\n{}", &nested] {
        assert_eq!(merge(Format::Json, Some(b"{}"), bad.as_bytes(), b"{\"x\":1}"), None, "{bad}");
    }
}

#[test]
fn toml_keeps_its_comments() {
    let base = "# engine\n[engine]\nruntime = \"runc\" # the default\nlimits = [\"a\"]\n\n[network]\nmtu = 1500\n";
    let local = "# engine\n[engine]\nruntime = \"crun\"\nlimits = [\"a\"]\n# ours\nextra = true\n\n[network]\n\n[mine]\nkey = 1\n";
    let vendor = "# engine, version 2\n[engine]\nruntime = \"runc\" # the default\nlimits = [\"a\", \"b\"]\n\n[network]\nmtu = 1500\nnew = 1\n";
    let wanted = "# engine, version 2\n[engine]\nruntime = \"crun\" # the default\nlimits = [\"a\", \"b\"]\n# ours\nextra = true\n\n[network]\nnew = 1\n\n[mine]\nkey = 1\n";
    expect(Format::Toml, base, local, vendor, wanted, &[]);
    let clash = three(Format::Toml, "a = 1\n", "a = 2\n", "a = 3\n");
    assert_eq!(clash, ("a = 2\n".into(), vec!["a".into()]));
    assert_eq!(merge(Format::Toml, Some(b""), b"a = = 1\n", b"b = 1\n"), None);
}

#[test]
fn files_added_on_both_sides_are_united() {
    let both = |format, l: &str, n: &str| {
        let merged = merge(format, None, l.as_bytes(), n.as_bytes()).unwrap();
        (String::from_utf8(merged.text).unwrap(), merged.lost)
    };
    let rows = [
        (Format::Ini, "[a]\nx=1\ny=1\n", "[a]\nx=2\nz=1\n", "[a]\nx=1\ny=1\nz=1\n", "[a] x"),
        (Format::Json, r#"{"x":1,"y":1}"#, r#"{"x":2,"z":1}"#, r#"{"x":1,"z":1,"y":1}"#, "x"),
        (Format::Toml, "x = 1\ny = 1\n", "x = 2\nz = 1\n", "x = 1\nz = 1\ny = 1\n", "x"),
        (Format::Crypt, "d a none luks,x\n", "d b none luks,y\n", "d a none luks,y,x\n", "d: source"),
    ];
    for (format, l, n, text, lost) in rows {
        assert_eq!(both(format, l, n), (text.to_string(), vec![lost.to_string()]), "{format:?}");
    }
}

#[test]
fn what_is_no_text_is_not_merged() {
    for bad in [&b"a=1\0\n"[..], b"\xff=1\n", b"\xef\xbb\xbfa=1\n"] {
        assert_eq!(merge(Format::Ini, Some(b""), bad, b"b=1\n"), None);
        assert_eq!(merge(Format::Ini, Some(b""), b"b=1\n", bad), None);
    }
    let (text, _) = three(Format::Ini, "a=1\r\nb=1\r\n", "a=2\r\nb=1\r\n", "a=1\r\nb=3\r\n");
    assert_eq!(text, "a=2\r\nb=3\r\n");
}

#[test]
fn formats_are_told_by_place_and_name() {
    let rows = [
        ("etc/fstab", Some(Format::Mounts)),
        ("etc/systemd/system/x.service.d/local.conf", Some(Format::Ini)),
        ("etc/systemd/journald.conf", Some(Format::Ini)),
        ("etc/default/grub", Some(Format::Assignments)),
        ("etc/sysctl.d/99-x.conf", Some(Format::Assignments)),
        ("etc/docker/daemon.json", Some(Format::Json)),
        ("etc/containers/registries.toml", Some(Format::Toml)),
        ("etc/ssh/sshd_config", None),
        ("etc/nginx/nginx.conf", None),
    ];
    for (path, format) in rows {
        assert_eq!(Format::of_path(&TreePath::parse(path.as_bytes()).unwrap()), format, "{path}");
    }
}

type Settings = BTreeMap<(u8, u8), Vec<u8>>;

/// A few sections of a few keys, some of them lists.
fn settings() -> impl Strategy<Value = Settings> {
    proptest::collection::btree_map((0..3u8, 0..5u8), proptest::collection::vec(0..4u8, 1..3), 0..9)
}

fn ini(settings: &Settings) -> String {
    let mut out = String::new();
    let mut section = None;
    for ((of, key), values) in settings {
        if section != Some(of) {
            out += &format!("{}[s{of}]\n# about s{of}\n", if out.is_empty() { "" } else { "\n" });
            section = Some(of);
        }
        values.iter().for_each(|value| out += &format!("k{key}={value}\n"));
    }
    out
}

fn flat(settings: &Settings) -> String {
    settings.iter().map(|((of, key), values)| format!("n{of}.k{key}={}\n", values[0])).collect()
}

fn table(settings: &Settings) -> String {
    let line = |((of, key), values): (&(u8, u8), &Vec<u8>)| {
        let options: Vec<String> = values.iter().map(|value| format!("o{value}")).collect();
        format!("dev{} /m{of}/{key} ext4 {} 0 0\n", values[0], options.join(","))
    };
    settings.iter().map(line).collect()
}

fn json(settings: &Settings) -> String {
    let mut tree: BTreeMap<String, BTreeMap<String, &Vec<u8>>> = BTreeMap::new();
    for ((of, key), values) in settings {
        tree.entry(format!("s{of}")).or_default().insert(format!("k{key}"), values);
    }
    serde_json::to_string_pretty(&tree).unwrap()
}

fn toml(settings: &Settings) -> String {
    let mut out = String::new();
    let mut section = None;
    for ((of, key), values) in settings {
        if section != Some(of) {
            out += &format!("[s{of}]\n");
            section = Some(of);
        }
        out += &format!("k{key} = {values:?}\n");
    }
    out
}

/// A way to write settings, and what of them it can say.
type Writer = (Format, fn(&Settings) -> String);
const WRITERS: [Writer; 4] =
    [(Format::Ini, ini), (Format::Assignments, flat), (Format::Json, json), (Format::Toml, toml)];

proptest! {
    #[test]
    fn laws(b in settings(), l in settings(), n in settings()) {
        for (format, write) in WRITERS.into_iter().chain([(Format::Mounts, table as fn(&Settings) -> String)]) {
            let (bt, lt, nt) = (write(&b), write(&l), write(&n));
            prop_assert_eq!(&three(format, &bt, &bt, &nt).0, &nt);
            prop_assert_eq!(&three(format, &bt, &lt, &bt).0, &lt);
            prop_assert_eq!(&three(format, &bt, &lt, &lt).0, &lt);
            let (text, lost) = three(format, &bt, &lt, &nt);
            prop_assert_eq!(&three(format, &bt, &lt, &nt), &(text.clone(), lost));
            prop_assert_eq!(&three(format, &nt, &text, &nt).0, &text);
            // Of the format still, and nothing that only one side changed is missing.
            prop_assert!(merge(format, Some(b""), text.as_bytes(), b"\n").is_some() || format == Format::Json);
        }
    }

    #[test]
    fn every_setting_is_as_the_three_way_rule_says(b in settings(), l in settings(), n in settings()) {
        for (format, write) in WRITERS {
            let single = format == Format::Assignments;
            let value = |of: &Settings, key| of.get(key).map(|v| if single { v[..1].to_vec() } else { v.clone() });
            // Lists of JSON are sets where nothing stands twice; there only what one side changed is certain.
            let (text, lost) = three(format, &write(&b), &write(&l), &write(&n));
            let keys: std::collections::BTreeSet<_> = b.keys().chain(l.keys()).chain(n.keys()).collect();
            let mut wanted = Settings::new();
            let mut clashes = 0;
            for key in keys {
                let (bv, lv, nv) = (value(&b, key), value(&l, key), value(&n, key));
                let (v, clash) = rule(bv, lv, nv);
                clashes += usize::from(clash);
                wanted.extend(v.map(|v| (*key, v)));
            }
            if format == Format::Json && clashes > 0 {
                continue;
            }
            prop_assert_eq!(lost.len(), clashes, "{:?}: {}", format, text);
            let found = read(format, &text);
            for (key, values) in &wanted {
                prop_assert_eq!(found.get(key), Some(values), "{:?} {:?}: {}", format, key, text);
            }
            prop_assert_eq!(found.len(), wanted.len(), "{:?}: {}", format, text);
        }
    }
}

/// The rule of three, said once more, and whether both sides changed the value.
fn rule<T: PartialEq>(base: T, local: T, vendor: T) -> (T, bool) {
    if local == vendor || local == base {
        (vendor, false)
    } else {
        let clash = vendor != base;
        (local, clash)
    }
}

/// The settings of a text, read independently of the merge.
fn read(format: Format, text: &str) -> Settings {
    let mut found = Settings::new();
    let number = |text: &str| text.trim_start_matches(|c: char| c.is_ascii_alphabetic()).parse::<u8>().unwrap();
    if format == Format::Json {
        let tree: BTreeMap<String, BTreeMap<String, Vec<u8>>> = serde_json::from_str(text).unwrap();
        for (section, keys) in tree {
            found.extend(keys.into_iter().map(|(key, values)| ((number(&section), number(&key)), values)));
        }
        return found;
    }
    let mut section = 0;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[') {
            section = number(name.trim_end_matches(']'));
            continue;
        }
        let (key, value) = line.split_once('=').unwrap();
        let (section, key) = match key.trim().split_once('.') {
            Some((of, key)) => (number(of), number(key)),
            None => (section, number(key.trim())),
        };
        let values = value.split(',').map(|v| v.trim_matches([' ', '[', ']']).parse::<u8>().unwrap());
        found.entry((section, key)).or_default().extend(values);
    }
    found
}
