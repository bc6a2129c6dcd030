//! Which licences our dependencies may have, and whether a licence expression can be met within them.
//!
//! Our own check and not a tool from elsewhere, so that a fresh clone needs nothing installed. Pure: the verb reads
//! cargo's metadata and hands the expressions in.

/// What may be linked into a program under "MIT OR Apache-2.0" without further duties than keeping notices. Weak
/// copyleft (MPL-2.0, LGPL) is left out on purpose: it would need a decision, and this list is where it would show.
const ALLOWED: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "CC0-1.0",
    "Unlicense",
    "0BSD",
];

/// Whether the expression (SPDX, with the old `/` for OR) leaves a choice within the allowed licences. An expression
/// that cannot be read is an error and not a yes.
pub fn acceptable(expression: &str) -> Result<bool, String> {
    let tokens = tokens(expression);
    let mut parser = Parser { rest: &tokens };
    let verdict = parser.any()?;
    match parser.rest {
        [] => Ok(verdict),
        [extra, ..] => Err(format!("unexpected {extra:?} in the licence expression {expression:?}")),
    }
}

fn tokens(expression: &str) -> Vec<String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    spaced.split_whitespace().map(String::from).collect()
}

/// Grammar: any = all { OR all }; all = one { AND one }; one = "(" any ")" | ID [ WITH ID ].
struct Parser<'a> {
    rest: &'a [String],
}

impl Parser<'_> {
    fn any(&mut self) -> Result<bool, String> {
        let mut verdict = self.all()?;
        while self.takes("OR") {
            // Not short-circuited: the rest must be read even if it no longer matters.
            verdict |= self.all()?;
        }
        Ok(verdict)
    }

    fn all(&mut self) -> Result<bool, String> {
        let mut verdict = self.one()?;
        while self.takes("AND") {
            verdict &= self.one()?;
        }
        Ok(verdict)
    }

    fn one(&mut self) -> Result<bool, String> {
        if self.takes("(") {
            let verdict = self.any()?;
            return if self.takes(")") { Ok(verdict) } else { Err("a bracket is not closed".into()) };
        }
        let mut name = self.word()?;
        if self.takes("WITH") {
            name = format!("{name} WITH {}", self.word()?);
        }
        Ok(ALLOWED.contains(&name.as_str()))
    }

    fn word(&mut self) -> Result<String, String> {
        match self.rest.split_first() {
            Some((word, rest)) if !["OR", "AND", "WITH", "(", ")"].contains(&word.as_str()) => {
                self.rest = rest;
                Ok(word.clone())
            }
            Some((word, _)) => Err(format!("a licence was expected, not {word:?}")),
            None => Err("a licence was expected at the end".into()),
        }
    }

    fn takes(&mut self, word: &str) -> bool {
        match self.rest.split_first() {
            Some((first, rest)) if first == word => {
                self.rest = rest;
                true
            }
            Some(_) | None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions() {
        let table = [
            ("MIT", Ok(true)),
            ("MIT OR Apache-2.0", Ok(true)),
            ("MIT/Apache-2.0", Ok(true)),
            ("MPL-2.0", Ok(false)),
            ("MPL-2.0 OR MIT", Ok(true)),
            ("MPL-2.0 AND MIT", Ok(false)),
            ("GPL-3.0-only OR MPL-2.0", Ok(false)),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", Ok(true)),
            ("(MIT OR Apache-2.0) AND GPL-2.0-only", Ok(false)),
            ("MIT AND GPL-2.0-only OR ISC", Ok(true)),
            ("MIT OR GPL-2.0-only AND LGPL-3.0-only", Ok(true)),
            ("Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT", Ok(true)),
            ("Apache-2.0 WITH LLVM-exception", Ok(true)),
            ("MIT WITH LLVM-exception", Ok(false)),
            ("GPL-2.0-only WITH Classpath-exception-2.0", Ok(false)),
            ("((0BSD))", Ok(true)),
        ];
        for (expression, want) in table {
            assert_eq!(acceptable(expression), want, "{expression}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_no_yes() {
        for expression in ["", "(MIT", "MIT)", "MIT Apache-2.0", "MIT OR", "AND MIT", "MIT WITH", "OR"] {
            assert!(acceptable(expression).is_err(), "{expression}");
        }
    }
}
