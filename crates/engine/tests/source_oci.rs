//! OCI layouts: which image is chosen, how layers lie on each other, and every lie that is found out.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use thinroot_core::image::Arch;
use thinroot_core::manifest::{Entry, Kind};
use thinroot_core::path::TreePath;
use thinroot_engine::cmd::Cmd;
use thinroot_engine::error::{Error, ErrorKind};
use thinroot_engine::progress::Silent;
use thinroot_engine::source::{Image, OpenOptions};
use thinroot_testkit::images::oci::{OciImage, Packing, blob, blob_path, write_index};
use thinroot_testkit::images::run;
use thinroot_testkit::images::tar::Tar;

struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Bench { dir: tempfile::tempdir().unwrap() }
    }

    fn layout(&self) -> PathBuf {
        self.dir.path().join("layout")
    }

    fn open(&self, tag: &str) -> Result<Image, Error> {
        self.open_on(Arch::X86_64, &format!("oci:{}{tag}", self.layout().display()))
    }

    fn open_on(&self, arch: Arch, reference: &str) -> Result<Image, Error> {
        Image::open(&reference.parse()?, &OpenOptions { identity: None, arch }, &Silent)
    }
}

#[track_caller]
fn assert_refused(what: &str, result: Result<Image, Error>, words: &str) -> Error {
    let error = result.map(|image| image.info).expect_err(what);
    assert_eq!(error.kind, ErrorKind::Refused, "{what}: {error}");
    assert!(error.why.contains(words), "{what}: '{}' does not say '{words}'", error.why);
    error
}

fn plain(layers: &[Tar]) -> OciImage {
    OciImage::new(layers.iter().map(|layer| (Packing::Gzip, layer.clone().finish())).collect())
}

fn lines(image: &Image, beneath: &str) -> Vec<String> {
    let line = |entry: &Entry| match (&entry.kind, &entry.hardlink) {
        (_, Some(first)) => format!("{} = {first}", entry.path),
        (Kind::File { size, .. }, None) => format!("{} {size}", entry.path),
        (other, None) => format!("{} {}", entry.path, other.word()),
    };
    let dir = TreePath::parse(beneath.as_bytes()).unwrap();
    image.manifest.beneath(&dir).map(line).collect()
}

#[test]
fn layers_lie_on_each_other() {
    let bench = Bench::new();
    let lower = Tar::bootable("1")
        .file("d/a", b"1")
        .file("d/gone/x", b"1")
        .file("d/opaque/old", b"1")
        .file("d/opaque/sub/old", b"1")
        .file("d/linked", b"12345")
        .file("d/file-then-dir", b"1")
        .file("d/dir-then-file/x", b"1");
    let upper = Tar::new()
        .dir("d/opaque")
        .file("d/opaque/sub/new", b"22")
        .file("d/opaque/.wh..wh..opq", b"")
        .file("d/.wh.gone", b"")
        .file("d/.wh.never-there", b"")
        .file("d/.wh.a", b"")
        .file("d/a", b"333")
        .file("d/.wh..wh.plnk", b"")
        .hardlink("d/again", "d/linked")
        .file("d/linked", b"4444")
        .dir("d/file-then-dir")
        .file("d/dir-then-file", b"55");
    plain(&[lower, upper]).write(&bench.layout());
    let mut image = bench.open("").unwrap();
    let wanted = [
        "/d directory",
        "/d/a 3",
        "/d/again 5",
        "/d/dir-then-file 2",
        "/d/file-then-dir directory",
        "/d/linked 4",
        "/d/opaque directory",
        "/d/opaque/sub directory",
        "/d/opaque/sub/new 2",
    ];
    assert_eq!(lines(&image, "d"), wanted);
    // Contents come from the layer that won, also where a name of a lower layer lives on under another.
    let paths = ["boot/vmlinuz-6.1.0-9", "d/a", "d/again", "d/linked", "d/opaque/sub/new"];
    let asked: BTreeSet<TreePath> = paths.iter().map(|path| TreePath::parse(path.as_bytes()).unwrap()).collect();
    let mut found = Vec::new();
    let mut take = |path: &TreePath, content: &mut dyn std::io::Read| {
        let text = std::io::read_to_string(content).map_err(|error| Error::failed("read", error))?;
        found.push((path.to_string(), text));
        Ok(())
    };
    image.source.contents(&asked, &mut take).unwrap();
    found.sort();
    let wanted = [
        ("/boot/vmlinuz-6.1.0-9", "kernel"),
        ("/d/a", "333"),
        ("/d/again", "12345"),
        ("/d/linked", "4444"),
        ("/d/opaque/sub/new", "22"),
    ];
    let found: Vec<_> = found.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    assert_eq!(found, wanted);
}

