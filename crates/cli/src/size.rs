//! Sizes as people write and read them: powers of 1024.

/// Reads `8G`, `512M`, `64K`, `1T` or a number of bytes.
pub fn parse(text: &str) -> Result<u64, String> {
    let bad = || format!("'{text}' is no size: write 8G, 512M, or a number of bytes");
    let shift = match text.chars().last() {
        Some('K' | 'k') => 10,
        Some('M' | 'm') => 20,
        Some('G' | 'g') => 30,
        Some('T' | 't') => 40,
        Some(_) | None => 0,
    };
    let digits = if shift == 0 { text } else { &text[..text.len() - 1] };
    let all_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let number: u64 = digits.parse().ok().filter(|_| all_digits).ok_or_else(bad)?;
    number.checked_mul(1 << shift).filter(|bytes| *bytes > 0).ok_or_else(bad)
}

/// `12 KiB`, `340 MiB`, `1.5 GiB`: three digits are enough for a person.
pub fn human(bytes: u64) -> String {
    let units = [("TiB", 1u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|(_, unit)| bytes >= *unit) {
        None => format!("{bytes} B"),
        Some((name, unit)) if bytes / unit >= 10 => format!("{} {name}", bytes / unit),
        // Rounded down: more room than there is must never be shown.
        Some((name, unit)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(unit);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in [("8G", 8 << 30), ("512M", 512 << 20), ("1t", 1 << 40), ("64k", 65536), ("4096", 4096)] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in ["", "G", "0", "0G", "-1G", "+1G", "1.5G", "8GB", "8 G", "16777216T", "99999999999999999999"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_shown() {
        let rows = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (12 << 10, "12 KiB"),
            (340 << 20, "340 MiB"),
            ((1 << 30) + (1 << 29), "1.5 GiB"),
            ((10 << 30) - 1, "9.9 GiB"),
            (2 << 40, "2.0 TiB"),
            (u64::MAX, "16777215 TiB"),
        ];
        for (bytes, text) in rows {
            assert_eq!(human(bytes), text);
        }
    }
}
