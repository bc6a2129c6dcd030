//! How the tables of merges ask.

use thinroot_core::structured::{Format, merge};

pub fn merged(format: Format, base: &str, local: &str, vendor: &str) -> (String, Vec<String>) {
    let merged = merge(format, Some(base.as_bytes()), local.as_bytes(), vendor.as_bytes()).expect("clear texts");
    (String::from_utf8(merged.text).unwrap(), merged.lost)
}

pub fn refused(format: Format, odd: &str, plain: &str) {
    let other = &format!("{plain}\n");
    let of = |base: &str, local: &str, vendor: &str| {
        merge(format, Some(base.as_bytes()), local.as_bytes(), vendor.as_bytes()).is_none()
    };
    assert!(of(odd, plain, other) && of(plain, odd, other) && of(plain, other, odd), "{odd:?}");
    assert!(merge(format, None, odd.as_bytes(), plain.as_bytes()).is_none(), "{odd:?}");
}
