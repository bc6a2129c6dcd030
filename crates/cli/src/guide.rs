//! Examples and exit codes of every verb: one table that `--help` and the man pages are both made from.

use std::fmt::Write;

use clap::Command;

use crate::exit::Exit;
use crate::verbs;

/// What a person needs beside the options of a verb.
#[derive(Debug, Clone, Copy)]
pub struct Guide {
    /// The words of the verb: `["base", "add"]`; empty for the program itself.
    pub verb: &'static [&'static str],
    /// What to type, and what for.
    pub examples: &'static [(&'static str, &'static str)],
    /// How it may end; with its own words where the general meaning is not enough.
    pub exits: &'static [(Exit, Option<&'static str>)],
}

/// Ends of a verb that only reads.
pub const READS: &[(Exit, Option<&str>)] = &[
    (Exit::Done, None),
    (Exit::Failed, Some("the store could not be read")),
    (Exit::Usage, None),
    (Exit::Refused, Some("not run as root")),
];

/// Ends of a verb that carries out a plan.
pub const CHANGES: &[(Exit, Option<&str>)] = &[
    (Exit::Done, None),
    (Exit::Failed, None),
    (Exit::Usage, None),
    (Exit::Refused, None),
    (Exit::Findings, None),
    (Exit::Busy, None),
    (Exit::Interrupted, None),
];

/// The program itself: the codes of all verbs.
const PROGRAM: Guide = Guide {
    verb: &[],
    examples: &[
        ("thinroot --store dir:/srv/thinroot init", "make a store in a directory"),
        ("export THINROOT_STORE=dir:/srv/thinroot", "name it once"),
        ("thinroot base add oci:/srv/images/node:1.0", "keep an image as a base"),
        ("thinroot layer fork node-1.0-1", "make a bootable layer of it"),
        ("thinroot update --plan tar:node-1.1.tar.zst", "see what an update would do"),
        ("thinroot update tar:node-1.1.tar.zst", "stage it and arm it"),
        ("thinroot rollback", "go back"),
    ],
    exits: &[
        (Exit::Done, None),
        (Exit::Failed, None),
        (Exit::Usage, None),
        (Exit::Refused, None),
        (Exit::Findings, None),
        (Exit::Busy, None),
        (Exit::Interrupted, None),
        (Exit::UpdateAvailable, Some("only 'update --check': an update is available")),
    ],
};

/// Every guide, the program's first.
pub fn guides() -> Vec<Guide> {
    let verbs: [&[Guide]; 17] = [
        verbs::status::GUIDES,
        verbs::init::GUIDES,
        verbs::install::GUIDES,
        verbs::base::GUIDES,
        verbs::layer::GUIDES,
        verbs::update::GUIDES,
        verbs::apply::GUIDES,
        verbs::rollback::GUIDES,
        verbs::resume::GUIDES,
        verbs::abandon::GUIDES,
        verbs::prune::GUIDES,
        verbs::check::GUIDES,
        verbs::bless::GUIDES,
        verbs::health::GUIDES,
        verbs::image::GUIDES,
        verbs::kargs::GUIDES,
        verbs::state::GUIDES,
    ];
    std::iter::once(PROGRAM).chain(verbs.concat()).collect()
}

impl Guide {
    /// The ends with their words.
    pub fn exits_in_words(&self) -> impl Iterator<Item = (String, &'static str)> {
        self.exits.iter().map(|(exit, words)| {
            let passed = matches!(exit, Exit::Passed(_));
            let number = if passed { "other".to_string() } else { exit.code().to_string() };
            (number, words.unwrap_or_else(|| exit.meaning()))
        })
    }

    /// As it stands at the end of `--help`.
    fn help(&self) -> String {
        let mut out = String::from("Examples:\n");
        for (command, purpose) in self.examples {
            let _ = writeln!(out, "  {command}\n      {purpose}"); // writing to a String cannot fail
        }
        out.push_str("\nExit codes:\n");
        for (number, words) in self.exits_in_words() {
            let _ = writeln!(out, "  {number:>5}  {words}"); // writing to a String cannot fail
        }
        out.trim_end().to_string()
    }

    /// Puts it at the end of the long help of its command.
    pub fn attach(&self, program: Command) -> Command {
        attach(program, self.verb, &self.help())
    }
}

fn attach(command: Command, verb: &[&str], help: &str) -> Command {
    match verb {
        [] => command.after_long_help(help.to_string()),
        [first, rest @ ..] => command.mut_subcommand(*first, |command| attach(command, rest, help)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn leaves(command: &Command, words: &[String], out: &mut BTreeSet<String>) {
        if command.get_subcommands().next().is_none() {
            out.insert(words.join(" "));
        }
        for sub in command.get_subcommands() {
            leaves(sub, &[words, &[sub.get_name().to_string()]].concat(), out);
        }
    }

    #[test]
    fn every_verb_has_a_guide_and_every_guide_a_verb() {
        let mut verbs = BTreeSet::new();
        leaves(&crate::command(), &[], &mut verbs);
        let guided: BTreeSet<String> = guides().iter().skip(1).map(|guide| guide.verb.join(" ")).collect();
        assert_eq!(guided, verbs);
    }

    #[test]
    fn examples_parse() {
        use clap::Parser;
        for guide in guides() {
            assert!(!guide.examples.is_empty(), "{:?}", guide.verb);
            for (line, _) in guide.examples.iter().filter(|(line, _)| line.starts_with("thinroot")) {
                let words = line.split_whitespace().take_while(|word| !["|", "||", ">"].contains(word));
                crate::args::Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
            }
        }
    }
}
