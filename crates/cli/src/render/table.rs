//! A small aligned table: a header, rows, columns as wide as their widest cell.

/// Which edge a column is aligned to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Lays out rows under a header, two spaces between columns, no space at line ends. Nothing for no rows.
pub fn table<const N: usize>(header: [(&str, Align); N], rows: &[[String; N]]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([header[column].0.chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut out = String::new();
    let mut line = |cells: [&str; N]| {
        let mut text = String::new();
        for (i, cell) in cells.into_iter().enumerate() {
            let padding = " ".repeat(widths[i] - cell.chars().count());
            match header[i].1 {
                Align::Left => text.extend([cell, &padding, "  "]),
                Align::Right => text.extend([&padding, cell, "  "]),
            }
        }
        out.push_str(text.trim_end());
        out.push('\n');
    };
    line(header.map(|(title, _)| title));
    for row in rows {
        line(row.each_ref().map(String::as_str));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_lines_end_clean() {
        let header = [("NAME", Align::Left), ("SIZE", Align::Right), ("WHY", Align::Left)];
        let row = |a: &str, b: &str, c: &str| [a.to_string(), b.to_string(), c.to_string()];
        let rows = [row("a", "12 MiB", ""), row("longer-ä", "1 B", "kept")];
        let expected = "\
NAME        SIZE  WHY
a         12 MiB
longer-ä     1 B  kept
";
        assert_eq!(table(header, &rows), expected);
        assert_eq!(table(header, &[]), "");
    }
}
