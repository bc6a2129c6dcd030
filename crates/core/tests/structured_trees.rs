//! Merges of JSON, TOML and YAML as hosts have them.

mod merge_cases;

use merge_cases::{merged, refused};
use thinroot_core::structured::{Format, merge};

#[test]
fn daemon_json_by_key_and_list() {
    let b = r#"{
    "log-driver": "json-file",
    "log-opts": { "max-size": "10m" },
    "dns": ["10.0.0.1", "10.0.0.2"],
    "features": {},
    "debug": false
}
"#;
    let l = r#"{
  "debug": true,
  "log-driver": "journald",
  "features": {"x": 1.50},
  "log-opts": { "max-file": "3" },
  "dns": ["10.0.0.2", "10.0.0.9"],
  "runtimes": {
    "runc": {
      "path": "/opt/runc"
    }
  }
}
"#;
    let n = r#"{
    "log-driver": "local",
    "log-opts": { "max-size": "50m", "labels": "a" },
    "dns": [ "10.0.0.1", "10.0.0.2", "10.0.0.3" ],
    "features": {},
    "debug":false,
    "limit": 1e3
}
"#;
    let wanted = r#"{
    "log-driver": "journald",
    "log-opts": { "labels": "a", "max-file": "3" },
    "dns": [ "10.0.0.2", "10.0.0.3", "10.0.0.9" ],
    "features": {
        "x": 1.50
    },
    "debug":true,
    "limit": 1e3,
    "runtimes": {
        "runc": {
            "path": "/opt/runc"
        }
    }
}
"#;
    let lost = vec!["log-driver".to_owned(), "log-opts.max-size: removed here, changed by the image".to_owned()];
    assert_eq!(merged(Format::Json, b, l, n), (wanted.into(), lost));
}

