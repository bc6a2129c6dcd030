//! Goal: of a root that its admin changed, what the packages shipped is told from what is the host's own, with real dpkg and
//! real rpm and packages that they made and installed themselves.
//!
//! Method: build a package, install it into an empty root, change things as an admin does, restore the root as an adoption
//! restores its snapshot, and look at the tree with the standard library alone.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use thinroot_core::adopt::HostKernel;
use thinroot_engine::adopt::originals::Places;
use thinroot_engine::adopt::restore::{Restored, Work, restore};
use thinroot_engine::progress::Silent;

fn run(program: &str, args: &[&dyn AsRef<std::ffi::OsStr>]) {
    let out = Command::new(program).args(args).env("LC_ALL", "C").output();
    let out = out.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(out.status.success(), "{program}: {}", String::from_utf8_lossy(&out.stderr));
}

fn put(root: &Path, path: &str, content: impl AsRef<[u8]>, mode: u32) {
    let at = root.join(path);
    fs::create_dir_all(at.parent().unwrap()).unwrap();
    fs::write(&at, content).unwrap();
    fs::set_permissions(&at, fs::Permissions::from_mode(mode)).unwrap();
}

/// What the package brings.
fn shipped(tree: &Path) {
    put(tree, "usr/bin/tool", fs::read("/bin/true").unwrap(), 0o755);
    put(tree, "usr/lib/os-release", "ID=test\nVERSION_ID=1\n", 0o644);
    put(tree, "usr/lib/data", "shipped data\n", 0o644);
    put(tree, "usr/lib/modules/6.1/modules.builtin", "kernel/drivers/md/dm-thin-pool.ko\n", 0o644);
    put(tree, "usr/lib/systemd/system/served.service", "[Service]\n", 0o644);
    put(tree, "usr/share/doc/base/copyright", "free\n", 0o644);
    put(tree, "etc/app.conf", "colour = blue\n", 0o640);
    put(tree, "etc/same.conf", "same\n", 0o644);
    put(tree, "etc/cron.d/gone", "* * * * * root true\n", 0o644);
    put(tree, "etc/opened.conf", "secret\n", 0o600);
    put(tree, "etc/app.d/one", "one\n", 0o644);
    fs::create_dir_all(tree.join("var/lib/base")).unwrap();
    fs::create_dir_all(tree.join("home")).unwrap();
    fs::create_dir_all(tree.join("boot")).unwrap();
    symlink("usr/bin", tree.join("bin")).unwrap();
    symlink("../usr/lib/os-release", tree.join("etc/os-release")).unwrap();
}

/// What its admin does.
fn change(root: &Path) {
    put(root, "etc/app.conf", "colour = red\n", 0o640);
    fs::remove_file(root.join("etc/cron.d/gone")).unwrap();
    fs::remove_dir_all(root.join("etc/app.d")).unwrap();
    fs::remove_dir(root.join("var/lib/base")).unwrap();
    put(root, "etc/mine.conf", "mine\n", 0o644);
    put(root, "etc/cron.d/mine", "mine\n", 0o644);
    put(root, "etc/own/deep/file", "mine\n", 0o644);
    put(root, "usr/bin/mine", "#!/bin/sh\n", 0o755);
    put(root, "usr/lib/data", "patched data\n", 0o644);
    put(root, "home/me/data", "mine\n", 0o644);
    put(root, "etc/passwd", "root:x:0:0::/root:/bin/sh\nme:x:1000:1000::/home/me:/bin/sh\n", 0o644);
    put(root, "etc/group", "root:x:0:\nserving:x:77:\n", 0o644);
    fs::set_permissions(root.join("etc/opened.conf"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::remove_dir_all(root.join("usr/share/doc/base")).unwrap();
    // A directory that leads out of the tree: nothing may be written through it.
    fs::create_dir_all(root.parent().unwrap().join("outside")).unwrap();
    symlink(root.parent().unwrap().join("outside"), root.join("etc/out")).unwrap();
}

struct Host {
    dir: TempDir,
}

impl Host {
    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn restore(&self, packages: bool) -> Restored {
        let boot = self.dir.path().join("boot");
        put(&boot, "vmlinuz-6.1", "a kernel", 0o600);
        put(&boot, "initrd.img-6.1", "an initrd", 0o600);
        let kernel = HostKernel { version: "6.1".into(), image: "vmlinuz-6.1".into(), initrd: "initrd.img-6.1".into() };
        let directories = if packages { vec![self.dir.path().join("packages")] } else { vec![] };
        let root = self.root();
        let work = Work {
            root: &root,
            base: &"test-1-0".parse().unwrap(),
            kernel: (&kernel, &boot),
            places: &Places { directories, fetch: false },
        };
        restore(&work, &Silent).unwrap()
    }

    fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root().join(path)).ok()
    }

    fn there(&self, path: &str) -> bool {
        self.root().join(path).symlink_metadata().is_ok()
    }

    /// What holds whoever the manager is.
    fn assert_restored(&self) {
        assert_eq!(self.read("etc/app.conf").as_deref(), Some("colour = blue\n"));
        assert_eq!(self.read("etc/cron.d/gone").as_deref(), Some("* * * * * root true\n"));
        assert_eq!(self.read("etc/app.d/one").as_deref(), Some("one\n"));
        assert!(self.root().join("var/lib/base").is_dir());
        assert_eq!(self.read("usr/lib/data").as_deref(), Some("shipped data\n"));
        assert_eq!(self.read("etc/same.conf").as_deref(), Some("same\n"));
        assert_eq!(self.read("boot/vmlinuz-6.1").as_deref(), Some("a kernel"));
        assert_eq!(self.read("boot/initrd.img-6.1").as_deref(), Some("an initrd"));
        for own in ["etc/mine.conf", "etc/cron.d/mine", "etc/own", "usr/bin/mine", "home/me", "etc/passwd", "etc/out"] {
            assert!(!self.there(own), "{own} is still there");
        }
        for kept in ["usr/bin/tool", "home", "bin", "etc/os-release"] {
            assert!(self.there(kept), "{kept} is gone");
        }
        // Documentation that is left out on purpose is nothing that anybody removed.
        assert!(!self.there("usr/share/doc/base/copyright"));
        assert!(self.dir.path().join("outside").read_dir().unwrap().next().is_none());
    }
}

