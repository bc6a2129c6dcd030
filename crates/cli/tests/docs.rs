//! Man pages and completions in `docs/` are what the command line says of itself, byte for byte.
//!
//! `THINROOT_REGENERATE=1 cargo test -p thinroot --test docs` writes them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use thinroot_cli::guide::{Guide, guides};

/// Section of the manual for commands of the administrator.
const SECTION: &str = "8";

/// The environment, for every page.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("THINROOT_STORE", "The store, where --store is not given."),
    ("THINROOT_BOOT_DIR", "The boot directory, where --boot-dir is not given."),
    ("SHELL", "What 'thinroot layer shell' runs where no command is given and the layer has it."),
];

/// Files, for every page.
const FILES: &[(&str, &str)] = &[
    ("PATH/store.json, PATH/volumes/", "A store dir:PATH: what it is, and its bases and layers."),
    ("PATH/records/", "Its records: journals, manifests, decisions over state, contents that were kept."),
    ("PATH/boot/", "Its boot directory, where --boot-dir does not name another."),
    ("/boot", "Boot directory of a store lvm:VG/POOL. Its records are on the volume 'thinroot' of the pool."),
    ("/run/lock/thinroot/", "Locks of lvm: stores. That of a dir: store is PATH/lock."),
];

#[test]
fn man_pages_are_current() {
    let mut pages = BTreeMap::new();
    let mut program = thinroot_cli::command();
    program.build();
    collect(&program, &[], &guides(), &mut pages);
    assert_eq!(pages.len(), 53);
    compare("docs/man", pages);
}

#[test]
fn completions_are_current() {
    let files = [(Shell::Bash, "thinroot.bash"), (Shell::Zsh, "_thinroot"), (Shell::Fish, "thinroot.fish")];
    let complete = |shell: Shell| {
        let mut out = Vec::new();
        clap_complete::generate(shell, &mut thinroot_cli::command(), "thinroot", &mut out);
        out
    };
    compare("docs/completions", files.into_iter().map(|(shell, name)| (name.to_string(), complete(shell))).collect());
}

fn collect(command: &Command, words: &[&str], guides: &[Guide], pages: &mut BTreeMap<String, Vec<u8>>) {
    let name = [&["thinroot"], words].concat().join("-");
    let guide = guides.iter().find(|guide| guide.verb == words);
    // What stands behind the options in --help has sections of its own here.
    let man = Man::new(command.clone().after_long_help(None::<&str>))
        .title(name.to_uppercase())
        .section(SECTION)
        .source(format!("thinroot {}", env!("CARGO_PKG_VERSION")))
        .manual("thinroot");
    let mut page = Vec::new();
    man.render(&mut page).expect("writing to memory cannot fail");
    let page = String::from_utf8(page).expect("pages are text");
    // clap_mangen 0.3 writes an empty date as nothing, which moves every later argument of .TH one place forward.
    let page = page.replacen(&format!(" {SECTION}  \""), &format!(" {SECTION} \"\" \""), 1);
    let page = (page + &sections(guide)).into_bytes();
    pages.insert(format!("{name}.{SECTION}"), page);
    for sub in command.get_subcommands() {
        collect(sub, &[words, &[sub.get_name()]].concat(), guides, pages);
    }
}

fn sections(guide: Option<&Guide>) -> String {
    let mut roff = Roff::new();
    if let Some(guide) = guide {
        roff.control("SH", ["EXAMPLES"]);
        for (command, purpose) in guide.examples {
            entry(&mut roff, command, purpose);
        }
        roff.control("SH", ["EXIT STATUS"]);
        for (number, words) in guide.exits_in_words() {
            entry(&mut roff, &number, words);
        }
    }
    for (title, entries) in [("ENVIRONMENT", ENVIRONMENT), ("FILES", FILES)] {
        roff.control("SH", [title]);
        entries.iter().for_each(|(name, words)| entry(&mut roff, name, words));
    }
    // The page has the two lines of definitions at its top already.
    roff.render().lines().skip(2).map(|line| format!("{line}\n")).collect()
}

fn entry(roff: &mut Roff, name: &str, words: &str) {
    roff.control("TP", []).text([bold(name)]).text([roman(words)]);
}

/// Compares, or writes where that is asked for. Files nobody makes any more are a difference too.
fn compare(dir: &str, made: BTreeMap<String, Vec<u8>>) {
    let dir: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(dir);
    if std::env::var_os("THINROOT_REGENERATE").is_some() {
        if dir.exists() {
            fs::remove_dir_all(&dir).expect("empty the directory");
        }
        fs::create_dir_all(&dir).expect("create the directory");
        for (name, content) in &made {
            fs::write(dir.join(name), content).expect("write");
        }
    }
    let present: BTreeMap<String, Vec<u8>> = fs::read_dir(&dir)
        .expect("the directory of generated files")
        .map(|entry| entry.expect("an entry"))
        .map(|entry| (entry.file_name().into_string().expect("a name"), fs::read(entry.path()).expect("a file")))
        .collect();
    let differing: Vec<_> =
        present.keys().chain(made.keys()).filter(|name| present.get(*name) != made.get(*name)).collect();
    let mend = "THINROOT_REGENERATE=1 cargo test -p thinroot --test docs";
    assert!(differing.is_empty(), "{} is not what the command line says: {differing:?}; {mend}", dir.display());
}
