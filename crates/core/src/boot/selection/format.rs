//! The written form of a selection: `thinroot-selection 1`, one `key=value` a line, and a checksum.
//!
//! ```text
//! thinroot-selection 1
//! default=node-1-0+1
//! armed=node-2-0+1
//! tries_left=3
//! good=node-1-0+1
//! failed=node-3-0+1 0123456789abcdef its tries were used up and it was not blessed
//! crc32=1c291ca3
//! ```
//!
//! Separate because a loader's script may read it too, and because a half-written or edited file must never be guessed at.
//! Must stay true: only the exact text that printing gives is accepted; whatever else there is, is damage.
//! The checksum is the CRC-32 of IEEE 802.3 (as in gzip) over all lines before its own: it finds torn writes and bad
//! sectors. It is no protection against someone who may write to `/boot`; they can replace the kernel as well.

use std::fmt::{self, Write};

use thiserror::Error;

use super::{Armed, Failure, MAX_FAILED, MAX_GOOD, MAX_TRIES, Selection, is_short_digest, one_line};
use crate::name::{LayerName, NameError};

const VERSION_LINE: &str = "thinroot-selection 1";

/// Why a text is no selection.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SelectionDamage {
    /// The first line is something else.
    #[error("it begins with '{0}' and not with 'thinroot-selection 1'; a newer thinroot may have written it")]
    Version(String),
    /// No checksum line at the end.
    #[error("its last line is no checksum: it is cut off")]
    CutOff,
    /// The checksum does not fit.
    #[error("its checksum is {written}, its content has {computed}")]
    Checksum {
        /// As written.
        written: String,
        /// As computed.
        computed: String,
    },
    /// A line that does not belong there.
    #[error("line {0} is not understood: '{1}'")]
    Line(usize, String),
    /// A name that is none.
    #[error("line {0}: {1}")]
    Name(usize, NameError),
    /// The values contradict one another or are not in the one order.
    #[error("its values contradict one another, repeat or are out of order")]
    Contradiction,
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = format!("{VERSION_LINE}\n");
        if let Some(layer) = &self.default {
            writeln!(text, "default={layer}")?;
        }
        if let Some(Armed { layer, tries_left }) = &self.armed {
            writeln!(text, "armed={layer}\ntries_left={tries_left}")?;
        }
        for layer in &self.good {
            writeln!(text, "good={layer}")?;
        }
        for Failure { layer, image_digest, reason } in &self.failed {
            writeln!(text, "failed={layer} {} {reason}", image_digest.as_deref().unwrap_or("-"))?;
        }
        writeln!(f, "{text}crc32={:08x}", crc32(text.as_bytes()))
    }
}

impl Selection {
    /// Reads the written form. Strict: never guesses.
    pub fn parse(text: &str) -> Result<Selection, SelectionDamage> {
        let first = text.lines().next().unwrap_or_default();
        if first != VERSION_LINE {
            return Err(SelectionDamage::Version(first.chars().take(40).collect()));
        }
        let body = check_sum(text)?;
        let mut read = Selection::default();
        for (at, line) in body.lines().enumerate().skip(1) {
            take_line(&mut read, at + 1, line)?;
        }
        // Order, duplicates of single keys and stray spaces all show as another text.
        if read.to_string() == text && read.is_consistent() { Ok(read) } else { Err(SelectionDamage::Contradiction) }
    }

    fn is_consistent(&self) -> bool {
        let distinct = |layers: Vec<&LayerName>| (1..layers.len()).all(|i| !layers[..i].contains(&layers[i]));
        self.armed.as_ref().is_none_or(|armed| {
            armed.tries_left <= MAX_TRIES && self.default.as_ref().is_some_and(|default| *default != armed.layer)
        }) && self.good.len() <= MAX_GOOD
            && self.failed.len() <= MAX_FAILED
            && distinct(self.good.iter().collect())
            && distinct(self.failed.iter().map(|f| &f.layer).collect())
            && self.failed.iter().all(|f| one_line(&f.reason) == f.reason)
    }
}

/// Checks the last line and returns what stands before it.
fn check_sum(text: &str) -> Result<&str, SelectionDamage> {
    let whole = text.strip_suffix('\n').ok_or(SelectionDamage::CutOff)?;
    let at = whole.rfind('\n').map_or(0, |at| at + 1);
    let written = whole[at..].strip_prefix("crc32=").ok_or(SelectionDamage::CutOff)?;
    let computed = format!("{:08x}", crc32(&text.as_bytes()[..at]));
    if written != computed {
        return Err(SelectionDamage::Checksum { written: written.into(), computed });
    }
    Ok(&text[..at])
}