#[test]
fn a_whiteout_is_only_what_its_name_says() {
    let bench = Bench::new();
    for name in ["etc/.wh..", "etc/.wh...", "etc/.wh."] {
        plain(&[Tar::bootable("1"), Tar::new().file(name, b"")]).write(&bench.layout());
        assert_refused(name, bench.open(""), "takes nothing away that could be there");
    }
    // A device is a device, and in a plain archive the name means nothing.
    let device = Tar::bootable("1").member(b'3', "etc/zero", b"", b"");
    plain(&[device]).write(&bench.layout());
    assert_eq!(lines(&bench.open("").unwrap(), "etc/zero"), ["/etc/zero character device"]);
    let archive = bench.dir.path().join("t.tar");
    fs::write(&archive, Tar::bootable("1").file("etc/.wh.passwd", b"").finish()).unwrap();
    let image = bench.open_on(Arch::X86_64, &format!("tar:{}", archive.display())).unwrap();
    assert_eq!(lines(&image, "etc/.wh.passwd"), ["/etc/.wh.passwd 0"]);
    assert_eq!(lines(&image, "etc/passwd").len(), 1);
}

#[test]
fn layers_cannot_reach_through_links() {
    let bench = Bench::new();
    let rows = [
        (Tar::new().symlink("l", "/etc"), Tar::new().file("l/passwd", b"evil"), "which is a symbolic link"),
        (Tar::new().symlink("l", "/etc"), Tar::new().hardlink("x", "l/passwd"), "which the image does not have"),
        (Tar::new(), Tar::new().file("../x", b""), "contains '..'"),
        (Tar::new(), Tar::new().hardlink("x", "usr"), "which is a directory"),
    ];
    for (middle, upper, words) in rows {
        plain(&[Tar::bootable("1"), middle, upper]).write(&bench.layout());
        assert_refused(words, bench.open(""), words);
    }
}

#[test]
fn the_image_is_chosen_by_tag_and_architecture() {
    let bench = Bench::new();
    let image =
        |version: &str, tag: Option<&str>| OciImage { tag: tag.map(Into::into), ..plain(&[Tar::bootable(version)]) };
    let (one, two) = (image("1", Some("one")), image("2", Some("two")));
    let manifests = vec![one.write_blobs(&bench.layout()), two.write_blobs(&bench.layout())];
    write_index(&bench.layout(), manifests);
    assert_eq!(bench.open(":one").unwrap().info.id.to_string(), "node-1-0");
    assert_eq!(bench.open(":two").unwrap().info.id.to_string(), "node-2-0");
    let error = assert_refused("no tag", bench.open(""), "it has 2 images and no tag says which");
    assert_eq!(error.mend.as_deref(), Some("add one of its tags: :one :two"));
    assert_refused("unknown tag", bench.open(":three"), "no image with the tag 'three'");

    // One index for several architectures below a tag, as buildx writes it, with an attestation beside.
    let for_arch = |version: &str, arch: &str| {
        let mut descriptor = image(version, None).write_blobs(&bench.layout());
        descriptor["platform"] = json!({"architecture": arch, "os": "linux"});
        descriptor
    };
    let index = json!({"schemaVersion": 2, "manifests": [for_arch("3", "amd64"), for_arch("4", "arm64"), for_arch("5", "unknown")]});
    let mut nested = blob(&bench.layout(), "application/vnd.oci.image.index.v1+json", index.to_string().as_bytes());
    nested["annotations"] = json!({"org.opencontainers.image.ref.name": "multi"});
    write_index(&bench.layout(), vec![nested]);
    assert_eq!(bench.open(":multi").unwrap().info.id.to_string(), "node-3-0");
    let reference = format!("oci:{}", bench.layout().display());
    assert_refused(
        "s390x",
        bench.open_on(Arch::S390x, &reference),
        "no image for s390x, only for amd64, arm64, unknown",
    );
    // Its programs are not what the index says.
    assert_refused("arm64", bench.open_on(Arch::Aarch64, &reference), "it is for x86_64, and this host is aarch64");
}

