//! What each verb does, finds done, and refuses.

use std::fs;
use std::path::Path;

use thinroot_core::boot::{ContentRole, Counter, EntryFile, Selection};
use thinroot_engine::boot::{BootDir, KernelFile, SelectionFile};
use thinroot_engine::error::ErrorKind;
use thinroot_engine::store::Ensured;

use crate::kit::*;

fn entries(path: &Path) -> std::path::PathBuf {
    path.join("loader/entries")
}

#[test]
fn two_layers_with_one_kernel_store_it_once_and_the_survey_tells() {
    let dir = tempfile::tempdir().unwrap();
    let boot = prepared(dir.path());
    assert_eq!(boot.write_entry(&entry(1)).unwrap(), Ensured::Already);
    install(&boot, 2).unwrap();
    assert_eq!(boot.write_entry(&entry(2)).unwrap(), Ensured::Done);
    let armed = selection().arm(&layer(2), 3).unwrap();
    assert_eq!(boot.set_selection(&armed).unwrap(), Ensured::Done);
    assert_eq!(boot.set_selection(&armed).unwrap(), Ensured::Already);

    let survey = boot.survey().unwrap();
    let found: Vec<_> = survey.entries.iter().map(|e| (e.file.clone(), e.missing.clone())).collect();
    assert_eq!(found, [(entry(1), vec![]), (entry(2), vec![])]);
    assert_eq!(survey.foreign_count, 3);
    assert_eq!(survey.selection, SelectionFile::Present(armed));
    let mut want: Vec<_> = [payload(1), payload(2)]
        .iter()
        .flat_map(|files| files.iter().map(|(f, _)| f.name()))
        .map(|name| {
            let size = if name.role() == ContentRole::Vmlinuz { (5000, 2) } else { (6300, 1) };
            (name, size.0, size.1)
        })
        .collect();
    want.sort();
    want.dedup();
    assert_eq!(want.len(), 3);
    let kernels: Vec<_> = survey.kernels.iter().map(|k| (k.name.clone(), k.size_bytes, k.references)).collect();
    assert_eq!(kernels, want);
    assert_eq!(survey.findings, Vec::<String>::new());
    assert!(survey.space.free_bytes > 0 && survey.space.total_bytes >= survey.space.free_bytes);
    assert_foreign_untouched(dir.path());
}

#[test]
fn needed_bytes_count_each_missing_content_once_in_whole_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let boot = prepared(dir.path());
    let files = |n: u32| payload(n).map(|(file, _)| file);
    let reserve = boot.needed_bytes(&[]).unwrap();
    assert_eq!(boot.needed_bytes(&files(1)).unwrap(), reserve);
    let block = boot.survey().unwrap().space.block_bytes;
    let two: Vec<KernelFile> = [files(1), files(2), files(2)].concat();
    assert_eq!(boot.needed_bytes(&two).unwrap(), reserve + 6300u64.next_multiple_of(block));
}

#[test]
fn a_lying_or_failing_reader_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let boot = prepared(dir.path());
    let before = tree(dir.path());
    let [_, (file, content)] = payload(2);
    let mut other = content.clone();
    other[7] ^= 1;
    let longer = [content.as_slice(), b"x"].concat();
    for (bytes, why) in [
        (&content[..100], "6300 bytes were announced and 100 came"),
        (&longer[..], "6300 bytes were announced and 6301 or more came"),
        (&other[..], "its content does not have the digest announced"),
    ] {
        let error = boot.install_kernel(&mut &bytes[..], &file).unwrap_err();
        assert_eq!((error.kind, error.why.as_str()), (ErrorKind::Refused, why));
        assert_eq!(tree(dir.path()), before);
    }
}

#[test]
fn a_damaged_kernel_of_the_same_name_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let boot = prepared(dir.path());
    let [(file, content), _] = payload(1);
    assert_eq!(boot.install_kernel(&mut &content[..], &file).unwrap(), Ensured::Already);
    let path = dir.path().join("thinroot").join(file.name().to_string());
    fs::write(&path, vec![0; content.len()]).unwrap();
    assert_eq!(boot.damaged_kernels().unwrap(), [file.name()]);
    assert_eq!(boot.install_kernel(&mut &content[..], &file).unwrap(), Ensured::Done);
    assert_eq!(fs::read(&path).unwrap(), content);
}

#[test]
fn an_entry_before_its_kernel_and_a_selection_before_its_entry_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let boot = prepared(dir.path());
    let before = tree(dir.path());
    assert_eq!(boot.write_entry(&entry(2)).unwrap_err().kind, ErrorKind::Refused);
    let armed = selection().arm(&layer(2), 3).unwrap();
    assert_eq!(boot.set_selection(&armed).unwrap_err().kind, ErrorKind::Refused);
    assert_eq!(tree(dir.path()), before);
    install(&boot, 2).unwrap();
    assert_eq!(boot.set_selection(&armed).unwrap_err().kind, ErrorKind::Refused);
    boot.write_entry(&entry(2)).unwrap();
    boot.set_selection(&armed).unwrap();
}

