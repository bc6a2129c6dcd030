//! The loaders' own files: that they follow the selection at every instant, and that a loader which does with them what
//! its documentation says boots what [`Selection::start`] says. On real firmware the same is tried by `cargo xtask vm`.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use thinroot_core::boot::{LoaderState, Selection};
use thinroot_core::name::LayerName;
use thinroot_engine::boot::{BootDir, LoaderKind};
use thinroot_engine::error::{ErrorKind, Result};
use thinroot_engine::fault;

use crate::kit::*;

const KINDS: [LoaderKind; 2] = [LoaderKind::Grub, LoaderKind::SystemdBoot];

/// Layers 1, 2 and 3; 1 is the default.
fn served(path: &Path, kind: LoaderKind) -> BootDir {
    prepared(path);
    let boot = BootDir::open(path).unwrap();
    boot.take_over(kind, "console=ttyS0,115200").unwrap();
    for number in [2, 3] {
        install(&boot, number).unwrap();
        boot.write_entry(&entry(number)).unwrap();
    }
    boot
}

fn state(boot: &BootDir) -> LoaderState {
    boot.loader_state().unwrap().unwrap()
}

/// What the loader does when the machine starts: counts in its own way, and says what it boots. Written from its
/// documentation and not from our code.
fn start(path: &Path) -> Option<LayerName> {
    let block = path.join("grub/thinroot.env");
    if let Ok(text) = fs::read_to_string(&block) {
        let value = |key: &str| text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('=')).unwrap().to_string();
        let layer = |id: String| id.strip_suffix("-6.1.0-50-amd64").map(|layer| layer.parse().unwrap());
        let tries: u8 = value("thinroot_tries").parse().unwrap();
        if value("thinroot_armed").is_empty() || tries == 0 {
            return layer(value("thinroot_default"));
        }
        let counted = text.replace(&format!("tries={tries}"), &format!("tries={}", tries - 1));
        assert_eq!(counted.len(), 1024);
        fs::write(&block, counted).unwrap();
        return layer(value("thinroot_armed"));
    }
    let dir = path.join("loader/entries");
    let mut names: Vec<String> =
        fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.starts_with("_thinroot-"));
    let key = |name: &String| {
        let text = fs::read_to_string(dir.join(name)).unwrap();
        let sort = text.lines().find_map(|l| l.strip_prefix("sort-key")).unwrap().trim().to_string();
        (name.contains("+0"), sort)
    };
    names.sort_by_key(key);
    let chosen = names.first()?.clone();
    let text = fs::read_to_string(dir.join(&chosen)).unwrap();
    if let Some((stem, counter)) = chosen.strip_suffix(".conf").unwrap().split_once('+') {
        let (left, done) = counter.split_once('-').unwrap_or((counter, "0"));
        let (left, done): (u32, u32) = (left.parse().unwrap(), done.parse().unwrap());
        if left > 0 {
            let counted = format!("{stem}+{}-{}.conf", left - 1, done + 1);
            fs::rename(dir.join(&chosen), dir.join(counted)).unwrap();
        }
    }
    text.split_whitespace().find_map(|word| word.strip_prefix("thinroot.layer=")).map(|layer| layer.parse().unwrap())
}

#[test]
fn three_tries_then_the_default_and_a_blessed_layer_stays() {
    for kind in KINDS {
        let dir = tempfile::tempdir().unwrap();
        let boot = served(dir.path(), kind);
        assert_eq!(start(dir.path()), Some(layer(1)), "{kind:?}");
        boot.set_selection(&selection().arm(&layer(2), 3).unwrap()).unwrap();
        for left in [2, 1, 0] {
            assert_eq!(start(dir.path()), Some(layer(2)), "{kind:?}");
            assert_eq!(boot.read_selection().unwrap().unwrap().armed().unwrap().tries_left, left);
        }
        for _ in 0..3 {
            assert_eq!(start(dir.path()), Some(layer(1)), "{kind:?}");
        }
        boot.set_selection(&selection().arm(&layer(3), 2).unwrap()).unwrap();
        assert_eq!(start(dir.path()), Some(layer(3)), "{kind:?}");
        let blessed = boot.read_selection().unwrap().unwrap().bless(&layer(3)).unwrap();
        boot.set_selection(&blessed).unwrap();
        for _ in 0..4 {
            assert_eq!(start(dir.path()), Some(layer(3)), "{kind:?}");
        }
        assert_eq!(boot.survey().unwrap().findings, Vec::<String>::new());
    }
}

