//! What is known of an image.

use std::fmt::Write;

use thinroot_core::image::ImageInfo;

use crate::size::human;

/// A fact a line.
pub fn image(info: &ImageInfo) -> String {
    let mut out = String::new();
    let mut fact = |name: &str, value: String| {
        let _ = writeln!(out, "{name:<9} {value}"); // writing to a String cannot fail
    };
    fact("image", info.id.to_string());
    fact("title", info.title.clone());
    fact("arch", info.arch.as_str().into());
    fact("digest", info.digest.to_string());
    fact("content", format!("{} in {} paths", human(info.content_bytes), info.paths));
    for kernel in &info.kernels {
        let initrd = kernel.initrd.as_ref().map_or("none".to_string(), ToString::to_string);
        fact("kernel", format!("{}: {}, initrd {initrd}", kernel.version, kernel.image));
    }
    fact("source", info.source.clone());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use thinroot_core::image::{Arch, Kernel};
    use thinroot_core::manifest::Digest;
    use thinroot_core::path::TreePath;

    #[test]
    fn every_fact_has_its_line() {
        let kernel =
            Kernel { version: "6.1".into(), image: TreePath::parse(b"boot/vmlinuz-6.1").unwrap(), initrd: None };
        let info = ImageInfo {
            id: "node-2-0".parse().unwrap(),
            digest: Digest([1; 32]),
            arch: Arch::X86_64,
            title: "Node 2".into(),
            kernels: vec![kernel],
            paths: 7,
            content_bytes: 3 << 20,
            source: "tar:x.tar".into(),
        };
        let expected = format!(
            "\
image     node-2-0
title     Node 2
arch      x86_64
digest    {}
content   3.0 MiB in 7 paths
kernel    6.1: /boot/vmlinuz-6.1, initrd none
source    tar:x.tar
",
            "01".repeat(32)
        );
        assert_eq!(image(&info), expected);
    }
}