fn debian() -> Host {
    let dir = tempfile::tempdir().unwrap();
    let (tree, root, packages) = (dir.path().join("tree"), dir.path().join("root"), dir.path().join("packages"));
    shipped(&tree);
    put(
        &tree,
        "DEBIAN/control",
        "Package: base\nVersion: 1:2.0-1\nArchitecture: all\nMaintainer: nobody <n@example.org>\nDescription: test\n",
        0o644,
    );
    put(
        &tree,
        "DEBIAN/conffiles",
        "/etc/app.conf\n/etc/same.conf\n/etc/cron.d/gone\n/etc/opened.conf\n/etc/app.d/one\n",
        0o644,
    );
    // A second one that nobody looks for, beside the right one.
    put(&packages, "pool/b/base_1.0-1_all.deb", "an older version", 0o644);
    let md5 = Command::new("sh")
        .args(["-c", "cd \"$1\" && find usr -type f -exec md5sum {} +", "sums"])
        .arg(&tree)
        .output()
        .unwrap();
    put(&tree, "DEBIAN/md5sums", md5.stdout, 0o644);
    let file = packages.join("base_1%3a2.0-1_all.deb");
    run("dpkg-deb", &[&"--root-owner-group", &"--build", &tree, &file]);
    for sub in ["info", "updates", "triggers"] {
        fs::create_dir_all(root.join("var/lib/dpkg").join(sub)).unwrap();
    }
    put(&root, "var/lib/dpkg/status", "", 0o644);
    run("dpkg", &[&format!("--root={}", root.display()), &"--install", &file]);
    Host { dir }
}