#[test]
fn labels_and_architecture_are_held_against_the_tree() {
    let bench = Bench::new();
    let mut image = plain(&[Tar::bootable("1")]);
    image.labels = vec![("org.thinroot.image.id".into(), "shop-9-1".into())];
    image.write(&bench.layout());
    assert_eq!(bench.open("").unwrap().info.id.to_string(), "shop-9-1");
    image.labels[0].1 = "shop".into();
    image.write(&bench.layout());
    assert_refused("bad label", bench.open(""), "is not of the form NAME-VERSION-RELEASE");
    image.labels.clear();
    image.architecture = "arm64".into();
    image.write(&bench.layout());
    assert_refused("other architecture", bench.open(""), "it says aarch64, but its programs are for x86_64");
    image.architecture = "mips".into();
    image.write(&bench.layout());
    assert_refused("unknown architecture", bench.open(""), "it is for 'mips', which is not supported");
}

/// Changes one document of a layout, keeping every digest above it right.
fn rewrite(bench: &Bench, change: impl Fn(&mut Value, &mut Value)) {
    let layout = bench.layout();
    let read = |path: PathBuf| serde_json::from_slice::<Value>(&fs::read(path).unwrap()).unwrap();
    let index = read(layout.join("index.json"));
    let descriptor = &index["manifests"][0];
    let mut manifest = read(blob_path(&layout, descriptor));
    let mut config = read(blob_path(&layout, &manifest["config"]));
    change(&mut manifest, &mut config);
    let digest = manifest["config"].clone();
    manifest["config"] = blob(&layout, digest["mediaType"].as_str().unwrap(), config.to_string().as_bytes());
    let media_type = descriptor["mediaType"].as_str().unwrap();
    write_index(&layout, vec![blob(&layout, media_type, manifest.to_string().as_bytes())]);
}

#[test]
fn documents_that_lie_are_found_out() {
    let bench = Bench::new();
    type Change = fn(&mut Value, &mut Value);
    let rows: [(&str, Change, &str); 7] = [
        ("size", |m, _| m["layers"][0]["size"] = json!(1), "where the image says 1"),
        ("media type", |m, _| m["layers"][0]["mediaType"] = json!("text/x"), "media type is not supported: text/x"),
        ("digest form", |m, _| m["layers"][0]["digest"] = json!("sha256:../../x"), "is no SHA-256 digest"),
        ("digest kind", |m, _| m["layers"][0]["digest"] = json!("sha512:00"), "is no SHA-256 digest"),
        (
            "diff_id",
            |_, c| c["rootfs"]["diff_ids"][0] = json!(format!("sha256:{}", "0".repeat(64))),
            "the diff_id of the configuration",
        ),
        ("number of layers", |_, c| c["rootfs"]["diff_ids"] = json!([]), "different numbers of layers"),
        ("configuration", |_, c| *c = json!("x"), "the image configuration is malformed"),
    ];
    for (what, change, words) in rows {
        // Fresh, since blobs of the row before would only be in the way of reading a failure.
        plain(&[Tar::bootable("1")]).write(&bench.layout());
        rewrite(&bench, change);
        assert_refused(what, bench.open(""), words);
    }
}

