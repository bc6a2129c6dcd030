//! What a publisher asks of an image before hosts get it.

mod archive;
mod build;
mod packages;

use thinroot_core::image::ImageInfo;
use thinroot_core::image::compare::{Comparison, compare};
use thinroot_core::image::lint::{self, Finding, Level, Subject, TEXTS};
use thinroot_core::path::TreePath;

use crate::error::{ErrorKind, Result};
use crate::source::{Image, require_thin_root};
use crate::state::read_texts;

pub use self::build::{Built, Output, build};
pub use self::packages::packages;

/// What is different in `new`.
pub fn diff(old: &mut Image, new: &mut Image) -> Result<Comparison> {
    let listed = (packages(old)?, packages(new)?);
    Ok(compare((&old.manifest, listed.0.as_ref()), (&new.manifest, listed.1.as_ref())))
}

/// What a publisher would rather know, also in comparison with the image that hosts have now.
pub fn lint(image: &mut Image, previous: Option<&Image>) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    match require_thin_root(image) {
        Ok(()) => {}
        Err(error) if error.kind == ErrorKind::Refused => {
            let mend = error.mend.map(|mend| format!(": {mend}")).unwrap_or_default();
            let said = format!("{}{mend}", error.why);
            findings.push(Finding { level: Level::Error, rule: "kernel", said, paths: Vec::new() });
        }
        Err(error) => return Err(error),
    }
    let wanted: Vec<TreePath> = TEXTS.iter().filter_map(|text| TreePath::parse(text.as_bytes()).ok()).collect();
    let texts = read_texts(&wanted, &image.manifest, &mut *image.source)?;
    let ImageInfo { id, .. } = &image.info;
    let previous = previous.map(|previous| (&previous.info.id, &previous.manifest));
    findings.extend(lint::lint(Subject { id, manifest: &image.manifest, texts: &texts, previous }));
    findings.sort_by_key(|finding| finding.level);
    Ok(findings)
}
