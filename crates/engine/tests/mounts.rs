//! The private mount namespace: entered once, shared by what is started in it, invisible outside.

use std::fs;

use thinroot_engine::cmd::Cmd;
use thinroot_engine::mounts::enter_private_namespace;
use thinroot_testkit::images::run;

fn namespace() -> std::path::PathBuf {
    fs::read_link("/proc/thread-self/ns/mnt").unwrap()
}

#[test]
fn what_is_mounted_inside_is_not_seen_outside() {
    let outside = namespace();
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path().to_str().unwrap().to_string();
    let inside = std::thread::spawn(move || {
        enter_private_namespace().unwrap();
        let first = namespace();
        enter_private_namespace().unwrap();
        assert_eq!(namespace(), first);
        // A thread that is started inside is inside, and does not make a copy that would hold on to mounts.
        let inherited = std::thread::spawn(|| {
            enter_private_namespace().unwrap();
            namespace()
        });
        assert_eq!(inherited.join().unwrap(), first);
        run(Cmd::new("mount").args(["-t", "tmpfs", "none", &here]));
        assert!(fs::read_to_string("/proc/thread-self/mounts").unwrap().contains(&here));
        fs::create_dir("/run/thinroot/private/point").unwrap();
        (first, here)
    });
    let (inside, here) = inside.join().unwrap();
    assert_ne!(inside, outside);
    assert_eq!(namespace(), outside);
    assert!(!fs::read_to_string("/proc/thread-self/mounts").unwrap().contains(&here));
    // What a killed run leaves of its mount points goes with its namespace.
    assert_eq!(fs::read_dir("/run/thinroot/private").unwrap().count(), 0);
}
