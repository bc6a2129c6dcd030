//! The rule of three for one value, the same for every format.

/// Which side a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    Vendor,
    Local,
    /// The layer's, against another one of the vendor's.
    Clash,
}

/// The rule of three for one value; none is absence.
pub fn choose<T: PartialEq>(base: Option<T>, local: Option<T>, vendor: Option<T>) -> Choice {
    if local == vendor || local == base {
        Choice::Vendor
    } else if vendor == base {
        Choice::Local
    } else {
        Choice::Clash
    }
}

/// What lost, for a person.
pub fn loss(key: &str, local_has: bool, vendor_has: bool) -> String {
    match (local_has, vendor_has) {
        (true, false) => format!("{key}: removed by the image, changed here"),
        (false, true) => format!("{key}: removed here, changed by the image"),
        (true, true) | (false, false) => key.to_owned(),
    }
}
