//! Records of measurements: kept by part, asked for by what they say.

use std::path::PathBuf;

use serde_json::Value;

use super::series::Series;
use crate::cache::Cache;
use crate::{Context, Result};

/// The records of one part, with the day they were taken.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Records(pub Vec<Value>);

impl Records {
    /// Reads one JSON object a line; other lines are what programs said besides.
    pub fn parse(text: &str) -> Records {
        Records(
            text.lines().filter(|line| line.starts_with('{')).filter_map(|l| serde_json::from_str(l).ok()).collect(),
        )
    }

    /// What was measured of this part the last time; nothing where it never was.
    pub fn load(cache: &Cache, part: &str) -> Result<Records> {
        let path = file(cache, part);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Records::parse(&text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Records::default()),
            Err(error) => Err(error).context(format!("read {}", path.display())),
        }
    }

    /// Keeps them for the page.
    pub fn keep(&self, cache: &Cache, part: &str) -> Result<()> {
        let text: String = self.0.iter().map(|record| format!("{record}\n")).collect();
        let path = file(cache, part);
        std::fs::write(&path, text).context(format!("write {}", path.display()))
    }

    /// The records in which each of these fields has this text.
    #[must_use]
    pub fn having(&self, fields: &[(&str, &str)]) -> Records {
        let fits = |record: &&Value| fields.iter().all(|(key, text)| record[*key] == *text);
        Records(self.0.iter().filter(fits).cloned().collect())
    }

    /// One number of each record that has it.
    pub fn series(&self, field: &str) -> Series {
        Series(self.0.iter().filter_map(|record| record[field].as_f64()).collect())
    }

    /// The sum of some numbers of each record that has all of them.
    pub fn sums(&self, fields: &[&str]) -> Series {
        let sum = |record: &Value| fields.iter().map(|field| record[*field].as_f64()).sum::<Option<f64>>();
        Series(self.0.iter().filter_map(sum).collect())
    }
}

fn file(cache: &Cache, part: &str) -> PathBuf {
    cache.root().join(format!("bench-{part}.jsonl"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_chosen_by_their_words_and_summed_by_their_numbers() {
        let text = "noise\n{\"who\":\"a\",\"s\":1.5,\"t\":1}\n{\"who\":\"b\",\"s\":9}\n{\"who\":\"a\",\"s\":2.5}\n";
        let records = Records::parse(text);
        assert_eq!(records.having(&[("who", "a")]).series("s"), Series(vec![1.5, 2.5]));
        assert_eq!(records.having(&[("who", "a")]).sums(&["s", "t"]), Series(vec![2.5]));
        assert_eq!(records.having(&[("who", "c")]), Records::default());
    }
}