#[test]
fn entries_of_what_boots_stay_and_others_go_with_their_kernels() {
    let dir = tempfile::tempdir().unwrap();
    let boot = prepared(dir.path());
    let before = tree(dir.path());
    install(&boot, 2).unwrap();
    boot.write_entry(&entry(2)).unwrap();
    boot.set_selection(&selection().arm(&layer(2), 3).unwrap()).unwrap();
    for n in [1, 2] {
        assert_eq!(boot.remove_entry(&layer(n)).unwrap_err().kind, ErrorKind::Refused);
    }
    assert_eq!(boot.sweep().unwrap(), Vec::<String>::new());
    boot.set_selection(&selection()).unwrap();
    assert_eq!(boot.remove_entry(&layer(2)).unwrap(), Ensured::Done);
    let unused = format!("thinroot/{}", payload(2)[1].0.name());
    assert_eq!(boot.survey().unwrap().unreferenced_kernels(), [unused]);
    assert_eq!(boot.remove_entry(&layer(2)).unwrap(), Ensured::Already);
    fs::write(entries(dir.path()).join(".thinroot-tmp-x.conf~"), "half").unwrap();
    fs::write(dir.path().join("thinroot/.thinroot-tmp-y"), "half").unwrap();
    let initrd = payload(2)[1].0.name();
    assert_eq!(
        boot.sweep().unwrap(),
        [
            "thinroot/.thinroot-tmp-y".into(),
            format!("thinroot/{initrd}"),
            "loader/entries/.thinroot-tmp-x.conf~".into()
        ]
    );
    assert_eq!(tree(dir.path()), before);
}

#[test]
fn a_kernel_that_only_a_foreign_entry_mentions_stays() {
    let dir = tempfile::tempdir().unwrap();
    let boot = prepared(dir.path());
    install(&boot, 2).unwrap();
    let initrd = payload(2)[1].0.name();
    let copy = format!("title mine\nlinux /vmlinuz\ninitrd \\THINROOT\\{}\n", initrd.to_string().to_uppercase());
    fs::write(entries(dir.path()).join("mine.conf"), copy).unwrap();
    assert_eq!(boot.sweep().unwrap(), Vec::<String>::new());
    fs::remove_file(entries(dir.path()).join("mine.conf")).unwrap();
    assert_eq!(boot.sweep().unwrap(), [format!("thinroot/{initrd}")]);
}

#[test]
fn while_anything_cannot_be_read_nothing_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let boot = prepared(dir.path());
    install(&boot, 2).unwrap();
    let half = entries(dir.path()).join("node-2-0+1-6.1.0-50-amd64.conf");
    for damage in [&b""[..], &[0; 200], b"title Node\nlinux /x\n", b"title \xff\n"] {
        fs::write(&half, damage).unwrap();
        let before = tree(dir.path());
        let error = boot.sweep().unwrap_err();
        assert_eq!(error.kind, ErrorKind::Damaged);
        assert!(error.why.contains("node-2-0+1-6.1.0-50-amd64.conf"), "{error}");
        assert_eq!(tree(dir.path()), before);
        assert_eq!(boot.survey().unwrap().findings.len(), 1);
    }
    // A half-written entry of ours is mended by writing it again.
    boot.write_entry(&entry(2)).unwrap();
    assert_eq!(boot.sweep().unwrap(), Vec::<String>::new());
    // An entry that is not even a file.
    fs::create_dir(entries(dir.path()).join("odd.conf")).unwrap();
    assert_eq!(boot.sweep().unwrap_err().kind, ErrorKind::Damaged);
    // Kernels without any directory of entries: a boot partition that is mounted by half.
    fs::remove_dir_all(entries(dir.path())).unwrap();
    assert_eq!(boot.sweep().unwrap_err().kind, ErrorKind::Damaged);
    // A damaged selection protects every entry.
    let boot = prepared(dir.path());
    install(&boot, 2).unwrap();
    boot.write_entry(&entry(2)).unwrap();
    fs::write(dir.path().join("loader/thinroot.sel"), "default=x\n").unwrap();
    assert_eq!(boot.read_selection().unwrap_err().kind, ErrorKind::Damaged);
    assert_eq!(boot.remove_entry(&layer(2)).unwrap_err().kind, ErrorKind::Damaged);
    assert!(matches!(boot.survey().unwrap().selection, SelectionFile::Damaged(_)));
    boot.set_selection(&selection()).unwrap();
    assert_eq!(boot.read_selection().unwrap(), Some(selection()));
}

