//! `health`: does the running host do what it is for?

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use thinroot_core::name::LayerName;
use thinroot_engine::cmd::Cmd;
use thinroot_engine::error::{Error, Result};
use thinroot_engine::health::{self, HealthAnswer, HealthCheck, Need};
use thinroot_engine::host::Host;

use crate::answer::Answer;
use crate::exit::Exit;
use crate::guide::{Guide, READS};
use crate::session::{Mounts, Session};

/// Longest one check may take without an option.
const LIMIT_SEC: u64 = 60;

/// Health checks of the running host
///
/// Programs of the image in /usr/lib/thinroot/health.d and of the admin in /etc/thinroot/health.d, in 'required' and
/// 'wanted'. One of the admin takes the place of one of the image with its name; what is not executable is switched off.
/// Exit code 0 is good; the last line of what it says is the reason otherwise. THINROOT_LAYER names the layer.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub what: What,
}

/// What to do with health checks.
#[derive(Debug, clap::Subcommand)]
pub enum What {
    /// List the checks
    ///
    /// Lists them in the order in which they are run. Reads only.
    List,
    /// Run the checks
    ///
    /// Runs all of them, one after the other. With --fall-back, where a required one fails in a layer that has not been
    /// found good: records why, ends its arming, so that the default boots next, and restarts the host. In the default
    /// layer nothing is restarted: there is nothing better to boot.
    Check {
        /// How long each may take
        #[arg(long, value_name = "SECONDS", default_value_t = LIMIT_SEC)]
        limit: u64,
        /// Give up a layer that fails a required check, and restart
        #[arg(long)]
        fall_back: bool,
    },
}

const CHECKS: &[(Exit, Option<&str>)] = &[
    (Exit::Done, Some("every check is good")),
    (Exit::Failed, Some("a required check failed")),
    (Exit::Usage, None),
    (Exit::Refused, Some("not run as root")),
    (Exit::Findings, Some("a wanted check failed, and no required one")),
    (Exit::Busy, Some("a layer was to be given up while another run holds the lock")),
];

/// How it is used.
pub const GUIDES: &[Guide] = &[
    Guide { verb: &["health", "list"], examples: &[("thinroot health list", "what is checked?")], exits: READS },
    Guide {
        verb: &["health", "check"],
        examples: &[
            ("thinroot health check", "is all well?"),
            ("thinroot health check --fall-back", "as the service does it after each start"),
        ],
        exits: CHECKS,
    },
];

/// Does what was asked.
pub fn run(session: &Session, args: &Args) -> Result<Answer> {
    let checks = health::checks(Path::new("/"))?;
    match &args.what {
        What::List => Ok(list(&checks)),
        What::Check { limit, fall_back } => {
            let host = session.host(Mounts::Private)?;
            let layer = host.booted().map(ToString::to_string);
            let limit = Duration::from_secs(*limit);
            let answers: Vec<_> = checks.into_iter().map(|check| health::ask(check, layer.as_deref(), limit)).collect();
            let why = why_not_good(&answers);
            let gave_up = match &why {
                Some(why) if *fall_back => fall_back_from(session, &host, why)?,
                Some(_) | None => false,
            };
            Ok(answer(&answers, host.booted(), why.is_some(), gave_up))
        }
    }
}

#[derive(Serialize)]
struct ListBody<'a> {
    checks: &'a [HealthCheck],
}

fn list(checks: &[HealthCheck]) -> Answer {
    let text = match checks {
        [] => "there are no health checks\n".to_string(),
        checks => checks.iter().map(|check| format!("{}  {}\n", word(check.need), check.path.display())).collect(),
    };
    Answer::new(Exit::Done, text, "health_list", &ListBody { checks })
}

#[derive(Serialize)]
struct Body<'a> {
    layer: Option<&'a LayerName>,
    good: bool,
    gave_up: bool,
    answers: &'a [HealthAnswer],
}

fn answer(answers: &[HealthAnswer], layer: Option<&LayerName>, bad: bool, gave_up: bool) -> Answer {
    let line = |answer: &HealthAnswer| {
        let said = answer.failed.as_ref().map_or("good".to_string(), |why| format!("FAILED: {why}"));
        format!("{}  {}: {said}\n", word(answer.check.need), answer.check.name)
    };
    let mut text: String = answers.iter().map(line).collect();
    if answers.is_empty() {
        text += "there are no health checks\n";
    }
    if let Some(layer) = layer.filter(|_| gave_up) {
        text += &format!("{layer} is given up, the default boots next; restarting\n");
    }
    let exit = match (bad, answers.iter().any(|answer| answer.failed.is_some())) {
        (true, _) => Exit::Failed,
        (false, true) => Exit::Findings,
        (false, false) => Exit::Done,
    };
    Answer::new(exit, text, "health_check", &Body { layer, good: !bad, gave_up, answers })
}

/// Why the layer is not good, by the first required check that failed.
fn why_not_good(answers: &[HealthAnswer]) -> Option<String> {
    let mut required = answers.iter().filter(|answer| answer.check.need == Need::Required);
    required.find_map(|answer| Some(format!("{}: {}", answer.check.name, answer.failed.as_ref()?)))
}

/// Whether there was something to fall back to.
fn fall_back_from(session: &Session, host: &Host, why: &str) -> Result<bool> {
    let gave_up = session.change(host)?.give_up(why)?;
    if gave_up {
        let restart = Cmd::new("systemctl").args(["--no-block", "reboot"]).run();
        restart.map_err(|error| Error::failed("restart the host", error.why()).mend("restart it by hand"))?;
    }
    Ok(gave_up)
}

fn word(need: Need) -> &'static str {
    match need {
        Need::Required => "required",
        Need::Wanted => "wanted  ",
    }
}
