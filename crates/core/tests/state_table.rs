//! Every row of the table of existence and content, for files, directories and links, and every facet for itself.

mod state_model;

use state_model::{accounts, apply, delta, digest, path, plan_trees, tree, tree_of};
use thinroot_core::state::policy::{Reach, Rule, Treatment};
use thinroot_core::state::{Action, Class, Content, Kept, Level, Origin, Policy, Side, StatePlan, TextMerge, plan};

/// The decision over one path in a few words: `12 put info`, with `local`, `vendor`, `merged` or `link`.
fn word(plan: &StatePlan, at: &str) -> String {
    let Some(decision) = plan.decisions.iter().find(|d| d.path == path(at)) else { return "-".into() };
    let action = match &decision.action {
        Action::Leave => "leave",
        Action::Remove => "remove",
        Action::Put { content: Content::Local, .. } => "local",
        Action::Put { content: Content::Vendor { .. }, .. } => "vendor",
        Action::Put { content: Content::Merged { .. }, .. } => "merged",
        Action::Put { content: Content::Kept, .. } => "kept",
        Action::Put { content: Content::LinkTo { .. }, .. } => "link",
    };
    format!("{} {action} {:?}", decision.row, decision.level).to_lowercase()
}

fn sides(kept: &[Kept]) -> String {
    let letter = |kept: &Kept| match kept.side {
        Side::Base => 'b',
        Side::Local => 'l',
        Side::Vendor => 'n',
    };
    kept.iter().map(letter).collect()
}

