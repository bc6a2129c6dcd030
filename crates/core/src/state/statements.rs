//! Files of one statement a line, as admins and images write them: rules, checkers, migrations.

/// Takes each statement of a text; an error names its line. A `#` begins a comment anywhere.
pub fn each(name: &str, text: &[u8], mut take: impl FnMut(&str) -> Result<(), String>) -> Result<(), String> {
    for (number, raw) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = std::str::from_utf8(raw).map_err(|_| "it is not UTF-8".to_owned());
        let statement = line.map(|line| line.split('#').next().unwrap_or_default().trim());
        let taken = statement.and_then(|line| if line.is_empty() { Ok(()) } else { take(line) });
        taken.map_err(|why| format!("{name}:{}: {why}", number + 1))?;
    }
    Ok(())
}
