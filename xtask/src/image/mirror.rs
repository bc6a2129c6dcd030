//! Which Debian archive this machine uses.
//!
//! Read at run time from apt's own configuration, so that the project names no host and works behind any mirror.

use std::path::Path;

use crate::{Context, Result};

/// The Debian release the images are made of.
pub const SUITE: &str = "bookworm";

/// One line of package sources: where from, and which suites it was seen with.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    uri: String,
    suites: Vec<String>,
}

/// The archive of the release and that of its security updates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    main: String,
    security: String,
}

impl Mirror {
    /// Learns it from this machine's apt sources.
    pub fn of_this_machine() -> Result<Self> {
        let mut texts = Vec::new();
        let single = Path::new("/etc/apt/sources.list");
        if single.exists() {
            texts.push((false, read(single)?));
        }
        let dir = Path::new("/etc/apt/sources.list.d");
        if dir.exists() {
            for entry in std::fs::read_dir(dir).context("list /etc/apt/sources.list.d")? {
                let path = entry.context("list /etc/apt/sources.list.d")?.path();
                match path.extension().and_then(|e| e.to_str()) {
                    Some("sources") => texts.push((true, read(&path)?)),
                    Some("list") => texts.push((false, read(&path)?)),
                    Some(_) | None => {}
                }
            }
        }
        let sources: Vec<Source> =
            texts.iter().flat_map(|(deb822, text)| if *deb822 { stanzas(text) } else { lines(text) }).collect();
        choose(&sources).ok_or_else(|| {
            format!("the apt sources of this machine name no Debian archive with {SUITE} and {SUITE}-security")
        })
    }

    /// The hosts' names, which must not get into the project.
    pub fn hosts(&self) -> Vec<String> {
        let host =
            |uri: &str| uri.split_once("://").and_then(|(_, rest)| rest.split(['/', ':']).next().map(String::from));
        let mut hosts: Vec<String> = [&self.main, &self.security].into_iter().filter_map(|uri| host(uri)).collect();
        hosts.retain(|host| !host.is_empty());
        hosts.dedup();
        hosts
    }

    /// Sources of the point release alone.
    pub fn point_release(&self) -> String {
        format!("deb {} {SUITE} main\n", self.main)
    }

    /// Sources of the point release with all updates until now.
    pub fn updated(&self) -> String {
        let (point, main, security) = (self.point_release(), &self.main, &self.security);
        format!("{point}deb {main} {SUITE}-updates main\ndeb {security} {SUITE}-security main\n")
    }

    /// The same, and newer versions of some packages, which are taken only where they are asked for.
    pub fn backports(&self) -> String {
        format!("{}deb {} {SUITE}-backports main\n", self.updated(), self.main)
    }
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).context(format!("read {}", path.display()))
}

fn choose(sources: &[Source]) -> Option<Mirror> {
    let with = |suite: &str| sources.iter().find(|s| s.suites.iter().any(|have| have == suite)).map(|s| s.uri.clone());
    let like = |end: &str| sources.iter().find(|s| s.uri.trim_end_matches('/').ends_with(end)).map(|s| s.uri.clone());
    // On another Debian release the same hosts carry ours too.
    let main = with(SUITE).or_else(|| like("/debian"))?;
    let security = with(&format!("{SUITE}-security")).or_else(|| like("/debian-security"))?;
    Some(Mirror { main, security })
}

/// The one-line form: `deb [options] URI SUITE COMPONENT…`.
fn lines(text: &str) -> Vec<Source> {
    let source = |line: &str| {
        let rest = line.trim().strip_prefix("deb ")?.trim_start();
        let rest = if rest.starts_with('[') { rest.split_once(']')?.1 } else { rest };
        let mut words = rest.split_whitespace();
        Some(Source { uri: words.next()?.to_string(), suites: vec![words.next()?.to_string()] })
    };
    text.lines().filter_map(source).collect()
}

/// The deb822 form: paragraphs of `Field: value`.
fn stanzas(text: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let lines: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
    for stanza in lines.split(|l| l.trim().is_empty()) {
        let field = |name: &str| -> Vec<String> {
            let value = stanza.iter().find_map(|l| {
                let (key, value) = l.split_once(':')?;
                key.trim().eq_ignore_ascii_case(name).then_some(value)
            });
            value.unwrap_or_default().split_whitespace().map(String::from).collect()
        };
        let enabled = !field("Enabled").iter().any(|v| v.eq_ignore_ascii_case("no"));
        if enabled && field("Types").iter().any(|t| t == "deb") {
            let suites = field("Suites");
            found.extend(field("URIs").into_iter().map(|uri| Source { uri, suites: suites.clone() }));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirror(main: &str, security: &str) -> Option<Mirror> {
        Some(Mirror { main: main.into(), security: security.into() })
    }

    #[test]
    fn reads_both_forms() {
        let deb822 = "Types: deb\n# http://old/debian\nURIs: http://m/debian\nSuites: bookworm bookworm-updates\n\n\
                      Types: deb\nURIs: http://m/debian-security\nSuites: bookworm-security\n\n\
                      Enabled: no\nTypes: deb\nURIs: http://off/debian\nSuites: bookworm\n";
        assert_eq!(choose(&stanzas(deb822)), mirror("http://m/debian", "http://m/debian-security"));
        let list = "# deb http://no/debian bookworm main\ndeb [signed-by=/x arch=amd64] http://m/debian/ bookworm main\n\
                    deb-src http://no/debian bookworm main\ndeb http://m/sec bookworm-security main contrib\n";
        assert_eq!(choose(&lines(list)), mirror("http://m/debian/", "http://m/sec"));
    }

    #[test]
    fn another_release_on_the_same_hosts_will_do_and_nothing_else() {
        let list = "deb http://m/debian trixie main\ndeb http://m/debian-security trixie-security main\n";
        assert_eq!(choose(&lines(list)), mirror("http://m/debian", "http://m/debian-security"));
        assert_eq!(choose(&lines("deb http://m/ubuntu noble main\n")), None);
    }
}
