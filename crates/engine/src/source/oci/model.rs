//! The documents of an OCI image, as far as they are read (OCI image specification 1.1; docker's schema 2 differs only
//! in media types).

use std::collections::BTreeMap;

use serde::Deserialize;
use thinroot_core::manifest::Digest;

use crate::source::stream::Compression;

/// Names a blob and what it must be.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    pub(super) media_type: Option<String>,
    pub(super) digest: String,
    pub(super) size: u64,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) platform: Option<Platform>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Platform {
    pub(super) architecture: String,
}

/// `index.json`, or an index within it.
#[derive(Debug, Deserialize)]
pub(super) struct Index {
    pub(super) manifests: Vec<Descriptor>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Manifest {
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Config {
    pub(super) architecture: Option<String>,
    pub(super) rootfs: RootFs,
    #[serde(default)]
    pub(super) config: Option<RunConfig>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RootFs {
    pub(super) diff_ids: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct RunConfig {
    #[serde(default, rename = "Labels")]
    pub(super) labels: Option<BTreeMap<String, String>>,
}

/// What a descriptor of an index leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Document {
    Index,
    Manifest,
}

impl Descriptor {
    pub(super) fn document(&self) -> Option<Document> {
        match self.media_type.as_deref()? {
            "application/vnd.oci.image.index.v1+json" => Some(Document::Index),
            "application/vnd.docker.distribution.manifest.list.v2+json" => Some(Document::Index),
            "application/vnd.oci.image.manifest.v1+json" => Some(Document::Manifest),
            "application/vnd.docker.distribution.manifest.v2+json" => Some(Document::Manifest),
            _ => None,
        }
    }

    /// How a layer is compressed; none for a type that is no layer we can read.
    pub(super) fn layer(&self) -> Option<Compression> {
        match self.media_type.as_deref()? {
            "application/vnd.oci.image.layer.v1.tar" => Some(Compression::None),
            "application/vnd.docker.image.rootfs.diff.tar" => Some(Compression::None),
            "application/vnd.oci.image.layer.v1.tar+gzip" => Some(Compression::Gzip),
            "application/vnd.docker.image.rootfs.diff.tar.gzip" => Some(Compression::Gzip),
            "application/vnd.oci.image.layer.v1.tar+zstd" => Some(Compression::Zstd),
            "application/vnd.docker.image.rootfs.diff.tar.zstd" => Some(Compression::Zstd),
            _ => None,
        }
    }
}

/// Parses `sha256:HEX`; nothing else is accepted, so that a digest is also a safe file name.
pub(super) fn sha256(text: &str) -> Option<Digest> {
    Digest::parse(text.strip_prefix("sha256:")?)
}
