use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};

use thinroot_core::manifest::{XattrName, XattrValue};

use super::*;

fn walked(root: &Path) -> Vec<Walked> {
    let mut all = Vec::new();
    walk(root, true, &mut |walked, _| {
        all.push(walked.clone());
        Ok(())
    })
    .unwrap();
    all
}

#[test]
fn order_types_and_facts() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::create_dir(at("a")).unwrap();
    std::fs::write(at("a/z"), "deep").unwrap();
    std::fs::write(at("a!"), "flat").unwrap();
    std::fs::set_permissions(at("a!"), std::fs::Permissions::from_mode(0o6751)).unwrap();
    std::fs::hard_link(at("a/z"), at("b")).unwrap();
    symlink("/no/where", at("l")).unwrap();
    std::fs::write(dir.path().join(OsStr::from_bytes(b"\xff")), "").unwrap();
    rustix::fs::setxattr(at("a!"), "trusted.t", b"\0\n\xff", rustix::fs::XattrFlags::empty()).unwrap();
    rustix::fs::lsetxattr(at("l"), "trusted.l", b"", rustix::fs::XattrFlags::empty()).unwrap();

    let all = walked(dir.path());
    let paths: Vec<_> = all.iter().map(|w| w.path.to_string()).collect();
    assert_eq!(paths, ["/", "/a", "/a/z", "/a!", "/b", "/l", "/\\xff"]);
    assert_eq!(all[2].ino, all[4].ino);
    assert_eq!((all[2].nlink, all[3].nlink), (2, 1));
    assert_eq!(all[3].kind, WalkedKind::File { size: 4, sparse: false });
    assert_eq!(all[3].meta.mode, 0o6751);
    let value = BTreeMap::from([(XattrName(b"trusted.t"[..].into()), XattrValue(b"\0\n\xff"[..].into()))]);
    assert_eq!(all[3].meta.xattrs, value);
    assert_eq!(all[5].kind, WalkedKind::Symlink { target: LinkTarget(b"/no/where"[..].into()) });
    assert_eq!(all[5].meta.mode, 0o777);
    assert!(all[5].meta.xattrs.contains_key(&XattrName(b"trusted.l"[..].into())));
    assert!(all.iter().all(|w| !w.boundary));
}

#[test]
fn holes_are_seen_and_content_is_opened_on_demand() {
    let dir = tempfile::tempdir().unwrap();
    let file = File::create(dir.path().join("holes")).unwrap();
    file.write_all_at(b"end", 1 << 20).unwrap();
    std::fs::write(dir.path().join("zeros"), vec![0; 8192]).unwrap();
    let mut seen = Vec::new();
    walk(dir.path(), false, &mut |walked, open| {
        if let WalkedKind::File { size, sparse } = walked.kind {
            let mut content = Vec::new();
            open.open()?.read_to_end(&mut content).at("read", dir.path())?;
            seen.push((walked.path.to_string(), size, sparse, content.len() as u64));
        } else {
            assert_eq!(open.open().unwrap_err().why, "it is not a regular file");
        }
        Ok(())
    })
    .unwrap();
    let size = (1 << 20) + 3;
    assert_eq!(seen, [("/holes".into(), size, true, size), ("/zeros".into(), 8192, false, 8192)]);
}

#[test]
fn a_missing_root_and_bottomless_nesting_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert!(walk(&dir.path().join("no"), false, &mut |_, _| Ok(())).is_err());
    let mut deep = dir.path().to_path_buf();
    for _ in 0..=MAX_DEPTH {
        deep.push("d");
        std::fs::create_dir(&deep).unwrap();
    }
    let error = walk(dir.path(), false, &mut |_, _| Ok(())).unwrap_err();
    assert!(error.why.contains("nested deeper than 256"), "{error}");
}