/// What the three trees have at `etc/x` (`-` for nothing), the expected decision, and which contents are kept.
type RowCase = (&'static str, &'static str, &'static str, &'static str, &'static str);

const ROWS: &[RowCase] = &[
    // Files.
    ("-", "-", "f:n", "-", ""),
    ("-", "f:l", "-", "2 local info", ""),
    ("-", "f:l", "f:l", "3 leave converged", ""),
    ("-", "f:l", "f:n", "4 local conflict", "n"),
    ("-", "f:l", "f:l,600", "4 vendor conflict", ""),
    ("f:b", "-", "-", "-", ""),
    ("f:b", "-", "f:b", "6 remove info", ""),
    ("f:b", "-", "f:n", "7 remove conflict", "n"),
    ("f:b", "-", "f:b,600", "7 remove conflict", "n"),
    ("f:b", "f:b", "-", "-", ""),
    ("f:b", "f:l", "-", "9 local conflict", "b"),
    ("f:b", "f:b,600", "-", "9 local conflict", "b"),
    ("f:b", "f:b", "f:b", "-", ""),
    ("f:b", "f:b", "f:n", "-", ""),
    ("f:b", "f:l", "f:b", "12 local info", "b"),
    ("f:b", "f:b,600", "f:b", "12 vendor info", ""),
    ("f:b", "f:l", "f:l", "13 leave converged", ""),
    ("f:b", "f:l", "f:n", "14 local conflict", "bn"),
    ("f:b", "f:b,600", "f:n", "14 vendor merged", ""),
    ("f:b", "f:l", "f:b,600", "14 local merged", "b"),
    ("f:b", "f:b,600", "f:b,640", "14 vendor conflict", ""),
    ("f:b", "f:l,600", "f:l", "14 vendor info", ""),
    ("f:b", "f:b", "l:t", "-", ""),
    ("f:b", "f:l", "l:t", "15 leave conflict", "l"),
    ("f:b", "f:l", "d", "15 leave conflict", "l"),
    ("f:b", "l:passwd", "f:b", "16 local info", "b"),
    ("f:b", "l:nowhere", "f:b", "16 local notice", "b"),
    ("f:b", "l:passwd", "f:n", "16 local conflict", "bn"),
    ("f:b", "d", "f:b", "16 local info", "b"),
    ("f:b", "d", "f:n", "16 local block", "bn"),
    ("f:b", "l:passwd", "d", "17 local block", "b"),
    ("f:b", "d", "l:t", "17 leave block", ""),
    ("f:b", "l:t", "l:t", "13 leave converged", ""),
    ("-", "f:l", "d", "17 local block", ""),
    ("-", "d", "f:n", "17 leave block", "n"),
    ("-", "f:l", "l:t", "4 local conflict", ""),
    // Links.
    ("-", "l:l", "-", "2 local info", ""),
    ("-", "l:l", "l:l", "3 leave converged", ""),
    ("-", "l:l", "l:n", "4 local conflict", ""),
    ("l:b", "-", "-", "-", ""),
    ("l:b", "-", "l:b", "6 remove info", ""),
    ("l:b", "-", "l:n", "7 remove conflict", ""),
    ("l:b", "l:b", "-", "-", ""),
    ("l:b", "l:l", "-", "9 local conflict", ""),
    ("l:b", "l:b", "l:n", "-", ""),
    ("l:b", "l:l", "l:b", "12 local info", ""),
    ("l:b", "l:l", "l:l", "13 leave converged", ""),
    ("l:b", "l:l", "l:n", "14 local conflict", ""),
    ("l:b", "l:l", "f:n", "15 leave conflict", ""),
    ("l:b", "f:l", "l:b", "16 local info", ""),
    ("l:b", "f:l", "d", "17 local block", ""),
    // Directories.
    ("-", "-", "d", "-", ""),
    ("-", "d", "-", "2 local info", ""),
    ("-", "d", "d", "3 leave converged", ""),
    ("-", "d,700", "d", "4 vendor conflict", ""),
    ("d", "-", "-", "-", ""),
    ("d", "-", "d", "6 remove info", ""),
    ("d", "-", "d,700", "7 remove conflict", ""),
    ("d", "d", "-", "-", ""),
    ("d", "d,700", "-", "9 local conflict", ""),
    ("d", "d,700", "d", "12 vendor info", ""),
    ("d", "d,700", "d,700", "13 leave converged", ""),
    ("d", "d,700", "d,750", "14 vendor conflict", ""),
    ("d", "d,700", "d,ujoe", "14 vendor merged", ""),
    ("d", "d,700", "f:n", "15 leave conflict", ""),
    ("d", "l:passwd", "d", "16 local info", ""),
    ("d", "f:l", "l:t", "17 local block", ""),
    // Row 20.
    ("-", "s", "-", "-", ""),
    ("-", "p", "-", "2 local info", ""),
    ("p", "p", "p", "-", ""),
    ("f:b", "w", "f:b", "6 remove info", ""),
];

#[test]
fn every_row_for_every_type() {
    let names = accounts(&[(0, "root"), (7, "joe")]);
    let make = |thing: &str| {
        let rest = "etc/passwd=f:x";
        tree_of(&if thing == "-" { rest.into() } else { format!("{rest} etc/x={thing}") }, &names)
    };
    for (b, l, n, decision, kept) in ROWS {
        let plan = plan_trees(&make(b), &make(l), &make(n), &Policy::default());
        let found = plan.decisions.iter().find(|d| d.path == path("etc/x"));
        assert_eq!(word(&plan, "etc/x"), *decision, "{b} {l} {n}");
        assert_eq!(found.map_or(String::new(), |d| sides(&d.kept)), *kept, "{b} {l} {n}");
        assert_eq!(plan.blocked, decision.ends_with("block"), "{b} {l} {n}");
        assert!(plan.decisions.len() <= 1, "{b} {l} {n}: {:?}", plan.decisions);
    }
}

/// Base, layer, new, then path and decision of some paths.
type TreeCase = (&'static str, &'static str, &'static str, &'static [(&'static str, &'static str)]);

/// Trees where one path's decision depends on another's.
const TREES: &[TreeCase] = &[
    // 15: the image makes a file of a directory that has local files.
    ("etc/x=d etc/x/v=f:v", "etc/x/v=f:v etc/x/mine=f:l", "etc/x=f:n", &[("etc/x/mine", "15 leave block")]),
    ("etc/x/v=f:v", "etc/x/v=f:l", "etc/x=l:elsewhere", &[("etc/x/v", "15 leave block")]),
    // 16: a directory replaced by a link, and the image adds to the directory.
    (
        "etc/y=d etc/x/v=f:v",
        "etc/y=d etc/x=l:y",
        "etc/y=d etc/x/v=f:v etc/x/new=f:n",
        &[("etc/x", "16 local conflict"), ("etc/x/v", "6 remove info")],
    ),
    // 16: a file replaced by a directory with files.
    ("etc/x=f:b", "etc/x/mine=f:l", "etc/x=f:b", &[("etc/x", "16 local info"), ("etc/x/mine", "2 local info")]),
    // 18: a deleted directory gets new files.
    (
        "etc/x/v=f:v",
        "etc=d",
        "etc/x/v=f:v etc/x/new=f:n",
        &[("etc/x", "18 leave notice"), ("etc/x/v", "6 remove info")],
    ),
    (
        "etc/x/y/v=f:v",
        "etc=d",
        "etc/x/y/v=f:v",
        &[("etc/x", "6 remove info"), ("etc/x/y", "6 remove info"), ("etc/x/y/v", "6 remove info")],
    ),
    // 19: a removed directory has local files.
    (
        "etc/x/v=f:v",
        "etc/x/v=f:v etc/x/mine=f:l",
        "etc=d",
        &[("etc/x", "19 local notice"), ("etc/x/mine", "2 local info")],
    ),
    // Outside the scope, a package database, /boot, and what does not outlive a boot.
    (
        "usr/bin/a=f:b",
        "usr/bin/a=f:l usr/bin/b=f:l",
        "usr/bin/a=f:n",
        &[("usr/bin/a", "14 leave notice"), ("usr/bin/b", "2 leave notice")],
    ),
    (
        "var/lib/dpkg/status=f:b",
        "var/lib/dpkg/status=f:l",
        "var/lib/dpkg/status=f:n",
        &[("var/lib/dpkg/status", "14 leave notice")],
    ),
    ("boot=d", "boot/x=f:l run/x=f:l tmp/x=f:l", "boot=d", &[("boot/x", "2 leave notice"), ("tmp", "-")]),
    // Identity and derived.
    ("etc/hostname=f:b", "etc/hostname=f:b", "etc/hostname=f:n", &[("etc/hostname", "11 local info")]),
    ("etc/hostname=f:b", "etc/hostname=f:l", "etc/hostname=f:n", &[("etc/hostname", "14 local info")]),
    ("etc/machine-id=f:", "etc/machine-id=f:l", "etc=d", &[("etc/machine-id", "9 local info")]),
    ("etc/ld.so.cache=f:b", "etc/ld.so.cache=f:l", "etc/ld.so.cache=f:n", &[("etc/ld.so.cache", "14 leave info")]),
];

#[test]
fn decisions_that_depend_on_each_other() {
    for (b, l, n, expected) in TREES {
        let plan = plan_trees(&tree(b), &tree(l), &tree(n), &Policy::default());
        for (at, decision) in *expected {
            assert_eq!(word(&plan, at), *decision, "{at} of {b} | {l} | {n}\n{:#?}", plan.decisions);
        }
    }
}

fn with_class(class: Class) -> Policy {
    let treatment = Treatment::State(class);
    Policy::default().with([Rule {
        path: path("etc/x"),
        reach: Reach::Exact,
        treatment,
        note: String::new(),
        origin: Default::default(),
    }])
}

#[test]
fn classes_change_what_a_row_comes_to() {
    for (class, b, l, n, decision) in [
        (Class::MustExist, "f:b", "-", "f:n", "7 leave conflict"),
        (Class::MustExist, "f:b", "-", "f:b", "6 remove info"),
        (Class::Block, "f:b", "f:l", "f:n", "14 local block"),
        (Class::Block, "f:b", "f:l", "f:b", "12 local info"),
        (Class::Vendor, "f:b", "f:l", "f:n", "14 leave notice"),
        (Class::Vendor, "-", "f:l", "-", "2 leave notice"),
        (Class::Vendor, "f:b", "f:n", "f:n", "-"),
        (Class::Carry, "f:b", "f:l", "f:n", "14 local conflict"),
        (Class::Derived, "f:b", "-", "f:n", "7 leave info"),
    ] {
        let make = |thing: &str| if thing == "-" { tree("etc=d") } else { tree(&format!("etc/x={thing}")) };
        let plan = plan_trees(&make(b), &make(l), &make(n), &with_class(class));
        assert_eq!(word(&plan, "etc/x"), decision, "{class:?} {b} {l} {n}");
    }
}

#[test]
fn texts_that_both_changed_are_merged_or_the_loser_is_kept() {
    let [b, l, n] = ["f:b", "f:l", "f:n"].map(|x| tree(&format!("etc/x={x}")));
    let delta = delta(&b, &l);
    let decide = |answer: Option<TextMerge>| {
        let merged = answer.into_iter().map(|answer| (path("etc/x"), answer)).collect();
        plan(&b, &delta, &n, &Policy::default(), &merged)
    };
    let clean = |text: &[u8]| Some(TextMerge::Merged { text: text.to_vec(), digest: digest(text), lost: Vec::new() });
    for (answer, expected) in [
        (clean(b"ln"), "14 merged merged"),
        (clean(b"l"), "14 local merged"),
        (clean(b"n"), "14 leave merged"),
        (Some(TextMerge::Conflict), "14 local conflict"),
        (Some(TextMerge::Binary), "14 local conflict"),
        (None, "14 local conflict"),
    ] {
        assert_eq!(word(&decide(answer), "etc/x"), expected);
    }
    let lossy = TextMerge::Merged { text: b"ln".to_vec(), digest: digest(b"ln"), lost: vec!["key a".into()] };
    let lossy = decide(Some(lossy));
    assert_eq!(word(&lossy, "etc/x"), "14 merged conflict");
    assert_eq!(lossy.decisions[0].facets[0].loser.as_deref(), Some("key a"));
    let merged = decide(clean(b"ln"));
    assert_eq!(apply(&merged, &n)[&path("etc/x")].0, tree("a=f:ln").get(&path("a")).unwrap().kind);
    let text = serde_json::to_string(&merged).unwrap();
    let mut read: StatePlan = serde_json::from_str(&text).unwrap();
    assert_ne!(read, merged, "a merged text may be a secret and is not written down");
    read.decisions[0].action = merged.decisions[0].action.clone();
    assert_eq!(read, merged);
}

/// Facets of one file: base, layer, new, result; and the facets that lost.
const FACETS: &[(&str, &str, &str, &str, usize)] = &[
    ("f:b", "f:b,600", "f:n", "f:n,600", 0),
    ("f:b", "f:l", "f:b,600", "f:l,600", 0),
    ("f:b", "f:b,xlocal", "f:n,600", "f:n,600,xlocal", 0),
    ("f:b,xold", "f:b", "f:n,xold", "f:n", 0),
    ("f:b,xold", "f:b,xmine", "f:b,xtheirs", "f:b,xmine", 1),
    ("f:b,xold", "f:b,xmine", "f:b", "f:b,xmine", 1),
    ("f:b", "f:b,ujoe", "f:n,gjoe", "f:n,ujoe,gjoe", 0),
    ("f:b", "f:b,ujoe,600", "f:b,uann,640", "f:b,ujoe,600", 2),
    ("f:b", "f:l,600,ujoe,xa", "f:n,640,uann,xb", "f:l,600,ujoe,xa", 4),
];

#[test]
fn facets_are_independent() {
    let names = accounts(&[(0, "root"), (7, "joe"), (8, "ann")]);
    let make = |thing: &str| tree_of(&format!("etc/x={thing}"), &names);
    for (b, l, n, result, losers) in FACETS {
        let plan = plan_trees(&make(b), &make(l), &make(n), &Policy::default());
        let expected = make(result).get(&path("etc/x")).map(|e| (e.kind.clone(), e.meta.clone())).unwrap();
        assert_eq!(apply(&plan, &make(n))[&path("etc/x")], expected, "{b} {l} {n}");
        let lost = plan.decisions.iter().flat_map(|d| &d.facets).filter(|f| f.loser.is_some()).count();
        assert_eq!(lost, *losers, "{b} {l} {n}");
    }
}

#[test]
fn owners_are_compared_and_written_by_name() {
    let old = accounts(&[(0, "root"), (100, "web"), (101, "db")]);
    let new = accounts(&[(0, "root"), (200, "web"), (101, "other")]);
    let words = "etc/a=f:b,uweb etc/b=f:b";
    let base = tree_of(words, &old);
    // The numbers of the image changed, the names did not: nothing happened.
    let plan = plan_trees(&base, &base, &tree_of(words, &new), &Policy::default());
    assert_eq!((plan.decisions.len(), plan.rows.get(&11)), (0, None));
    // A local change of owner arrives as the new number; one the image does not know keeps its number, with a note.
    let local = tree_of("etc/a=f:b,udb etc/b=f:b,uweb", &old);
    let vendor = tree_of(words, &new);
    let plan = plan_trees(&base, &local, &vendor, &Policy::default());
    let result = apply(&plan, &vendor);
    assert_eq!((result[&path("etc/b")].1.uid, result[&path("etc/a")].1.uid), (200, 101));
    assert_eq!(plan.notes, ["owner db is unknown to the new image; its files keep number 101, which there is other"]);
}

#[test]
fn names_of_one_inode_stay_names_of_one_inode() {
    let linked = |words: &str, pairs: &[(&str, &str)]| {
        let plain = tree(words);
        let relink = |mut e: thinroot_core::manifest::Entry| {
            e.hardlink = pairs.iter().find(|(name, _)| e.path == path(name)).map(|(_, first)| path(first));
            e
        };
        let entries = plain.entries().iter().cloned().map(relink).collect();
        thinroot_core::manifest::Manifest::new(plain.accounts().clone(), entries).unwrap()
    };
    let base = linked("etc/a=f:b etc/b=f:b", &[("etc/b", "etc/a")]);
    // Content changed through one name: both are carried as one inode.
    let local = linked("etc/a=f:l etc/b=f:l", &[("etc/b", "etc/a")]);
    let plan = plan_trees(&base, &local, &base, &Policy::default());
    assert_eq!((word(&plan, "etc/a"), word(&plan, "etc/b")), ("12 local info".into(), "12 link info".into()));
    // A mode set on one name of the image's inode only: it becomes an inode of its own.
    let local = linked("etc/a=f:b,600 etc/b=f:b", &[]);
    let plan = plan_trees(&base, &local, &base, &Policy::default());
    let detach: Vec<_> = plan.decisions.iter().map(|d| format!("{:?}", d.action)).collect();
    assert!(detach.len() == 1 && detach[0].contains("detach: true"), "{detach:?}");
    // A new local name of an untouched inode of the image.
    let local = linked("etc/a=f:b etc/b=f:b etc/c=f:b", &[("etc/b", "etc/a"), ("etc/c", "etc/a")]);
    let plan = plan_trees(&base, &local, &base, &Policy::default());
    assert_eq!((plan.decisions.len(), word(&plan, "etc/c")), (1, "2 link info".into()));
}

#[test]
fn an_untouched_facet_is_not_recorded_and_origins_are_told() {
    let [b, l, n] = ["f:b", "f:b,600", "f:n"].map(|x| tree(&format!("etc/x={x}")));
    let plan = plan_trees(&b, &l, &n, &Policy::default());
    let told: Vec<_> = plan.decisions[0].facets.iter().map(|f| (format!("{:?}", f.facet), f.from)).collect();
    assert_eq!(told, [("Content".to_string(), Origin::Vendor), ("Mode".to_string(), Origin::Local)]);
    assert_eq!((plan.decisions[0].level, plan.decisions[0].id.as_str()), (Level::Merged, "14:/etc/x"));
    assert_eq!(plan.decisions[0].rule, "/etc/** merge");
}