#[test]
fn what_systemd_blessed_by_itself_boots_on() {
    let dir = tempfile::tempdir().unwrap();
    let boot = served(dir.path(), LoaderKind::SystemdBoot);
    boot.set_selection(&selection().arm(&layer(2), 3).unwrap()).unwrap();
    start(dir.path());
    let entries = dir.path().join("loader/entries");
    fs::rename(entries.join("_thinroot-try+2-1.conf"), entries.join("_thinroot-try.conf")).unwrap();
    for _ in 0..4 {
        assert_eq!(start(dir.path()), Some(layer(2)));
    }
    let blessed = boot.read_selection().unwrap().unwrap().bless(&layer(2)).unwrap();
    boot.set_selection(&blessed).unwrap();
    assert!(!entries.join("_thinroot-try.conf").exists());
    assert_eq!(state(&boot), LoaderState { default: Some(layer(2)), armed: None });
}

#[test]
fn a_cut_at_any_point_leaves_a_loader_that_boots_the_old_or_the_new() {
    type Deed = fn(&BootDir) -> Result<()>;
    let arm: Deed = |boot| boot.set_selection(&selection().arm(&layer(2), 3).unwrap()).map(drop);
    let other: Deed = |boot| boot.set_selection(&selection().arm(&layer(3), 3).unwrap()).map(drop);
    let bless: Deed = |boot| boot.set_selection(&boot.read_selection()?.unwrap().bless(&layer(2)).unwrap()).map(drop);
    let fail: Deed = |boot| {
        let failed = boot.read_selection()?.unwrap();
        let failed = if failed.armed().is_some() { failed.fail(&layer(2), None, "why").unwrap() } else { failed };
        boot.set_selection(&failed).map(drop)
    };
    // Before, the deed, and what may boot after a cut.
    let deeds: [(&str, Option<Deed>, Deed, &[u32]); 4] = [
        ("arm", None, arm, &[1, 2]),
        ("arm another", Some(arm), other, &[1, 2, 3]),
        ("bless", Some(arm), bless, &[2]),
        ("fail", Some(arm), fail, &[1, 2]),
    ];
    for kind in KINDS {
        for (what, before, deed, allowed) in &deeds {
            let mut cuts = 0;
            loop {
                let dir = tempfile::tempdir().unwrap();
                let boot = served(dir.path(), kind);
                if let Some(before) = before {
                    before(&boot).unwrap();
                    start(dir.path());
                }
                fault::arm(cuts);
                let result = deed(&boot);
                fault::disarm();
                let next = state(&boot).next().cloned().unwrap();
                assert!(allowed.iter().any(|number| next == layer(*number)), "{kind:?} {what} {cuts}: {next}");
                assert_foreign_untouched(dir.path());
                if result.is_ok() {
                    break;
                }
                assert_eq!(result.unwrap_err().kind, ErrorKind::PowerCut);
                // The next start, the next change.
                boot.follow().unwrap();
                deed(&boot).unwrap();
                assert_eq!(boot.survey().unwrap().findings, Vec::<String>::new(), "{kind:?} {what} {cuts}");
                cuts += 1;
            }
            // A selection has five points, what the loader is told at least two.
            assert!(cuts >= 7, "{kind:?} {what}: {cuts}");
        }
    }
}

#[test]
fn a_role_that_a_power_cut_left_empty_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let boot = served(dir.path(), LoaderKind::SystemdBoot);
    boot.set_selection(&selection().arm(&layer(2), 3).unwrap()).unwrap();
    let entries = dir.path().join("loader/entries");
    for torn in ["_thinroot-default.conf", "_thinroot-try+3.conf", "_thinroot-try+1-2.conf"] {
        fs::write(entries.join(torn), "").unwrap();
    }
    boot.follow().unwrap();
    assert!(!entries.join("_thinroot-try+1-2.conf").exists());
    let armed = selection().arm(&layer(2), 3).unwrap();
    assert_eq!(state(&boot), LoaderState::from(&armed));
    assert_eq!(boot.survey().unwrap().findings, Vec::<String>::new());
}