#[test]
fn json_in_other_layouts() {
    let of = |b: &str, l: &str, n: &str| merged(Format::Json, b, l, n).0;
    assert_eq!(of(r#"{"a":1}"#, r#"{"a":1,"b":[1,2]}"#, r#"{"a":2}"#), r#"{"a":2,"b":[1,2]}"#);
    assert_eq!(of(r#"{"a": 1}"#, "{\n\t\"b\": [\n\t\t2\n\t]\n}\n", r#"{"a": 1, "c": 2}"#), r#"{"c": 2, "b": [2]}"#);
    assert_eq!(of("{}", r#"{"b":{"c":1}}"#, "{ \"a\": 1 }\n"), "{ \"a\": 1, \"b\": {\"c\":1} }\n");
    assert_eq!(
        of("{}", "{\n \"b\": {\n  \"c\": 1\n }\n}", "{\r\n\t\"a\": 1\r\n}"),
        "{\r\n\t\"a\": 1,\r\n\t\"b\": {\r\n\t\t\"c\": 1\r\n\t}\r\n}"
    );
    // Nothing but the layout was changed here: the image's text stays.
    let n = "{ \"a\":\"\\u0041\",\"b\" : [1,2],\n\"c\":3}";
    assert_eq!(of(r#"{"a":"A","b":[1,2]}"#, "{\"b\": [1, 2],\n\"a\": \"\\u0041\"}", n), n);
    // Another order is another value.
    let (b, l, n) = (r#"{"a":[1,2]}"#, r#"{"a":[2,1]}"#, r#"{"a":[1,2,3]}"#);
    assert_eq!(merged(Format::Json, b, l, n), (l.into(), vec!["a".into()]));
    let big = ["12345678901234567890123", "12345678901234567890124", "12345678901234567890125"];
    let [b, l, n] = big.map(|number| format!("{{\"a\": {number}}}"));
    assert_eq!(merged(Format::Json, &b, &l, &n), (l, vec!["a".into()]));
    assert_eq!(merged(Format::Json, "1", "2", "[3]"), ("2".into(), vec!["all of it".into()]));
}

#[test]
fn json_that_is_unclear() {
    let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let hostile = deep(1_000_000);
    for odd in
        ["{", "{} {}", "{\"a\":1,\"a\":2}", "{\"a\":[{\"b\":1,\"\\u0062\":2}]}", "// c\n{}", "\u{feff}{}", "", &hostile]
    {
        refused(Format::Json, odd, "{\"k\":1}");
    }
    assert!(merge(Format::Json, None, deep(100).as_bytes(), b"[]").is_some());
}

#[test]
fn containers_conf_by_table_and_key() {
    let b = "\
# The containers configuration file
[containers]
# Number of processes
pids_limit = 2048
dns_servers = []
log_size_max = -1 # bytes
default_ulimits = [
  \"nofile=1280:2560\",
]

[engine]
# How containers are run
runtime = \"crun\"
helper = { dir = \"/usr/lib\", mode = 1 }

[engine.runtimes]
crun = [\"/usr/bin/crun\"]

[network]
backend = \"netavark\"
";
    let l = &b
        .replace(
            "pids_limit = 2048\n",
            "# enough for the build hosts\npids_limit = 0x2000\n# ours\nlabel = false # for now\n",
        )
        .replace("log_size_max = -1 # bytes", "log_size_max = 1_000")
        .replace("mode = 1", "mode = 2")
        .replace("runtime = \"crun\"", "runtime = \"runc\"")
        .replace("crun = [\"/usr/bin/crun\"]\n", "crun = [\"/usr/bin/crun\"]\nrunc = [\"/opt/runc\"]\n")
        .replace("dns_servers = []\n", "")
        .replace("[network]\n", "# about machines\n[machine]\ncpus = 2\n\n[network]\n");
    let l = format!("{l}\n# the end\n");
    let n = b
        .replace("# The containers configuration file", "# Configuration of containers")
        .replace("backend = \"netavark\"", "backend = \"pasta\"\nports = [1, 2]")
        .replace("runtime = \"crun\"", "runtime = \"youki\"")
        .replace("dir = \"/usr/lib\"", "dir = \"/usr/libexec\"");
    let wanted = "\
# Configuration of containers
[containers]
# Number of processes
# enough for the build hosts
pids_limit = 0x2000
log_size_max = 1_000 # bytes
default_ulimits = [
  \"nofile=1280:2560\",
]
# ours
label = false # for now

[engine]
# How containers are run
runtime = \"runc\"
helper = { dir = \"/usr/libexec\", mode = 2 }

[engine.runtimes]
crun = [\"/usr/bin/crun\"]
runc = [\"/opt/runc\"]

[network]
backend = \"pasta\"
ports = [1, 2]

# about machines
[machine]
cpus = 2
# the end
";
    assert_eq!(merged(Format::Toml, b, &l, &n), (wanted.into(), vec!["engine.runtime".into()]));
    let crlf = |text: &str| text.replace('\n', "\r\n");
    assert_eq!(merged(Format::Toml, b, &crlf(&l), &crlf(&n)).0, crlf(wanted));
}

#[test]
fn toml_tables_in_other_shapes() {
    let of = |b: &str, l: &str, n: &str| merged(Format::Toml, b, l, n);
    let (b, l, n) = ("a = { x = 1 }\n", "a = { x = 1, y = 2 }\n", "[a]\nx = 3\n");
    assert_eq!(of(b, l, n), ("[a]\nx = 3\ny = 2\n".into(), vec![]));
    let (b, l, n) = ("[a]\nx = 1\n", "[a]\nx = 1\n# why\n[a.b]\ny = 2\n", "a = {x = 3}");
    assert_eq!(of(b, l, n), ("a = {x = 3, b = { y = 2 } }\n# why".into(), vec![]));
    let (b, l, n) = ("a.x = 1\nb = 1\n", "a.x = 1\na.y = 2\nb = 1\n", "a.x = 1\nb = 2");
    assert_eq!(of(b, l, n), ("a.x = 1\na.y = 2\nb = 2".into(), vec![]));
    let (b, l, n) = ("[[p]]\nk = 1\n", "[[p]]\nk = 1\n[[p]]\nk = 2\n", "[[p]]\nk = 1\n[q]\n");
    assert_eq!(of(b, l, n), ("[[p]]\nk = 1\n[[p]]\nk = 2\n[q]\n".into(), vec![]));
    let (b, l, n) = ("[a]\nx = 1\n[b]\ny = 1\nz = 1\n", "[b]\ny = 2\nz = 1\n", "[a]\nx = 2\n");
    let lost =
        ["a.x: removed here, changed by the image", "b.y: removed by the image, changed here"].map(str::to_owned);
    assert_eq!(of(b, l, n), ("\n[b]\ny = 2\n".into(), lost.to_vec()));
    // What the vendor put into a table that was removed here arrives.
    assert_eq!(of("[a]\nx = 1\n", "b = 1\n", "[a]\nx = 1\nz = 2\n"), ("b = 1\n[a]\nz = 2\n".into(), vec![]));
    assert_eq!(of("", "[a]\nx = 1\n", "# c\n"), ("\n[a]\nx = 1\n# c\n".into(), vec![]));
    let (b, l, n) = ("a = nan\nb = 1\n", "a = nan\nb = 2\n", "a = nan\nb = 1\nc = '''\n# no comment\n'''\n");
    assert_eq!(of(b, l, n), ("a = nan\nb = 2\nc = '''\n# no comment\n'''\n".into(), vec![]));
    // An array of tables says the same under headers and between braces, so this host changed nothing.
    let (b, l) = ("[[p]]\nk = 1\n", "p = [ { k = 1 } ]\n");
    assert_eq!(of(b, l, "q = 1\n"), ("q = 1\n".into(), vec![]));
    assert_eq!(of(b, l, "[[p]]\nk = 2\n"), ("[[p]]\nk = 2\n".into(), vec![]));
}

#[test]
fn toml_that_is_unclear() {
    let deep = format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000));
    let path = format!("[{}a]\n", "a.".repeat(100_000));
    for odd in ["a = ", "a = 1\na = 2", "[a]\n[a]\n", "\u{feff}a = 1", &deep, &path] {
        refused(Format::Toml, odd, "k = 1");
    }
    assert_eq!(merge(Format::Toml, Some(b"a = 1\n"), b"a = 2\n", b"a = 1\r\nb = 1\n"), None);
}

const NETPLAN: &str = "\
# Written by the installer
network:
  version: 2
  renderer: networkd
  ethernets:
    enp1s0:
      dhcp4: true   # until there is an address
      # dhcp6: true
    enp2s0:
      dhcp4: true

  # Bridges of this host
  bridges: {}
";

#[test]
fn netplan_by_key_to_any_depth() {
    let local = NETPLAN
        .replace("      # dhcp6: true\n", "      # dhcp6: true\n      # The storage net\n      mtu: 9000\n")
        .replace(
            "    enp2s0:\n      dhcp4: true\n",
            "    enp2s0:\n      dhcp4: false\n      addresses:\n      - 10.0.0.2/24\n",
        );
    let vendor = NETPLAN
        .replace("renderer: networkd", "renderer: NetworkManager")
        .replace("dhcp4: true   # until", "dhcp4: yes     # until")
        .replace("  # Bridges", "    enp3s0:\n      optional: true\n\n  # Bridges");
    let wanted = "\
# Written by the installer
network:
  version: 2
  renderer: NetworkManager
  ethernets:
    enp1s0:
      dhcp4: yes     # until there is an address
      # dhcp6: true
      # The storage net
      mtu: 9000
    enp2s0:
      dhcp4: false
      addresses:
      - 10.0.0.2/24

    enp3s0:
      optional: true

  # Bridges of this host
  bridges: {}
";
    assert_eq!(merged(Format::Yaml, NETPLAN, &local, &vendor), (wanted.into(), vec![]));
    // One value that both changed, one mapping that one side removed.
    let local = local.replace("networkd", "none").replace("    enp1s0:\n", "    enp9s0:\n");
    let (text, lost) = merged(Format::Yaml, NETPLAN, &local, &vendor);
    let told = ["network.renderer", "network.ethernets.enp1s0: removed here, changed by the image"];
    assert_eq!(lost, told.map(str::to_owned));
    assert!(text.contains("renderer: none\n") && text.contains("enp9s0:\n") && !text.contains("enp1s0"), "{text}");
}

#[test]
fn yaml_values_that_are_taken_whole() {
    let of = |base: &str, local: &str, vendor: &str| merged(Format::Yaml, base, local, vendor);
    // Lists, flow, blocks, quotes and lines that go on.
    let (b, l, n) = ("a:\n- x\nb: {p: 1,\n  q: 2}\nc: |\n  # no comment\n\n  end\nd: one\n  two\n", "e: 'it''s'\n", "");
    let (l, n) = (format!("{b}{l}"), format!("{n}\"f\": \"\\x41\"\n{b}"));
    assert_eq!(of(b, &l, &n), (format!("\"f\": \"\\x41\"\n{b}e: 'it''s'\n"), vec![]));
    let l = b.replace("- x", "- x\n- mine").replace("  end", "  # mine\n  end");
    let n = b.replace("- x", "- x\n- new").replace("two", "three");
    let wanted = l.replace("two", "three");
    assert_eq!(of(b, &l, &n), (wanted, vec!["a".into()]));
    // Blank lines and quotes around keys are no change, comments are.
    let (b, l) = ("a:\n  b: 1\nc: 1\n", "a:\n\n  'b': 1\nc: 1\n");
    assert_eq!(of(b, l, "c: 2\n"), ("c: 2\n".into(), vec![]));
    for l in ["a: # mine\n  b: 1\nc: 1\n", "a:\n  # mine\n  b: 1\nc: 1\n"] {
        let told = vec!["a: removed by the image, changed here".to_owned()];
        assert_eq!(of(b, l, "c: 2\n"), (format!("{}c: 2\n", l.replace("c: 1\n", "")), told), "{l}");
    }
    // A key in quotes is the same key.
    assert_eq!(of("a: 1\nb: 1\n", "a: 1\nb: 2\n", "'a': 3\n'b': 1\n"), ("'a': 3\nb: 2\n".into(), vec![]));
    // The mark of the beginning stays on top, and line ends are the vendor's.
    assert_eq!(of("---\na: 1\n", "---\nc: 1\na: 1\n", "---\r\na: 2\r\n").0, "---\r\nc: 1\r\na: 2\r\n");
    let both = merge(Format::Yaml, None, b"a: 1\nb:\n  c: 1\n", b"b:\n  d: 2\na: 2\n").unwrap();
    let lost = vec!["a".to_owned()];
    assert_eq!((both.text, both.lost), (b"b:\n  c: 1\n  d: 2\na: 1\n".to_vec(), lost));
}

#[test]
fn yaml_that_is_unclear() {
    for odd in [
        "a: &x 1\nb: *x\n",
        "a: !!str 1\n",
        "<<: {a: 1}\n",
        "a: 1\n---\nb: 1\n",
        "a: 1\n...\n",
        "%YAML 1.2\n---\na: 1\n",
        "{a: 1}\n",
        "- a\n",
        "word\n",
        "? a\n: 1\n",
        "a: 1\na: 2\n",
        "a: |+\n  x\n\nb: 1\n",
        "a:\n\tb: 1\n",
        "a: [1\n",
        "a: |\n  x",
        "a: 1\rb: 2\nc: 3\n#: x\n",
        "[a]: 1\n",
        "--- # x\na: 1\n",
        "a: 1\n b: 2\n",
        "    # deeper than the key\na: 1\n",
        "a: 1 b: 2\n",
        "a: 'x\n",
    ] {
        refused(Format::Yaml, odd, "a: 3\nz: 1\n");
    }
    let unclear = |base: &str, local: &str, vendor: &str| {
        assert_eq!(merge(Format::Yaml, Some(base.as_bytes()), local.as_bytes(), vendor.as_bytes()), None, "{local:?}");
    };
    // Other depths, other heads, a mapping that would be none, and two comments behind one key.
    unclear("a:\n  b: 1\n", "a:\n  b: 1\n  c: 1\n", "a:\n    b: 2\n");
    unclear("# x\n---\na: 1\n", "# y\n---\na: 2\n", "# x\n---\na: 1\nb: 1\n");
    unclear("a:\n  b: 1\n  c: 1\n", "a:\n  b: 1\n", "a:\n  c: 1\n");
    unclear("a:\n  b: 1\n", "a: # mine\n  b: 2\n", "a: # new\n  b: 1\n");
}

#[test]
fn yaml_that_means_harm() {
    let deep = |open: &str, count: usize| open.repeat(count);
    let nested: String = (0..300).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    let odd = [format!("a: {}\n", deep("[", 20_000)), format!("{}\n", deep("- ", 20_000)), nested, deep("a: ", 5_000)];
    for odd in odd {
        refused(Format::Yaml, &odd, "a: 3\n");
    }
}
