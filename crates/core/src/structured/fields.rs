//! Tables of fields: each field for itself, options as a set.

use super::{Format, three_way};

/// Names of the fields behind the key, for what is told.
fn names(format: Format) -> &'static [&'static str] {
    match format {
        Format::Mounts => &["source", "mount point", "type", "options", "dump", "pass"],
        Format::Crypt => &["name", "source", "key file", "options"],
        Format::Ini | Format::Assignments | Format::Json | Format::Toml => &[],
    }
}

/// Merges one line. The result is the vendor's line where nothing of it changes; else its fields in the vendor's spacing.
pub(super) fn merge(
    format: Format,
    base: Option<&[&str]>,
    local: &[&str],
    vendor: &[&str],
    vendor_raw: &str,
) -> (String, Vec<&'static str>) {
    let mut fields: Vec<String> = Vec::new();
    let mut lost = Vec::new();
    for (i, name) in names(format).iter().enumerate() {
        let at = |fields: &[&str]| fields.get(i).map(ToString::to_string);
        let (b, l, n) = (base.map(at), at(local), at(vendor));
        let (value, gave_way) = match (*name, &l, &n) {
            ("options", Some(l), Some(n)) => options(b.flatten().as_deref(), l, n),
            _ => {
                let (value, gave_way) = three_way(b.as_ref(), &l, &n);
                // A field that is not there has its default, and so has every one behind it.
                (value.or(l).or(n), gave_way)
            }
        };
        lost.extend(gave_way.then_some(*name));
        fields.extend(value);
    }
    if fields == vendor {
        return (vendor_raw.to_string(), lost);
    }
    (spaced(&fields, vendor_raw), lost)
}

/// Options as a set, three-way: by name, with `name=value` as one.
fn options(base: Option<&str>, local: &str, vendor: &str) -> (Option<String>, bool) {
    fn name(option: &str) -> &str {
        option.split_once('=').map_or(option, |(name, _)| name)
    }
    let split = |text: &str| text.split(',').map(str::to_string).collect::<Vec<_>>();
    let (b, l, n) = (base.map(split), split(local), split(vendor));
    if b.as_ref() == Some(&l) || l == n {
        return (Some(vendor.to_string()), false);
    }
    let find = |list: &[String], wanted: &str| list.iter().find(|option| name(option) == wanted).cloned();
    let mut lost = false;
    let mut out: Vec<String> = Vec::new();
    for option in n.iter().chain(&l) {
        let key = name(option);
        if out.iter().any(|done| name(done) == key) {
            continue;
        }
        let (value, gave_way) = three_way(b.as_ref().map(|b| find(b, key)).as_ref(), &find(&l, key), &find(&n, key));
        // Without a base both sides' options come along.
        let value = if b.is_none() { value.or(find(&n, key)) } else { value };
        lost |= gave_way && value.as_ref() != Some(option) && find(&n, key).is_some() && b.is_some();
        out.extend(value);
    }
    if out.is_empty() {
        out.push("defaults".into());
    }
    if out.len() > 1 {
        out.retain(|option| option != "defaults");
    }
    (Some(out.join(",")), lost)
}

/// The fields with the blanks that the vendor's line has between its own, and its end.
fn spaced(fields: &[String], raw: &str) -> String {
    let body = raw.trim_end();
    let end = &raw[body.len()..];
    let mut gaps = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let gap = rest.len() - rest.trim_start().len();
        gaps.push(&rest[..gap]);
        let word = rest[gap..].find(char::is_whitespace).unwrap_or(rest.len() - gap);
        rest = &rest[gap + word..];
    }
    let mut out = String::new();
    for (i, field) in fields.iter().enumerate() {
        out += gaps.get(i).copied().unwrap_or(" ");
        out += field;
    }
    out + if end.is_empty() { "\n" } else { end }
}
