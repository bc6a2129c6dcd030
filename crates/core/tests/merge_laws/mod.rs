//! What must hold of every merge of configuration.

use std::collections::BTreeSet;

use thinroot_core::structured::{Format, merge};

/// What the rule of three gives, and whether a value of the vendor lost.
pub fn rule<T: PartialEq>(base: Option<T>, local: Option<T>, vendor: Option<T>) -> (Option<T>, bool) {
    if local == vendor || local == base {
        (vendor, false)
    } else {
        let lost = vendor != base;
        (local, lost)
    }
}

/// The result as text, after what holds of every format.
pub fn merged(format: Format, base: Option<&str>, local: &str, vendor: &str) -> Option<(String, Vec<String>)> {
    let [base, local, vendor] = [base, Some(local), Some(vendor)].map(|text| text.map(str::as_bytes));
    let (local, vendor) = (local?, vendor?);
    for (b, l, n, wanted) in
        [(Some(local), local, vendor, vendor), (Some(vendor), local, vendor, local), (base, local, local, local)]
    {
        let whole = merge(format, b, l, n).unwrap();
        assert!(whole.text == wanted && whole.lost.is_empty());
    }
    let merged = merge(format, base, local, vendor)?;
    assert_eq!(merge(format, base, local, vendor).as_ref(), Some(&merged));
    // It is of the format: where only blank lines differ it is read again.
    let longer = |blank: &[u8]| [&merged.text, blank].concat();
    let read = merge(format, Some(&merged.text), &longer(b"\n"), &longer(b"\n\n"));
    assert_eq!(read.map(|read| read.text), Some(longer(b"\n\n")));
    // Done again on its own result it adds nothing and loses nothing.
    let again = merge(format, base, &merged.text, vendor).map(|again| again.text).unwrap_or_default();
    let text = |raw: &[u8]| String::from_utf8(raw.to_vec()).unwrap();
    assert_eq!(lines(&text(&again)), lines(&text(&merged.text)), "{base:?} {local:?} {vendor:?}");
    Some((text(&merged.text), merged.lost))
}

/// The lines of a text that say something, in no order.
pub fn lines(text: &str) -> Vec<&str> {
    let says = |line: &&str| !line.is_empty() && *line != "#";
    let mut lines: Vec<&str> = text.lines().map(str::trim).filter(says).collect();
    lines.sort_unstable();
    lines
}

/// Comments that say something.
pub fn comments(text: &str) -> BTreeSet<&str> {
    text.lines().map(str::trim).filter(|line| line.starts_with(['#', ';']) && line.len() > 1).collect()
}
