//! Tests of [`super`]: entries as real systems write them, and our own.

use super::*;
use crate::boot::content::ContentRole;
use crate::manifest::Digest;
use proptest::prelude::*;

/// Fedora 40, written by kernel-install with grub2's plugin.
const FEDORA: &str = "title Fedora Linux (6.8.5-301.fc40.x86_64) 40 (Server Edition)\nversion 6.8.5-301.fc40.x86_64\nlinux \
    /vmlinuz-6.8.5-301.fc40.x86_64\ninitrd /initramfs-6.8.5-301.fc40.x86_64.img $tuned_initrd\noptions \
    root=/dev/mapper/fedora-root ro rd.lvm.lv=fedora/root rhgb quiet $tuned_params\ngrub_users $grub_users\ngrub_arg \
    --unrestricted\ngrub_class fedora\n";
/// The example of the specification, with comments and repeated keys.
const SPEC: &str = "# /boot/loader/entries/6a9857a393724b7a981ebb5b8495b9ea-3.8.0-2.fc19.x86_64.conf\ntitle        Fedora \
    19 (Rawhide)\nsort-key     fedora\nmachine-id   6a9857a393724b7a981ebb5b8495b9ea\nversion      \
    3.8.0-2.fc19.x86_64\noptions      root=UUID=6d3376e4-fc93-4509-95ec-a21d68011da2 quiet\narchitecture x64\nlinux        \
    /6a9857a393724b7a981ebb5b8495b9ea/3.8.0-2.fc19.x86_64/linux\ninitrd       \
    /6a9857a393724b7a981ebb5b8495b9ea/3.8.0-2.fc19.x86_64/initrd\n";
/// Arch by hand: microcode first, tabs, CRLF, indentation, no newline at the end.
const ARCH: &str = "title\tArch Linux\r\n  linux   /vmlinuz-linux\r\n\r\ninitrd  /intel-ucode.img\ninitrd  \
    /initramfs-linux.img\n\t# my disk\noptions root=LABEL=arch_os\noptions  rw  \nx-mine  1\nlonely";

fn content(byte: u8, role: ContentRole) -> ContentName {
    ContentName::new(&Digest([byte; 32]), role)
}

fn ours() -> NewEntry {
    NewEntry {
        layer: "node-2-0+1".parse().unwrap(),
        kernel: KernelVersion::parse("6.1.0-50-amd64").unwrap(),
        title: "My Node 2 (node-2-0+1, 6.1.0-50-amd64)".into(),
        machine_id: Some("6a9857a393724b7a981ebb5b8495b9ea".into()),
        linux: content(1, ContentRole::Vmlinuz),
        initrd: vec![content(2, ContentRole::Initrd), content(3, ContentRole::Initrd)],
        options: "root=/dev/vg/node-2-0+1 rw thinroot.layer=node-2-0+1 quiet".into(),
    }
}

#[test]
fn real_entries_survive_byte_for_byte_and_are_foreign() {
    for (file, text) in [("a-6.8.5-301.fc40.x86_64.conf", FEDORA), ("spec.conf", SPEC), ("arch.conf", ARCH)] {
        let entry = Entry::parse(text.as_bytes()).unwrap();
        assert_eq!(entry.to_string(), text);
        let found = FoundEntry::classify(file, text.as_bytes());
        assert_eq!(found, FoundEntry::Foreign { entry, doubt: None });
    }
}

#[test]
fn fields_are_read_as_loaders_read_them() {
    let arch = Entry::parse(ARCH.as_bytes()).unwrap();
    assert_eq!(
        arch.fields().collect::<Vec<_>>(),
        [
            ("title", "Arch Linux"),
            ("linux", "/vmlinuz-linux"),
            ("initrd", "/intel-ucode.img"),
            ("initrd", "/initramfs-linux.img"),
            ("options", "root=LABEL=arch_os"),
            ("options", "rw"),
            ("x-mine", "1"),
        ]
    );
    assert_eq!(arch.options(), "root=LABEL=arch_os rw");
    assert_eq!(
        arch.payload_paths().collect::<Vec<_>>(),
        ["/vmlinuz-linux", "/intel-ucode.img", "/initramfs-linux.img"]
    );
    assert_eq!(arch.value("grub_class"), None);
    assert_eq!(arch.marked_layer(), None);
}

#[test]
fn our_entry_is_as_documented() {
    let file = ours().build().unwrap();
    assert_eq!(file.name.file_name(), "node-2-0+1-6.1.0-50-amd64.conf");
    let (one, two, three) = ("01".repeat(16), "02".repeat(16), "03".repeat(16));
    let want = format!(
        "title      My Node 2 (node-2-0+1, 6.1.0-50-amd64)\n\
         version    2-0+1-6.1.0-50-amd64\n\
         sort-key   node\n\
         machine-id 6a9857a393724b7a981ebb5b8495b9ea\n\
         linux      /thinroot/{one}-vmlinuz\n\
         initrd     /thinroot/{two}-initrd\n\
         initrd     /thinroot/{three}-initrd\n\
         options    root=/dev/vg/node-2-0+1 rw thinroot.layer=node-2-0+1 quiet\n"
    );
    assert_eq!(file.entry.to_string(), want);
    assert_eq!(FoundEntry::classify(&file.name.file_name(), want.as_bytes()), FoundEntry::Ours(file));
}