#[test]
fn blobs_that_are_damaged_are_found_out() {
    let bench = Bench::new();
    let layout = bench.layout();
    let fresh = |packing| {
        OciImage::new(vec![(packing, Tar::bootable("1").file("x", &[7; 5000]).finish())]).write(&layout);
        let read = |path: PathBuf| serde_json::from_slice::<Value>(&fs::read(path).unwrap()).unwrap();
        let manifest = read(blob_path(&layout, &read(layout.join("index.json"))["manifests"][0]));
        (blob_path(&layout, &manifest["layers"][0]), blob_path(&layout, &manifest["config"]))
    };
    for packing in [Packing::Plain, Packing::Gzip, Packing::Zstd] {
        let (layer, config) = fresh(packing);
        let whole = fs::read(&layer).unwrap();
        let mut damaged = whole.clone();
        *damaged.last_mut().unwrap() ^= 1;
        fs::write(&layer, &damaged).unwrap();
        assert_refused("last byte", bench.open(""), "the blob has digest");
        damaged = whole.clone();
        damaged[100] ^= 1;
        fs::write(&layer, &damaged).unwrap();
        assert_refused("a byte", bench.open(""), "the blob has digest");
        fs::write(&layer, &whole[..whole.len() - 1]).unwrap();
        assert_refused("truncated", bench.open(""), "the blob has");
        fs::write(&layer, [&whole[..], b"x"].concat()).unwrap();
        assert_refused("longer", bench.open(""), "the blob has");
        fs::remove_file(&layer).unwrap();
        assert_refused("missing", bench.open(""), "of the layout");
        std::os::unix::fs::symlink("/etc/passwd", &layer).unwrap();
        assert_refused("a link", bench.open(""), "of the layout");
        fs::remove_file(&layer).unwrap();
        fs::write(&layer, &whole).unwrap();
        fs::write(&config, "{}").unwrap();
        assert_refused("configuration", bench.open(""), "the image configuration has 2 bytes");
    }
}

#[test]
fn things_that_are_no_layouts() {
    let bench = Bench::new();
    assert_refused("missing", bench.open(""), "it does not exist");
    fs::create_dir(bench.layout()).unwrap();
    assert_refused("empty", bench.open(""), "index.json of the layout");
    fs::write(bench.layout().join("index.json"), "{").unwrap();
    assert_refused("no JSON", bench.open(""), "index.json is malformed");
    fs::write(bench.layout().join("index.json"), vec![b' '; (4 << 20) + 1]).unwrap();
    assert_refused("large JSON", bench.open(""), "larger than 4 MiB");
    write_index(&bench.layout(), vec![]);
    assert_refused("no image", bench.open(""), "it has no image");
    write_index(&bench.layout(), vec![blob(&bench.layout(), "application/vnd.example", b"x")]);
    assert_refused("an artifact", bench.open(""), "something that is no image: application/vnd.example");

    plain(&[Tar::bootable("1")]).write(&bench.layout());
    let archive = bench.dir.path().join("a.tar");
    run(Cmd::new("tar").arg("-czf").arg(&archive).arg("-C").arg(bench.layout()).arg("."));
    let reference = format!("oci-archive:{}", archive.display());
    assert_refused("compressed", bench.open_on(Arch::X86_64, &reference), "it is compressed");
    run(Cmd::new("tar").arg("-cf").arg(&archive).arg("-C").arg(bench.layout()).args(["index.json", "oci-layout"]));
    assert_refused("blobs missing", bench.open_on(Arch::X86_64, &reference), "the archive does not have it");
    let whole = fs::read(&archive).unwrap();
    fs::write(&archive, &whole[..700]).unwrap();
    assert_refused("cut", bench.open_on(Arch::X86_64, &reference), "truncated");
}
