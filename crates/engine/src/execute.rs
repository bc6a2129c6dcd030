//! Carrying a plan out: journal, probe, apply, journal; and undoing it where it fails before the commit point.
//!
//! The executor chooses nothing. What each step does is in `steps`, one function for applying and one for undoing.
//!
//! Must stay true: `Started` is on disk before the first effect of a step, `Succeeded` only after its last one is
//! durable. A step that is started again after an interruption begins by removing what the first try left.

mod adopt;
mod base;
mod boot;
mod checks;
mod layer;
mod state;
mod steps;

use thinroot_core::journal::{Event, Journal, Outcome, StepState};
use thinroot_core::plan::{Plan, Purpose, Step};

use crate::error::{Error, ErrorKind, Result};
use crate::host::Host;
use crate::progress::{self, Reporter};
use crate::records::JournalFile;
use crate::source::Image;

/// Whether a step is carried out for the first time or after an interruption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// Nothing of it is there.
    First,
    /// Anything of it may be there.
    Redo,
}

/// What came of a plan.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// The plan.
    pub plan: Plan,
    /// How it ended.
    pub outcome: Outcome,
    /// What a person should look at.
    pub findings: Vec<String>,
}

/// One plan being carried out.
pub(crate) struct Execution<'a> {
    pub(crate) host: &'a Host,
    pub(crate) image: Option<&'a mut Image>,
    pub(crate) reporter: &'a dyn Reporter,
    pub(crate) findings: Vec<String>,
    file: JournalFile,
}

/// Carries out a new plan.
pub(crate) fn execute(host: &Host, plan: Plan, image: Option<&mut Image>, reporter: &dyn Reporter) -> Result<Report> {
    reporter.event(progress::Event::Plan { id: plan.id.to_string(), steps: plan.steps.len() });
    let file = JournalFile::create(&host.records, plan)?;
    Execution { host, image, reporter, findings: Vec::new(), file }.forward()
}

/// Finishes an interrupted plan: forward, or back where undoing had begun.
pub(crate) fn resume(host: &Host, open: Journal, image: Option<&mut Image>, reporter: &dyn Reporter) -> Result<Report> {
    reporter.event(progress::Event::Plan { id: open.plan.id.to_string(), steps: open.plan.steps.len() });
    let undoing = open.undoing() && !open.committed();
    let why = open.failure.clone().unwrap_or_else(|| "undoing had begun".into());
    let file = JournalFile::reopen(&host.records, open)?;
    let mut execution = Execution { host, image, reporter, findings: Vec::new(), file };
    if undoing {
        execution.undo_all()?;
        execution.close(Outcome::Failed, why)
    } else {
        execution.forward()
    }
}

/// Undoes an interrupted plan. One that is past its commit point cannot be undone: what it has begun is finished,
/// nothing new is begun.
pub(crate) fn abandon(host: &Host, open: Journal, reporter: &dyn Reporter) -> Result<Report> {
    let committed = open.committed();
    let file = JournalFile::reopen(&host.records, open)?;
    let mut execution = Execution { host, image: None, reporter, findings: Vec::new(), file };
    if !committed {
        execution.undo_all()?;
        return execution.close(Outcome::Abandoned, String::new());
    }
    if execution.plan().purpose == Purpose::Retire {
        return execution.finish_begun_removals();
    }
    execution
        .findings
        .push("the plan was past its commit point and has been finished; 'thinroot rollback' goes back".into());
    execution.forward()
}

/// What was begun and undone is a failure, whatever the step called it: "refused" and "busy" promise that nothing was
/// touched.
fn after_undoing(kind: ErrorKind) -> ErrorKind {
    match kind {
        ErrorKind::Usage | ErrorKind::Refused | ErrorKind::Busy | ErrorKind::Failed => ErrorKind::Failed,
        ErrorKind::Damaged | ErrorKind::Interrupted | ErrorKind::PowerCut => kind,
    }
}