#[test]
fn only_both_marks_together_make_an_entry_ours() {
    let file = ours().build().unwrap();
    let text = file.entry.to_string();
    let name = file.name.file_name();
    let doubt = |name: &str, text: &str| match FoundEntry::classify(name, text.as_bytes()) {
        FoundEntry::Foreign { doubt, .. } => doubt,
        other @ (FoundEntry::Ours(_) | FoundEntry::Unreadable(_)) => panic!("{other:?}"),
    };
    assert_eq!(
        doubt("my-rescue.conf", &text).unwrap(),
        "its options say layer node-2-0+1, but its name is not one of ours"
    );
    assert_eq!(
        doubt("node-1-0+1-6.1.0-50-amd64.conf", &text).unwrap(),
        "its name says layer node-1-0+1, its options say layer node-2-0+1"
    );
    for changed in [
        text.replace("thinroot.layer=node-2-0+1 ", ""),
        text.replace("quiet", "thinroot.layer=node-1-0+1"),
        text.replace("thinroot.layer=node-2-0+1", "thinroot.layer=node-2-0"),
    ] {
        assert_eq!(doubt(&name, &changed).unwrap(), "its name says layer node-2-0+1, its options say no single layer");
    }
    // A counter of systemd-boot changes nothing.
    let counted = FoundEntry::classify("node-2-0+1-6.1.0-50-amd64+2-1.conf", text.as_bytes());
    assert!(matches!(counted, FoundEntry::Ours(f) if f.name.is_twin_of(&file.name)));
}

#[test]
fn whatever_a_power_cut_leaves_of_our_entry_is_never_taken_for_a_whole_foreign_one() {
    let file = ours().build().unwrap();
    let text = file.entry.to_string();
    let mentions = |found: &FoundEntry| match found {
        FoundEntry::Foreign { entry, .. } => {
            content(1, ContentRole::Vmlinuz).is_mentioned_in(&entry.to_string())
                && content(3, ContentRole::Initrd).is_mentioned_in(&entry.to_string())
        }
        FoundEntry::Ours(_) | FoundEntry::Unreadable(_) => true,
    };
    for length in 0..text.len() {
        let found = FoundEntry::classify(&file.name.file_name(), &text.as_bytes()[..length]);
        assert!(mentions(&found), "{length}: {found:?}");
    }
    let zeros = FoundEntry::classify(&file.name.file_name(), &[0; 300]);
    assert_eq!(zeros, FoundEntry::Unreadable(EntryError::NotText(0, 0)));
    assert_eq!(FoundEntry::classify("x.conf", b""), FoundEntry::Unreadable(EntryError::Empty));
    assert_eq!(FoundEntry::classify("x.conf", b"# only\n"), FoundEntry::Unreadable(EntryError::Empty));
    assert_eq!(FoundEntry::classify("x.conf", b"title \xff\n"), FoundEntry::Unreadable(EntryError::NotText(0xff, 6)));
}

#[test]
fn values_that_would_break_the_entry_are_refused() {
    for title in ["", "a\nlinux /evil", " a", "a\r"] {
        let entry = NewEntry { title: title.into(), ..ours() };
        assert_eq!(entry.build(), Err(EntryError::Value { key: "title", value: title.into() }));
    }
    let other = NewEntry { options: "root=x thinroot.layer=node-1-0+1".into(), ..ours() };
    assert_eq!(other.build(), Err(EntryError::Mark("root=x thinroot.layer=node-1-0+1".into())));
}

proptest! {
    #[test]
    fn printing_what_was_read_gives_the_same_bytes(text in "([a-z#]{0,4}[ \t]{0,2}[ -~]{0,6}(\n|\r\n)?){0,8}") {
        if let Ok(entry) = Entry::parse(text.as_bytes()) {
            prop_assert_eq!(entry.to_string(), text);
        }
    }

    #[test]
    fn reading_what_was_built_gives_the_same_entry(
        title in "[!-~]{1,5}( [!-~äß]{1,5}){0,3}", args in "[!-~&&[^\"]]{1,8}", id in proptest::option::of("[0-9a-f]{32}"),
        initrds in proptest::collection::vec(any::<u8>(), 0..4), kernel in "[0-9][0-9a-z.+-]{0,10}",
    ) {
        let new = NewEntry {
            title, machine_id: id, kernel: KernelVersion::parse(&kernel).unwrap(),
            initrd: initrds.iter().map(|b| content(*b, ContentRole::Initrd)).collect(),
            options: format!("root=x thinroot.layer=node-2-0+1 {args}"),
            ..ours()
        };
        let Ok(file) = new.build() else { return Ok(()) };
        let text = file.entry.to_string();
        prop_assert_eq!(file.entry.value("title"), Some(new.title.as_str()));
        prop_assert_eq!(file.entry.values("initrd").count(), initrds.len());
        prop_assert_eq!(file.entry.options(), new.options);
        prop_assert_eq!(FoundEntry::classify(&file.name.file_name(), text.as_bytes()), FoundEntry::Ours(file));
    }
}