#[test]
fn a_counted_entry_is_rewritten_under_its_own_name_and_twins_are_a_finding() {
    let dir = tempfile::tempdir().unwrap();
    let boot = prepared(dir.path());
    let plain = entry(1).name;
    let counted = plain.counted(Some(Counter { left: 2, done: Some(1) })).file_name();
    fs::rename(entries(dir.path()).join(plain.file_name()), entries(dir.path()).join(&counted)).unwrap();
    assert_eq!(boot.write_entry(&entry(1)).unwrap(), Ensured::Already);
    let text = entry(1).entry.to_string().replace("Node 1", "Node One");
    let changed = EntryFile { name: plain.clone(), entry: thinroot_core::boot::Entry::parse(text.as_bytes()).unwrap() };
    assert_eq!(boot.write_entry(&changed).unwrap(), Ensured::Done);
    assert_eq!(fs::read_to_string(entries(dir.path()).join(&counted)).unwrap(), text);
    assert!(!entries(dir.path()).join(plain.file_name()).exists());
    fs::write(entries(dir.path()).join(plain.file_name()), &text).unwrap();
    assert_eq!(boot.write_entry(&entry(1)).unwrap_err().kind, ErrorKind::Damaged);
    assert_eq!(
        boot.survey().unwrap().findings,
        [format!("{counted} and {} are one boot entry with and without a boot counter", plain.file_name())]
    );
}

#[test]
fn missing_kernels_doubtful_entries_and_strangers_are_findings() {
    let dir = tempfile::tempdir().unwrap();
    let boot = prepared(dir.path());
    let initrd = payload(1)[1].0.name();
    fs::remove_file(dir.path().join(initrd.boot_path().trim_start_matches('/'))).unwrap();
    fs::write(dir.path().join("thinroot/note.txt"), "x").unwrap();
    fs::write(entries(dir.path()).join("copy.conf"), entry(1).entry.to_string()).unwrap();
    let survey = boot.survey().unwrap();
    assert_eq!(survey.entries[0].missing, [initrd.boot_path()]);
    assert_eq!(
        survey.findings,
        [
            "boot entry copy.conf is left alone as not ours: its options say layer node-1-0+1, but its name is not one of ours"
                .to_string(),
            format!("boot entry node-1-0+1-6.1.0-50-amd64.conf cannot boot: {} is missing", initrd.boot_path()),
            "thinroot/note.txt on the boot file system is not ours".to_string(),
            "the default layer node-1-0+1 has no boot entry that can boot".to_string(),
        ]
    );
}

#[test]
fn a_foreign_file_under_our_name_is_never_replaced_or_removed() {
    let dir = tempfile::tempdir().unwrap();
    let boot = prepared(dir.path());
    install(&boot, 2).unwrap();
    let path = entries(dir.path()).join(entry(2).name.file_name());
    let theirs = "title theirs\nlinux /vmlinuz\noptions root=/dev/sda1\n";
    fs::write(&path, theirs).unwrap();
    assert_eq!(boot.write_entry(&entry(2)).unwrap_err().kind, ErrorKind::Refused);
    assert_eq!(boot.remove_entry(&layer(2)).unwrap(), Ensured::Already);
    assert_eq!(fs::read_to_string(&path).unwrap(), theirs);
}

#[test]
fn an_empty_directory_is_a_boot_directory_and_a_missing_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let boot = BootDir::open(dir.path()).unwrap();
    assert_eq!(boot.read_selection().unwrap(), None);
    let survey = boot.survey().unwrap();
    assert_eq!((survey.entries.len(), survey.foreign_count, survey.selection), (0, 0, SelectionFile::Absent));
    assert_eq!(boot.sweep().unwrap(), Vec::<String>::new());
    boot.set_selection(&Selection::default()).unwrap();
    assert_eq!(boot.read_selection().unwrap(), Some(Selection::default()));
    assert!(BootDir::open(&dir.path().join("none")).is_err());
    assert!(BootDir::open(&dir.path().join("loader/thinroot.sel")).is_err());
}

#[test]
fn names_that_fat_does_not_tell_apart_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let boot = prepared(dir.path());
    let text = entry(1).entry.to_string().replace("thinroot.layer=node", "thinroot.layer=Node");
    let entry = thinroot_core::boot::Entry::parse(text.as_bytes()).unwrap();
    let layer = "Node-1-0+1".parse().unwrap();
    let name = thinroot_core::boot::EntryName::new(layer, crate::kit::entry(1).name.kernel().clone()).unwrap();
    let before = tree(dir.path());
    let error = boot.write_entry(&EntryFile { name, entry }).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(error.why.contains("upper and lower case"), "{error}");
    assert_eq!(tree(dir.path()), before);
}