impl Execution<'_> {
    pub(crate) fn plan(&self) -> &Plan {
        &self.file.journal.plan
    }

    fn forward(&mut self) -> Result<Report> {
        for i in 0..self.plan().steps.len() {
            let step = self.plan().steps[i].clone();
            match self.run_step(i, &step) {
                Ok(()) => {}
                Err(error) if error.kind == ErrorKind::PowerCut => return Err(error),
                Err(error) => return Err(self.failed(i, error)),
            }
        }
        let outcome = if self.findings.is_empty() { Outcome::Done } else { Outcome::DoneWithFindings };
        let detail = self.findings.join("\n");
        self.close(outcome, detail)
    }

    fn run_step(&mut self, i: usize, step: &Step) -> Result<()> {
        let attempt = match self.file.journal.steps[i] {
            StepState::Done => return Ok(()),
            StepState::Pending => Attempt::First,
            StepState::Started => Attempt::Redo,
            StepState::Undoing | StepState::Undone => {
                return Err(Error::damaged(format!("step {}", i + 1), "it is being undone and cannot go forward"));
            }
        };
        self.reporter.event(progress::Event::Begin { step: i + 1, text: step.to_string() });
        self.file.record(Event::Started { step: i })?;
        let said = self.apply(step, attempt)?;
        self.file.record(Event::Succeeded { step: i })?;
        self.reporter.event(progress::Event::End { step: i + 1, text: said });
        Ok(())
    }

    /// Undoes everything, or leaves the journal open where that is not possible.
    fn failed(&mut self, i: usize, error: Error) -> Error {
        let text = self.plan().steps[i].to_string();
        let error = error.during(&text);
        if i >= self.plan().commit() {
            return Error { kind: ErrorKind::Interrupted, ..error }
                .mend("the plan is past its commit point; finish it with 'thinroot resume'");
        }
        let undone = self
            .record_failure(i, &error)
            .and_then(|()| self.undo_all())
            .and_then(|()| self.close(Outcome::Failed, error.to_string()));
        match undone {
            Ok(_) => Error { kind: after_undoing(error.kind), ..error },
            Err(cut) if cut.kind == ErrorKind::PowerCut => cut,
            Err(second) => Error {
                kind: ErrorKind::Interrupted,
                attempted: error.attempted,
                why: format!("{}; and undoing it failed: {second}", error.why),
                mend: Some("mend the cause, then 'thinroot abandon'".into()),
            },
        }
    }

    fn record_failure(&mut self, i: usize, error: &Error) -> Result<()> {
        // Where writing `Started` itself failed, nothing of the step was begun.
        if self.file.journal.steps[i] != StepState::Started {
            return Ok(());
        }
        self.file.record(Event::Failed { step: i, why: error.to_string() })
    }

    fn undo_all(&mut self) -> Result<()> {
        for i in self.file.journal.to_undo() {
            let step = self.plan().steps[i].clone();
            self.reporter.event(progress::Event::Begin { step: i + 1, text: format!("undo: {step}") });
            self.file.record(Event::UndoStarted { step: i })?;
            self.undo(&step)?;
            self.file.record(Event::Undone { step: i })?;
            self.reporter.event(progress::Event::End { step: i + 1, text: String::new() });
        }
        Ok(())
    }

    fn finish_begun_removals(&mut self) -> Result<Report> {
        let steps = self.plan().steps.clone();
        let begun: Vec<_> = (0..steps.len())
            .filter(|i| self.file.journal.steps[*i] != StepState::Pending)
            .filter_map(|i| steps[i].retires())
            .collect();
        for (i, step) in steps.iter().enumerate() {
            let wanted = step.retires().is_none_or(|volume| begun.contains(&volume));
            if wanted {
                self.run_step(i, step)?;
            }
        }
        self.close(Outcome::Abandoned, "what had been begun was finished".into())
    }

    fn close(&mut self, outcome: Outcome, detail: String) -> Result<Report> {
        self.file.record(Event::Closed { outcome, detail })?;
        self.host.records.trim_journals()?;
        Ok(Report { plan: self.plan().clone(), outcome, findings: std::mem::take(&mut self.findings) })
    }
}
