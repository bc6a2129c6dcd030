use proptest::prelude::*;

use super::super::Files;
use super::*;

fn files(passwd: &str, group: &str, shadow: &str, gshadow: &str) -> Files {
    let some = |text: &str| Some(text.as_bytes().to_vec());
    [some(passwd), some(group), some(shadow), some(gshadow), None, None]
}

fn text(merged: &Merged, at: usize) -> String {
    String::from_utf8(merged.files[at].clone().unwrap()).unwrap()
}

const B: [&str; 4] = [
    "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/:/usr/sbin/nologin\nntp:x:101:101::/:/bin/false\n",
    "root:x:0:\ndaemon:x:1:\nntp:x:101:\nadm:x:4:daemon\n",
    "root:*:19000:0:99999:7:::\ndaemon:*:19000:0:99999:7:::\nntp:!*:19000::::::\n",
    "root:*::\ndaemon:*::\nntp:!::\nadm:*::daemon\n",
];

#[test]
fn an_admin_and_an_image_both_append() {
    let base = files(B[0], B[1], B[2], B[3]);
    let local = files(
        &B[0].replace("/bin/sh", "/bin/bash").replace("daemon:/:", "daemon:/here:").replace(
            "ntp:x:101:101::/:/bin/false\n",
            "ntp:x:101:101::/:/bin/false\nanna:x:1000:1000:Anna:/home/anna:/bin/bash\n+::::::\n",
        ),
        &B[1].replace("adm:x:4:daemon\n", "adm:x:4:daemon,anna\nanna:x:1000:\n"),
        &(B[2].replace("root:*", "root:$y$secret") + "anna:$y$hers:19500:0:99999:7:::\n"),
        &B[3].replace("adm:*::daemon\n", "adm:*::daemon,anna\nanna:!::\n"),
    );
    // The image drops ntp, brings chrony with a password that everybody knows, moves daemon's home, adds www to adm.
    let vendor = files(
        "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/there:/usr/sbin/nologin\nchrony:x:102:102::/:/bin/false\n",
        "root:x:0:\ndaemon:x:1:\nchrony:x:102:\nadm:x:4:daemon,www\n",
        "root:$y$default:19900:0:99999:7:::\ndaemon:*:19900:0:99999:7:::\nchrony:$y$known:19900::::::\n",
        "root:*::\ndaemon:*::\nchrony:!::\nadm:*::daemon,www\n",
    );
    let merged = merge(&base, &local, &vendor).unwrap();
    assert_eq!(
        text(&merged, 0),
        "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/here:/usr/sbin/nologin\n\
         chrony:x:102:102::/:/bin/false\nanna:x:1000:1000:Anna:/home/anna:/bin/bash\n+::::::\n"
    );
    assert_eq!(text(&merged, 1), "root:x:0:\ndaemon:x:1:\nchrony:x:102:\nadm:x:4:daemon,anna,www\nanna:x:1000:\n");
    assert_eq!(
        text(&merged, 2),
        "root:$y$secret:19900:0:99999:7:::\ndaemon:*:19900:0:99999:7:::\nchrony:!*:19900::::::\n\
         anna:$y$hers:19500:0:99999:7:::\n"
    );
    assert_eq!(text(&merged, 3), "root:*::\ndaemon:*::\nchrony:!::\nadm:*::daemon,anna,www\nanna:!::\n");
    assert_eq!(merged.lost[0], ["daemon: home"]);
    assert_eq!(merged.lost[2], [""; 0]);
    assert_eq!(merged.notes, ["account chrony is new and locked: passwords are not taken from images"]);
    let said = format!("{:?} {:?}", merged.lost, merged.notes);
    assert!(!said.contains("$y$"), "{said}");
}

#[test]
fn deletions_numbers_and_first_groups_stay() {
    let base = files(B[0], B[1], B[2], B[3]);
    // Deleted here: daemon. Changed here: ntp. A person's first group is one that the image drops.
    let local = files(
        "root:x:0:0:root:/root:/bin/sh\nntp:x:101:101:mine:/:/bin/false\nbo:x:1001:4::/home/bo:/bin/sh\nnew:x:977:0::/:/x\n",
        "root:x:0:\nntp:x:101:\nadm:x:4:daemon\n",
        "root:*:19000:0:99999:7:::\nntp:!*:19000::::::\nbo:$y$his:1::::::\nnew:!:1::::::\n",
        "root:*::\nntp:!::\nadm:*::daemon\n",
    );
    let vendor = files(
        "root:x:0:0:root:/root:/bin/zsh\ndaemon:x:1:1:other:/:/usr/sbin/nologin\nnew:x:500:0::/:/x\n",
        "root:x:0:\ndaemon:x:1:\n",
        "root:*:19000:0:99999:7:::\ndaemon:*:19000:0:99999:7:::\nnew::1::::::\n",
        "root:*::\ndaemon:*::\n",
    );
    let merged = merge(&base, &local, &vendor).unwrap();
    assert_eq!(
        text(&merged, 0),
        "root:x:0:0:root:/root:/bin/zsh\nnew:x:977:0::/:/x\nntp:x:101:101:mine:/:/bin/false\nbo:x:1001:4::/home/bo:/bin/sh\n"
    );
    assert!(text(&merged, 1).contains("adm:x:4:daemon\n"), "{}", text(&merged, 1));
    assert!(!text(&merged, 2).contains("daemon:"));
    assert!(text(&merged, 2).contains("new:!:1") && text(&merged, 2).contains("bo:$y$his"));
    assert_eq!(merged.lost[0], ["ntp: removed by the image, changed here"]);
}

