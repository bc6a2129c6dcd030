//! What verification must see: every single thing that is not as the manifest says, on files and on raw bytes.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;

use thinroot_core::manifest::{Kind, LinkTarget};
use thinroot_engine::base::chunks::{CHUNK_BYTES, ChunkTable};
use thinroot_engine::base::inodes::{Inode, InodeTable};
use thinroot_engine::base::{self, verify};
use thinroot_engine::cmd::Cmd;
use thinroot_engine::progress::{Event, Reporter, Silent};
use thinroot_testkit::trees::{CAPABILITY, Tree, TreeBuilder, acl, meta, path, with_xattr};
use thinroot_testkit::volume::LoopVolume;

const MIB: u64 = 1 << 20;
const T1: (i64, u32) = (1_700_000_000, 123_456_789);

fn sample() -> Tree {
    let mut tree = TreeBuilder::new();
    let plain = || meta(0o644, (0, 0), T1);
    tree.add(path(""), Kind::Directory, meta(0o755, (0, 0), T1));
    tree.add(path("d"), Kind::Directory, meta(0o755, (0, 0), T1));
    tree.file(path("d/file"), &vec![b'x'; 300_000], false, plain());
    tree.file(path("d/holes"), &[vec![b'x'; 4096], vec![0; 8192]].concat(), true, plain());
    tree.file(path("caps"), b"#!", false, with_xattr(plain(), "security.capability", &CAPABILITY));
    tree.file(path("acl"), b"", false, with_xattr(meta(0o740, (0, 0), T1), "system.posix_acl_access", &acl(4)));
    tree.link(path("d/twin"), &path("d/file"));
    tree.add(path("link"), Kind::Symlink { target: LinkTarget(b"d"[..].into()) }, meta(0o777, (0, 0), T1));
    tree.add(path("null"), Kind::Char { major: 1, minor: 3 }, plain());
    tree.add(path("pipe"), Kind::Fifo, plain());
    tree.build()
}

fn differences(root: &Path, tree: &Tree) -> Vec<String> {
    verify(root, &tree.manifest, &Silent).unwrap().0.iter().map(ToString::to_string).collect()
}

fn shell(root: &Path, script: &str) {
    Cmd::new("sh").args(["-ec", &format!("cd \"$1\"; {script}"), "sh"]).arg(root).run().unwrap();
}

#[test]
fn each_single_change_is_seen_and_named() {
    let volume = LoopVolume::ext4(64 * MIB);
    let time = "touch -h -d @1700000000.123456789";
    let cases: [(&str, String, &[&str]); 19] = [
        (
            "byte",
            format!("printf y | dd of=d/file bs=1 seek=200000 conv=notrunc status=none; {time} d/file"),
            &["/d/file: has content f011755f6f1d0c69 instead of 29927e273accc682"],
        ),
        (
            "size",
            format!(
                "printf y >>caps; setfattr -n security.capability -v 0sAQAAAgAEAAAAAAAAAAAAAAAAAAA= caps; {time} caps"
            ),
            &["/caps: has 3 bytes instead of 2"],
        ),
        (
            "mode",
            "chmod 4644 d/file".into(),
            &["/d/file: has mode 4644 instead of 0644", "/d/twin: has mode 4644 instead of 0644"],
        ),
        ("owner", "chown -h 5:6 link".into(), &["/link: belongs to 5:6 instead of 0:0"]),
        (
            "time",
            "touch -d @1700000000.123456788 pipe".into(),
            &["/pipe: was modified at 1700000000.123456788 instead of 1700000000.123456789"],
        ),
        (
            "directory time",
            "touch -d @5 d".into(),
            &["/d: was modified at 5.000000000 instead of 1700000000.123456789"],
        ),
        ("xattr gone", "setfattr -x security.capability caps".into(), &["/caps: lacks security.capability"]),
        (
            "xattr other",
            "setfattr -n security.capability -v 0sAQAAAgAIAAAAAAAAAAAAAAAAAAA= caps".into(),
            &["/caps: has another value of security.capability"],
        ),
        (
            "xattr more",
            "setfattr -n trusted.more -v 1 null".into(),
            &["/null: has trusted.more, which is not in the image"],
        ),
        ("acl", "setfacl -x u:7 acl".into(), &["/acl: has another value of system.posix_acl_access"]),
        ("missing", format!("rm pipe; {time} ."), &["/pipe: is missing"]),
        (
            "extra",
            format!("mkdir d/z; echo >d/z/x; {time} d"),
            &["/d/z: is not in the image", "/d/z/x: is not in the image"],
        ),
        ("target", format!("ln -sfn e link; {time} link ."), &["/link: points to e instead of d"]),
        (
            "type",
            format!("rm pipe; mknod pipe c 1 3; chmod 644 pipe; {time} pipe ."),
            &["/pipe: is a character device instead of a fifo"],
        ),
        (
            "device",
            format!("rm null; mknod null c 1 5; chmod 644 null; {time} null ."),
            &["/null: is device 1:5 instead of 1:3"],
        ),
        (
            "unlinked twin",
            format!("cp -p d/twin t; mv t d/twin; {time} d ."),
            &[
                "/d/file: has 1 names instead of 2",
                "/d/twin: has 1 names instead of 2",
                "/d/twin: is a file of its own instead of the same file as /d/file",
            ],
        ),
        (
            "one more name",
            format!("ln caps d/file2; {time} d"),
            &["/caps: has 2 names instead of 1", "/d/file2: is not in the image"],
        ),
        (
            "hole gone",
            format!("cp --sparse=never d/holes h; cat h >d/holes; rm h; {time} d/holes ."),
            &["/d/holes: has no hole"],
        ),
        (
            "hole made",
            format!("head -c 300000 /dev/zero >d/file; fallocate -d d/file; {time} d/file"),
            &["/d/file: has a hole", "/d/file: has content "],
        ),
    ];
    let tree = sample();
    for (what, script, says) in cases {
        let root = volume.root().join(what.replace(' ', "-"));
        fs::create_dir(&root).unwrap();
        base::write(&root, None, &tree.manifest, &mut tree.clone(), &Silent).unwrap();
        assert_eq!(differences(&root, &tree), Vec::<String>::new());
        shell(&root, &script);
        let said = differences(&root, &tree);
        let as_said = said.len() == says.len() && said.iter().zip(says).all(|(line, start)| line.starts_with(start));
        assert!(as_said, "{what}: {said:#?} instead of {says:#?}");
    }
}

