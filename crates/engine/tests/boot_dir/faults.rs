//! A power cut at every point of every verb: the directory reads, the selection is old or new, no entry of ours points at
//! a file that is not there, and doing it again gets there.
//!
//! The cut is the in-process one: it stops every later effect, but what was written before it is all there. Lost unsynced
//! data is what the crash suite in a test kernel looks at.

use std::path::Path;

use thinroot_core::audit::{HostView, audit};
use thinroot_core::boot::Selection;
use thinroot_core::inventory::{FsKind, Phase, Role, Volume};
use thinroot_core::name::VolumeName;
use thinroot_engine::boot::{BootDir, BootSurvey, SelectionFile};
use thinroot_engine::error::{ErrorKind, Result};
use thinroot_engine::fault;

use crate::kit::*;

/// What holds after any cut.
fn assert_sound(boot: &BootDir, allowed: &[Selection]) {
    let survey = boot.survey().unwrap();
    assert_eq!(survey.findings, Vec::<String>::new());
    for entry in &survey.entries {
        assert_eq!(entry.missing, Vec::<String>::new());
    }
    let SelectionFile::Present(selection) = survey.selection.clone() else { panic!("{:?}", survey.selection) };
    assert!(allowed.contains(&selection), "{selection}");
    assert_eq!(boot.damaged_kernels().unwrap(), []);
    assert_eq!(audit(&host(&survey, selection)), []);
    assert_foreign_untouched(boot.path());
}

/// GRUB offers every `*.conf`, whatever it begins with: none may be a temporary file.
fn assert_no_half_entry_is_offered(boot: &BootDir) {
    for entry in std::fs::read_dir(boot.path().join("loader/entries")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!(name.starts_with('.') && name.ends_with(".conf")), "{name}");
    }
}

/// Both layers are there, and the plan under way answers for what it has not finished.
fn host(survey: &BootSurvey, selection: Selection) -> HostView {
    let volume = |name: VolumeName, role| Volume {
        name,
        role,
        phase: Phase::Ready,
        origin: None,
        image_digest: None,
        fs: FsKind::Ext4,
        size_bytes: 1 << 30,
        used_bytes: None,
    };
    HostView {
        volumes: [1, 2]
            .into_iter()
            .flat_map(|n| [volume(layer(n).base().volume(), Role::Base), volume(layer(n).volume(), Role::Layer)])
            .collect(),
        entries: survey.audited_entries(),
        selection,
        open_plan_names: [layer(2).volume()].into(),
        manifests: [layer(1).base().clone(), layer(2).base().clone()].into(),
        unreferenced_kernels: survey.unreferenced_kernels(),
    }
}

/// Runs `work` on a fresh directory with the plug pulled at each of its points, and then once more to the end.
fn cut_everywhere(
    prepare: impl Fn(&BootDir),
    work: impl Fn(&BootDir) -> Result<()>,
    allowed: &[Selection],
    at_end: impl Fn(&Path),
) -> u64 {
    for n in 0.. {
        let dir = tempfile::tempdir().unwrap();
        fault::disarm();
        let boot = prepared(dir.path());
        prepare(&boot);
        fault::arm(n);
        let result = work(&boot);
        fault::disarm();
        assert_sound(&boot, allowed);
        assert_no_half_entry_is_offered(&boot);
        match result {
            Ok(()) => {
                at_end(dir.path());
                return n;
            }
            Err(error) => assert_eq!(error.kind, ErrorKind::PowerCut, "{error}"),
        }
        work(&boot).unwrap();
        boot.sweep().unwrap();
        assert_sound(&boot, allowed);
        assert_eq!(boot.survey().unwrap().unreferenced_kernels(), Vec::<String>::new());
        at_end(dir.path());
    }
    unreachable!("the range has no end")
}

fn armed() -> Selection {
    selection().arm(&layer(2), 3).unwrap()
}

fn stage(boot: &BootDir) -> Result<()> {
    install(boot, 2)?;
    boot.write_entry(&entry(2))?;
    boot.set_selection(&armed())?;
    Ok(())
}

#[test]
fn staging_and_arming_survive_a_cut_anywhere() {
    let points = cut_everywhere(
        |_| {},
        stage,
        &[selection(), armed()],
        |path| {
            let boot = BootDir::open(path).unwrap();
            assert_eq!(boot.read_selection().unwrap(), Some(armed()));
            assert_eq!(boot.survey().unwrap().entries.len(), 2);
            assert_eq!(tree(path).len(), 3 + 2 + 3 + 1, "{:?}", tree(path).keys());
        },
    );
    // Three files, five points each.
    assert_eq!(points, 15);
}

#[test]
fn the_commit_point_is_the_rename() {
    for n in 0..5 {
        let dir = tempfile::tempdir().unwrap();
        let boot = prepared(dir.path());
        install(&boot, 2).unwrap();
        boot.write_entry(&entry(2)).unwrap();
        fault::arm(n);
        assert_eq!(boot.set_selection(&armed()).unwrap_err().kind, ErrorKind::PowerCut);
        fault::disarm();
        let want = if n < 3 { selection() } else { armed() };
        assert_eq!(boot.read_selection().unwrap(), Some(want), "{n}");
    }
}

#[test]
fn taking_a_layer_away_survives_a_cut_anywhere() {
    let without = {
        let dir = tempfile::tempdir().unwrap();
        prepared(dir.path());
        tree(dir.path())
    };
    let points = cut_everywhere(
        |boot| stage(boot).unwrap(),
        |boot| {
            boot.set_selection(&selection())?;
            boot.remove_entry(&layer(2))?;
            boot.sweep().map(|_| ())
        },
        &[selection(), armed()],
        |path| assert_eq!(tree(path), without),
    );
    // One selection of five points, an entry and an initrd of two each.
    assert_eq!(points, 9);
}

#[test]
fn the_first_files_of_an_empty_directory_survive_a_cut_anywhere() {
    for n in 0..40 {
        let dir = tempfile::tempdir().unwrap();
        let boot = BootDir::open(dir.path()).unwrap();
        let work = || {
            install(&boot, 1)?;
            boot.write_entry(&entry(1))?;
            boot.set_selection(&selection())
        };
        fault::arm(n);
        let result = work();
        fault::disarm();
        let survey = boot.survey().unwrap();
        assert_eq!(survey.findings, Vec::<String>::new());
        assert!(survey.entries.iter().all(|entry| entry.missing.is_empty()));
        if result.is_ok() {
            // Two kernels, an entry, a selection, and the two directories made for them.
            assert_eq!(n, 4 * 5 + 2 * 2);
            return;
        }
        work().unwrap();
        assert_eq!(boot.read_selection().unwrap(), Some(selection()));
    }
    panic!("never came to its end");
}