#[test]
fn a_damaged_environment_block_is_told_and_mended() {
    for damage in [&b""[..], &[b'#'; 512], &[0; 1024], b"# GRUB Environment Block\nsaved_entry=x\n"] {
        let dir = tempfile::tempdir().unwrap();
        let boot = served(dir.path(), LoaderKind::Grub);
        boot.set_selection(&selection().arm(&layer(2), 3).unwrap()).unwrap();
        let block = dir.path().join("grub/thinroot.env");
        fs::write(&block, damage).unwrap();
        let findings = boot.survey().unwrap().findings;
        assert!(findings[0].contains("GRUB boots the default only"), "{findings:?}");
        boot.follow().unwrap();
        assert_eq!(boot.survey().unwrap().findings, Vec::<String>::new());
        assert_eq!(state(&boot).next(), Some(&layer(2)));
        fs::remove_file(&block).unwrap();
        boot.follow().unwrap();
        assert_eq!(state(&boot).next(), Some(&layer(2)));
    }
}

#[test]
fn a_loader_that_does_not_read_our_choice_is_told_of() {
    for (kind, file) in [(LoaderKind::Grub, "grub/custom.cfg"), (LoaderKind::SystemdBoot, "loader/loader.conf")] {
        let dir = tempfile::tempdir().unwrap();
        let boot = served(dir.path(), kind);
        fs::write(dir.path().join(file), "timeout 9\n").unwrap();
        let findings = boot.survey().unwrap().findings;
        assert!(findings.iter().any(|finding| finding.contains("does not read our choice")), "{findings:?}");
        boot.take_over(kind, "").unwrap();
        assert_eq!(boot.survey().unwrap().findings, Vec::<String>::new());
        assert!(fs::read_to_string(dir.path().join(file)).unwrap().starts_with("timeout 9\n"));
    }
}

#[test]
fn the_menu_has_the_layers_that_are_there_and_can_boot() {
    let dir = tempfile::tempdir().unwrap();
    let boot = served(dir.path(), LoaderKind::Grub);
    let menu = || fs::read_to_string(dir.path().join("grub/thinroot.cfg")).unwrap();
    assert_eq!(menu().matches("menuentry ").count(), 3);
    boot.remove_entry(&layer(3)).unwrap();
    assert_eq!(menu().matches("menuentry ").count(), 2);
    assert!(!menu().contains("node-3-0+1"));
}

#[test]
fn an_entry_that_grub_cannot_boot_is_told_of_and_keeps_no_other_from_the_menu() {
    let dir = tempfile::tempdir().unwrap();
    let boot = served(dir.path(), LoaderKind::Grub);
    let path = dir.path().join("loader/entries/node-3-0+1-6.1.0-50-amd64.conf");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace(" rw ", " rw a=\\n ")).unwrap();
    boot.follow().unwrap();
    let menu = fs::read_to_string(dir.path().join("grub/thinroot.cfg")).unwrap();
    assert_eq!((menu.matches("menuentry ").count(), menu.contains("node-3-0+1")), (2, false));
    let findings = boot.survey().unwrap().findings;
    assert!(findings[0].contains("node-3-0+1-6.1.0-50-amd64.conf is not in GRUB's menu"), "{findings:?}");
    // What cannot be in the menu is not armed.
    let refused = boot.set_selection(&selection().arm(&layer(3), 3).unwrap()).unwrap_err();
    assert!(refused.why.contains("backslash"), "{refused}");
    assert_eq!(state(&boot).next(), Some(&layer(1)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn a_loader_starts_what_the_selection_says(
        kind in prop::sample::select(KINDS.to_vec()), events in proptest::collection::vec((0u8..6, 1u32..4, 1u8..4), 1..12),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let boot = served(dir.path(), kind);
        for (event, number, tries) in events {
            let now: Selection = boot.read_selection().unwrap().unwrap();
            let name = layer(number);
            let next = match event {
                0 => now.arm(&name, tries),
                1 => now.disarm(),
                2 => now.bless(&name),
                3 => now.fail(&name, None, "why"),
                _ => {
                    let (started, _) = now.start().unwrap();
                    prop_assert_eq!(start(dir.path()), Some(started.layer));
                    continue;
                }
            };
            if let Ok(next) = next {
                boot.set_selection(&next).unwrap();
                let says = state(&boot);
                prop_assert_eq!(says.default.as_ref(), next.default_layer());
                prop_assert_eq!(says.armed.as_ref(), next.armed());
            }
        }
    }
}