fn take_line(read: &mut Selection, number: usize, line: &str) -> Result<(), SelectionDamage> {
    let stranger = || SelectionDamage::Line(number, line.into());
    let layer = |text: &str| text.parse::<LayerName>().map_err(|error| SelectionDamage::Name(number, error));
    let (key, value) = line.split_once('=').ok_or_else(stranger)?;
    match key {
        "default" => read.default = Some(layer(value)?),
        // The next line must give the tries; without it the text printed again differs from the text read.
        "armed" => read.armed = Some(Armed { layer: layer(value)?, tries_left: u8::MAX }),
        "tries_left" => {
            let armed = read.armed.as_mut().ok_or_else(stranger)?;
            armed.tries_left = value.parse().map_err(|_| stranger())?;
        }
        "good" => read.good.push(layer(value)?),
        "failed" => {
            let mut parts = value.splitn(3, ' ');
            let (Some(name), Some(digest), Some(reason)) = (parts.next(), parts.next(), parts.next()) else {
                return Err(stranger());
            };
            let image_digest = match digest {
                "-" => None,
                digest if is_short_digest(digest) => Some(digest.to_string()),
                _ => return Err(stranger()),
            };
            read.failed.push(Failure { layer: layer(name)?, image_digest, reason: reason.into() });
        }
        _ => return Err(stranger()),
    }
    Ok(())
}

/// CRC-32 of IEEE 802.3, bit by bit: a few hundred bytes need no table.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Selection {
        let layer = |text: &str| text.parse::<LayerName>().unwrap();
        let blessed = Selection::default().adopt(&layer("node-1-0+1")).unwrap().bless(&layer("node-1-0+1")).unwrap();
        let failed = blessed.arm(&layer("node-3-0+1"), 1).unwrap();
        let failed = failed.fail(&layer("node-3-0+1"), Some("0123456789abcdef"), "sshd did\nnot start").unwrap();
        failed.arm(&layer("node-2-0+1"), 3).unwrap()
    }

    fn signed(lines: &str) -> String {
        format!("{lines}crc32={:08x}\n", crc32(lines.as_bytes()))
    }

    #[test]
    fn the_written_form_is_as_documented() {
        // The standard check value of this CRC.
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        let want = signed(
            "thinroot-selection 1\ndefault=node-1-0+1\narmed=node-2-0+1\ntries_left=3\ngood=node-1-0+1\n\
             failed=node-3-0+1 0123456789abcdef sshd did not start\n",
        );
        assert_eq!(sample().to_string(), want);
        assert_eq!(Selection::parse(&want), Ok(sample()));
        let empty = signed("thinroot-selection 1\n");
        assert_eq!(Selection::parse(&empty), Ok(Selection::default()));
    }

    #[test]
    fn every_damage_is_named() {
        let text = sample().to_string();
        for length in 0..text.len() {
            assert!(Selection::parse(&text[..length]).is_err(), "{length}");
        }
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let changed = String::from_utf8(bytes).unwrap();
            assert!(Selection::parse(&changed).is_err(), "{changed}");
        }
        assert_eq!(Selection::parse(""), Err(SelectionDamage::Version("".into())));
        let newer = signed("thinroot-selection 2\n");
        assert_eq!(Selection::parse(&newer), Err(SelectionDamage::Version("thinroot-selection 2".into())));
        assert_eq!(Selection::parse("thinroot-selection 1\ndefault=n-1-0+1\n"), Err(SelectionDamage::CutOff));
        let lines = |body: &str| Selection::parse(&signed(&format!("thinroot-selection 1\n{body}")));
        for body in ["colour=red\n", "junk\n", "\n", "tries_left=3\n", "failed=n-1-0+1\n", "failed=n-1-0+1 xyz why\n"] {
            assert_eq!(lines(body), Err(SelectionDamage::Line(2, body.trim_end().into())), "{body}");
        }
        assert!(matches!(lines("default=n-1-0\n"), Err(SelectionDamage::Name(2, _))));
        for body in [
            "armed=n-1-0+1\ntries_left=3\n",
            "default=n-1-0+1\narmed=n-1-0+1\ntries_left=3\n",
            "default=n-1-0+1\narmed=n-1-0+2\n",
            "default=n-1-0+1\narmed=n-1-0+2\ntries_left=10\n",
            "default=n-1-0+1\narmed=n-1-0+2\ntries_left=03\n",
            "default=n-1-0+1\ndefault=n-1-0+2\n",
            "good=n-1-0+1\ndefault=n-1-0+1\n",
            "good=n-1-0+1\ngood=n-1-0+1\n",
            "default=n-1-0+1 \n",
            "failed=n-1-0+1 - \n",
        ] {
            assert!(lines(body).is_err(), "{body}");
        }
    }

    proptest! {
        #[test]
        fn reading_what_was_printed_gives_the_same(events in proptest::collection::vec((0u8..7, 1u32..5, 1u8..4), 0..40)) {
            let mut now = Selection::default();
            for (event, number, tries) in events {
                let layer: LayerName = format!("node-{number}-0+1").parse().unwrap();
                let next = match event {
                    0 => now.adopt(&layer),
                    1 => now.arm(&layer, tries),
                    2 => now.disarm(),
                    3 => now.start().map(|(_, after)| after),
                    4 => now.bless(&layer),
                    5 => now.fail(&layer, None, "ein Grund\twie ändere"),
                    _ => now.forget(&layer),
                };
                now = next.unwrap_or(now);
                prop_assert_eq!(Selection::parse(&now.to_string()), Ok(now.clone()));
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "(thinroot-selection 1\n)?([a-z_]{1,8}=[ -~]{0,10}\n){0,4}") {
            if let Ok(read) = Selection::parse(&text) {
                prop_assert_eq!(read.to_string(), text);
            }
        }
    }
}