#[test]
fn an_account_without_a_shadow_entry_gets_a_locked_one() {
    let base = files(B[0], B[1], B[2], B[3]);
    let vendor = files(&format!("{}open::5:5::/:/bin/sh\nnone:x:6:6::/:/bin/sh\n", B[0]), B[1], B[2], B[3]);
    let merged = merge(&base, &base, &vendor).unwrap();
    assert!(text(&merged, 0).contains("open:!*:5:5"), "{}", text(&merged, 0));
    assert!(text(&merged, 2).ends_with("none:!*:::::::\n"), "{}", text(&merged, 2));
}

#[test]
fn ranges_never_overlap() {
    let sub = |text: &str| Some(text.as_bytes().to_vec());
    let tree = |ranges: &str| -> Files {
        let [passwd, group, ..] = files(B[0], B[1], "", "");
        [passwd, group, None, None, sub(ranges), None]
    };
    let (b, l) = (tree("a:100000:65536\n"), tree("a:100000:65536\nanna:165536:65536\n"));
    let n = tree("a:100000:65536\nbuild:165536:65536\n");
    let merged = merge(&b, &l, &n).unwrap();
    assert_eq!(text(&merged, 4), "a:100000:65536\nanna:165536:65536\nbuild:231072:65536\n");
    let none: Files = Default::default();
    assert_eq!(merge(&b, &none, &n), None);
}

/// An account database of a few names with everything odd about it.
fn database() -> impl Strategy<Value = Files> {
    let record = (0usize..9, 0u32..4, 0u32..3, prop::bool::ANY);
    (prop::collection::vec(record, 0..9), prop::bool::ANY).prop_map(|(records, nis)| {
        let names = ["root", "a", "b", "c", "d", "e", "f", "g", "h"];
        let [mut passwd, mut group, mut shadow, mut gshadow]: [String; 4] = Default::default();
        let mut seen = BTreeSet::new();
        for (name, look, hash, shadowed) in records {
            if !seen.insert(name) {
                continue;
            }
            let (n, id) = (names[name], if name == 0 { 0 } else { name as u32 * 10 + look % 2 });
            passwd += &format!("{n}:x:{id}:{id}:c{look}:/{look}:/sh{hash}\n");
            group += &format!("{n}:x:{id}:{}\n", ["", "a", "a,b", "b,c"][look as usize]);
            if shadowed || look > 0 {
                shadow += &format!("{n}:{}:{look}::::::\n", ["!", "*", "$y$x"][hash as usize]);
                gshadow += &format!("{n}:!::{}\n", ["", "a", "a,b", "b,c"][look as usize]);
            }
        }
        if nis {
            passwd += "+::::::\n";
        }
        files(&passwd, &group, &shadow, &gshadow)
    })
}

proptest! {
    #[test]
    fn the_laws_hold(b in database(), l in database(), n in database()) {
        let merged = merge(&b, &l, &b).unwrap();
        prop_assert_eq!(&merged.files, &l);
        prop_assert_eq!(&merge(&b, &l, &l).unwrap().files, &l);

        let merged = merge(&b, &l, &n).unwrap();
        let table = |files: &Files, at: usize| Table::parse(files[at].as_ref().unwrap(), FIELDS[at].len() + 1);
        for at in [PASSWD, GROUP, SHADOW, GSHADOW] {
            let (out, here, shipped, before) = (table(&merged.files, at), table(&l, at), table(&n, at), table(&b, at));
            let names: Vec<_> = out.records().map(Record::name).collect();
            let unique: BTreeSet<_> = names.iter().collect();
            prop_assert_eq!(unique.len(), names.len());
            for record in here.records() {
                // Whoever was added or changed here is there, with the same password and number.
                let own = before.get(record.name()) != Some(record);
                let found = out.get(record.name());
                prop_assert!(!own || found.is_some(), "{}", String::from_utf8_lossy(record.name()));
                if let Some(found) = found {
                    prop_assert_eq!(found.field(1), record.field(1));
                    prop_assert!(at > GROUP || found.field(2) == record.field(2));
                }
            }
            for record in shipped.records() {
                let new = before.get(record.name()).is_none() && here.get(record.name()).is_none();
                let found = out.get(record.name());
                prop_assert!(!new || at > GROUP || found.is_some());
                let secret = found.filter(|_| here.get(record.name()).is_none()).map(|found| found.field(1));
                prop_assert!(secret != Some(b"$y$x".as_slice()), "a password out of an image");
            }
        }
    }
}