#[test]
fn what_dpkg_installed_is_told_from_what_the_admin_did() {
    let host = debian();
    let root = host.root();
    change(&root);
    // ucf placed one file and knows what it was; another that it placed is unchanged.
    put(&root, "etc/placed.conf", "edited here\n", 0o640);
    put(&root, "etc/kept.conf", "placed\n", 0o644);
    let digest = |text: &str| {
        let out = Command::new("sh").args(["-c", "printf %s \"$1\" | md5sum", "sum", text]).output().unwrap();
        String::from_utf8_lossy(&out.stdout)[..32].to_string()
    };
    let hashes = format!("{}  /etc/placed.conf\n{}  /etc/kept.conf\n", digest("as shipped\n"), digest("placed\n"));
    put(&root, "var/lib/ucf/hashfile", hashes, 0o644);
    put(&root, "var/lib/ucf/cache/:etc:placed.conf", "as shipped\n", 0o644);
    // A unit that was enabled when its package was installed, and disabled by the admin; and one that the admin enabled.
    put(&root, "var/lib/systemd/deb-systemd-helper-enabled/multi-user.target.wants/served.service", "", 0o644);
    let wants = root.join("etc/systemd/system/multi-user.target.wants");
    fs::create_dir_all(&wants).unwrap();
    symlink("/usr/lib/systemd/system/mine.service", wants.join("mine.service")).unwrap();

    let restored = host.restore(true);
    host.assert_restored();
    assert_eq!(restored.findings, [""; 0]);
    assert_eq!(host.read("etc/placed.conf").as_deref(), Some("as shipped\n"));
    assert_eq!(root.join("etc/placed.conf").metadata().unwrap().mode() & 0o7777, 0o640);
    assert_eq!(host.read("etc/kept.conf").as_deref(), Some("placed\n"));
    let link = fs::read_link(wants.join("served.service")).unwrap();
    assert_eq!(link, Path::new("/usr/lib/systemd/system/served.service"));
    assert!(!host.there("etc/systemd/system/multi-user.target.wants/mine.service"));
    // The base still says who has which number, although its tables are the host's own.
    assert_eq!(restored.image.manifest.accounts().users.get(&1000).map(String::as_str), Some("me"));
    assert_eq!(restored.image.info.id.to_string(), "test-1-0");

    // Once more comes to the same: an interrupted adoption begins again with what it finds.
    let again = host.restore(true);
    host.assert_restored();
    assert_eq!(again.image.info.kernels, restored.image.info.kernels);
}

#[test]
fn without_the_package_what_was_removed_is_still_known_to_be_removed() {
    let host = debian();
    change(&host.root());
    let restored = host.restore(false);
    assert!(!host.there("etc/app.conf"), "the host's own version counts as added");
    assert!(!host.there("usr/lib/data"));
    for gone in ["etc/cron.d/gone", "etc/app.d/one"] {
        assert!(host.read(gone).unwrap().contains("removed before this host was adopted"), "{gone}");
    }
    assert!(!host.there("var/lib/base"), "of a directory that is gone nobody knows that it was one");
    assert!(!host.there("etc/mine.conf"));
    let [finding] = restored.findings.as_slice() else { panic!("{:?}", restored.findings) };
    assert!(finding.starts_with("package base is not to be had") && finding.contains("/etc/app.conf"), "{finding}");
}

#[test]
fn what_rpm_installed_is_told_from_what_the_admin_did() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, root, top) = (dir.path().join("tree"), dir.path().join("root"), dir.path().join("top"));
    shipped(&tree);
    let spec = format!(
        "Name: base\nEpoch: 1\nVersion: 2.0\nRelease: 1\nSummary: test\nLicense: MIT\nAutoReqProv: no\n%global debug_package %{{nil}}\n\
         %description\ntest\n%install\ncp -a {}/. %{{buildroot}}/\n%files\n%defattr(-,root,root)\n%dir /home\n%dir /boot\n\
         /bin\n/usr\n/etc/os-release\n%config(noreplace) /etc/app.conf\n%config /etc/same.conf\n%dir /etc/cron.d\n\
         %config /etc/cron.d/gone\n%attr(0600, root, serving) %config /etc/opened.conf\n\
         %dir /etc/app.d\n%config /etc/app.d/one\n%dir /var/lib/base\n",
        tree.display()
    );
    put(dir.path(), "base.spec", spec, 0o644);
    let define = format!("_topdir {}", top.display());
    run(
        "rpmbuild",
        &[&"-bb", &"--define", &define, &"--define", &"__os_install_post %{nil}", &dir.path().join("base.spec")],
    );
    let name = format!("base-2.0-1.{}.rpm", std::env::consts::ARCH);
    let built = top.join("RPMS").join(std::env::consts::ARCH).join(&name);
    let packages = dir.path().join("packages/fedora-0123/packages");
    fs::create_dir_all(&packages).unwrap();
    fs::copy(&built, packages.join(&name)).unwrap();
    fs::create_dir_all(&root).unwrap();
    // Where Fedora has it; Debian's rpm would take another place.
    let database = [&"--dbpath", &"/usr/lib/sysimage/rpm"].map(|word| word as &dyn AsRef<std::ffi::OsStr>);
    run("rpm", &[&"--root", &root, database[0], database[1], &"--initdb"]);
    run("rpm", &[&"--root", &root, database[0], database[1], &"--install", &"--nodeps", &built]);
    let host = Host { dir };
    change(&root);
    let restored = host.restore(true);
    host.assert_restored();
    let opened = root.join("etc/opened.conf").metadata().unwrap();
    assert_eq!((opened.mode() & 0o7777, opened.uid(), opened.gid()), (0o600, 0, 77));
    assert_eq!(restored.findings, [""; 0]);
}
