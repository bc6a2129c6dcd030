//! OCI image layouts put together by hand, also such as lie about themselves.

use std::fs;
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// How a layer is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Packing {
    fn pack(self, tar: &[u8]) -> Vec<u8> {
        match self {
            Packing::Plain => tar.to_vec(),
            Packing::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(tar).expect("compress");
                encoder.finish().expect("compress")
            }
            Packing::Zstd => zstd::encode_all(tar, 1).expect("compress"),
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Packing::Plain => "application/vnd.oci.image.layer.v1.tar",
            Packing::Gzip => "application/vnd.docker.image.rootfs.diff.tar.gzip",
            Packing::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }
}

/// `sha256:HEX` of bytes.
pub fn digest(raw: &[u8]) -> String {
    let hex: String = Sha256::digest(raw).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// An image of a layout; every part may be changed before it is written.
#[derive(Debug, Clone)]
pub struct OciImage {
    /// Layers as uncompressed archives, the lowest first.
    pub layers: Vec<(Packing, Vec<u8>)>,
    /// As in the configuration and the index.
    pub architecture: String,
    /// Of the configuration.
    pub labels: Vec<(String, String)>,
    /// In the index.
    pub tag: Option<String>,
}

impl OciImage {
    /// An image for x86_64 with the tag `latest`.
    pub fn new(layers: Vec<(Packing, Vec<u8>)>) -> Self {
        OciImage { layers, architecture: "amd64".into(), labels: Vec::new(), tag: Some("latest".into()) }
    }

    /// Writes the blobs below a layout and returns the descriptor for an index.
    pub fn write_blobs(&self, dir: &Path) -> Value {
        let mut layers = Vec::new();
        let mut diff_ids = Vec::new();
        for (packing, tar) in &self.layers {
            layers.push(blob(dir, packing.media_type(), &packing.pack(tar)));
            diff_ids.push(digest(tar));
        }
        let labels: serde_json::Map<String, Value> =
            self.labels.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        let config = json!({
            "architecture": self.architecture, "os": "linux", "config": {"Labels": labels},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = blob(dir, "application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": layers});
        let mut descriptor = blob(dir, "application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes());
        if let Some(tag) = &self.tag {
            descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        }
        descriptor
    }

    /// Writes a layout with this image alone.
    pub fn write(&self, dir: &Path) {
        let descriptor = self.write_blobs(dir);
        write_index(dir, vec![descriptor]);
    }
}

/// Writes a blob and returns its descriptor.
pub fn blob(dir: &Path, media_type: &str, raw: &[u8]) -> Value {
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs).expect("create the directory of blobs");
    let digest = digest(raw);
    fs::write(blobs.join(digest.strip_prefix("sha256:").expect("a digest")), raw).expect("write a blob");
    json!({"mediaType": media_type, "digest": digest, "size": raw.len()})
}

/// Path of the blob that a descriptor names.
pub fn blob_path(dir: &Path, descriptor: &Value) -> std::path::PathBuf {
    let digest = descriptor["digest"].as_str().expect("a digest");
    dir.join("blobs/sha256").join(digest.strip_prefix("sha256:").expect("a digest"))
}

/// Writes the index and the mark of a layout.
pub fn write_index(dir: &Path, manifests: Vec<Value>) {
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("write");
    let index = json!({"schemaVersion": 2, "manifests": manifests});
    fs::write(dir.join("index.json"), index.to_string()).expect("write");
}