#[test]
fn progress_ends_at_the_whole() {
    struct Last(Mutex<Option<Event>>);
    impl Reporter for Last {
        fn event(&self, event: Event) {
            *self.0.lock().unwrap() = Some(event);
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let tree = sample();
    let all = Event::Progress { done: 312_290, total: Some(312_290), unit: "bytes" };
    let last = Last(Mutex::default());
    base::write(dir.path(), None, &tree.manifest, &mut tree.clone(), &last).unwrap();
    assert_eq!(last.0.lock().unwrap().take(), Some(all.clone()));
    verify(dir.path(), &tree.manifest, &last).unwrap();
    assert_eq!(last.0.lock().unwrap().take(), Some(all));
}

#[test]
fn the_inode_table_tells_what_changed() {
    let volume = LoopVolume::ext4(64 * MIB);
    let root = volume.root();
    let tree = sample();
    base::write(&root, None, &tree.manifest, &mut tree.clone(), &Silent).unwrap();
    let (_, before) = verify(&root, &tree.manifest, &Silent).unwrap();
    assert_eq!(InodeTable::from_bytes(&before.to_bytes()).unwrap(), before);
    let (_, again) = verify(&root, &tree.manifest, &Silent).unwrap();
    assert_eq!(again, before);
    shell(&root, "rm pipe; printf z | dd of=d/file conv=notrunc status=none; touch -d @1700000000.123456789 d/file .");
    let (_, after) = verify(&root, &tree.manifest, &Silent).unwrap();
    let pairs = before.inodes.iter().zip(&after.inodes).zip(tree.manifest.entries());
    let changed: Vec<_> = pairs.filter(|((a, b), _)| a != b).map(|(_, entry)| entry.path.to_string()).collect();
    assert_eq!(changed, ["/", "/d/file", "/d/twin", "/pipe"]);
    let gone = tree.manifest.entries().iter().position(|entry| entry.path == path("pipe")).unwrap();
    assert_eq!(after.inodes[gone], Inode::default());
}

#[test]
fn one_flipped_byte_of_the_volume_is_found() {
    let size = 64 * MIB;
    let mut volume = LoopVolume::ext4(size);
    let tree = sample();
    base::write(&volume.root(), None, &tree.manifest, &mut tree.clone(), &Silent).unwrap();
    volume.unmount();
    let file = OpenOptions::new().read(true).write(true).open(volume.image()).unwrap();
    let sealed = ChunkTable::read(&file, size).unwrap();
    assert_eq!(ChunkTable::from_bytes(&sealed.to_bytes()).unwrap(), sealed);
    assert_eq!(sealed.compare(&ChunkTable::read(&file, size).unwrap()), Vec::<u64>::new());
    // Boot block, super block, somewhere in the tables, free space, the very last byte.
    for at in [0, 1024 + 56, 3 * CHUNK_BYTES + 12345, 50 * MIB + 1, size - 1] {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
        let found = sealed.compare(&ChunkTable::read(&file, size).unwrap());
        assert_eq!(found, [at / CHUNK_BYTES * CHUNK_BYTES], "{at}");
        file.write_all_at(&byte, at).unwrap();
    }
    assert_eq!(ChunkTable::read(&file, size).unwrap(), sealed);
}

#[test]
fn a_block_device_is_read_like_its_image_file() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    let size = 3 * MIB;
    let mut file = File::create_new(&image).unwrap();
    file.write_all(b"begin").unwrap();
    file.set_len(size).unwrap();
    file.write_all_at(b"end", size - 3).unwrap();
    file.sync_all().unwrap();
    let device = Cmd::new("losetup").args(["--find", "--show", "--read-only"]).arg(&image).run().unwrap();
    let device = device.trim();
    let tables = File::open(device).map(|raw| ChunkTable::read(&raw, size));
    Cmd::new("losetup").args(["-d", device]).run().unwrap();
    assert_eq!(tables.unwrap().unwrap(), ChunkTable::read(&File::open(&image).unwrap(), size).unwrap());
}

#[test]
fn a_volume_shorter_than_said_is_an_error() {
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(b"data", 0).unwrap();
    let error = ChunkTable::read(&file, CHUNK_BYTES).unwrap_err();
    assert!(error.to_string().starts_with("read 65536 bytes at 0 of the volume: "), "{error}");
}
