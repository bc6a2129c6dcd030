//! The journal's rules: which events may follow which, and what must happen after an interruption.
//!
//! The journal is the durable record of a plan being carried out: one JSON line for the plan, then one line an event,
//! each on disk before the next effect. It records intent for recovery; it is not a log.
//!
//! ```text
//! {"plan":{…}}
//! {"event":"started","step":0}
//! {"event":"succeeded","step":0}
//! {"event":"closed","outcome":"done","detail":""}
//! ```

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::plan::{FORMAT_VERSION, Plan};

/// Something that happened to a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A step begins: from now on its effects may be there, in part or whole.
    Started {
        /// Index of the step.
        step: usize,
    },
    /// A step is complete and durable.
    Succeeded {
        /// Index of the step.
        step: usize,
    },
    /// A step failed; undoing begins.
    Failed {
        /// Index of the step.
        step: usize,
        /// Why.
        why: String,
    },
    /// Undoing of a step begins.
    UndoStarted {
        /// Index of the step.
        step: usize,
    },
    /// Nothing of the step is left.
    Undone {
        /// Index of the step.
        step: usize,
    },
    /// The plan is over.
    Closed {
        /// How it ended.
        outcome: Outcome,
        /// In words: why it failed, what was found.
        detail: String,
    },
}

/// How a plan ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Everything was done.
    Done,
    /// Everything was done and there is something to look at.
    DoneWithFindings,
    /// It failed and was undone.
    Failed,
    /// It was undone at the admin's wish.
    Abandoned,
}

/// Where a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepState {
    /// Not begun.
    Pending,
    /// Begun, its end is not recorded.
    Started,
    /// Complete.
    Done,
    /// Being undone.
    Undoing,
    /// Nothing of it is left.
    Undone,
}

/// A line that does not belong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JournalError {
    /// The first line is no plan of a version we know.
    #[error("its first line is no plan of format {FORMAT_VERSION}: {0}")]
    NoPlan(String),
    /// A line in the middle is damaged.
    #[error("line {0} is damaged: {1}")]
    Line(usize, String),
    /// An event that may not follow what is there.
    #[error("line {line}: {event:?} may not follow here")]
    Order {
        /// Counted from 1.
        line: usize,
        /// The event.
        event: Event,
    },
}

/// A plan and how far it got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journal {
    /// The plan.
    pub plan: Plan,
    /// Where each step stands.
    pub steps: Vec<StepState>,
    /// Why it failed, where a step did.
    pub failure: Option<String>,
    /// How it ended; none while it is open.
    pub closed: Option<(Outcome, String)>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    plan: Plan,
}

/// The first line of a journal, with its line end.
pub fn head_line(plan: &Plan) -> String {
    let text = serde_json::to_string(&Head { plan: plan.clone() }).expect("plans always serialise");
    text + "\n"
}

/// The line of an event, with its line end.
pub fn event_line(event: &Event) -> String {
    serde_json::to_string(event).expect("events always serialise") + "\n"
}

impl Journal {
    /// A journal with nothing done yet.
    pub fn new(plan: Plan) -> Self {
        let steps = vec![StepState::Pending; plan.steps.len()];
        Journal { plan, steps, failure: None, closed: None }
    }

    /// Reads a journal. A last line without its line end was being written when the power went: it does not count.
    /// None where not even the plan was complete: then nothing was begun.
    pub fn parse(text: &str) -> Result<Option<Self>, JournalError> {
        let complete = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        let mut lines = complete.lines();
        let Some(first) = lines.next() else { return Ok(None) };
        let head: Head = serde_json::from_str(first).map_err(|e| JournalError::NoPlan(e.to_string()))?;
        if head.plan.format != FORMAT_VERSION {
            return Err(JournalError::NoPlan(format!("its version is {}", head.plan.format)));
        }
        let mut journal = Journal::new(head.plan);
        for (i, line) in lines.enumerate() {
            let event: Event = serde_json::from_str(line).map_err(|e| JournalError::Line(i + 2, e.to_string()))?;
            journal.apply(&event).map_err(|()| JournalError::Order { line: i + 2, event })?;
        }
        Ok(Some(journal))
    }

    /// Takes an event; refuses one that may not follow.
    #[allow(clippy::result_unit_err)]
    pub fn apply(&mut self, event: &Event) -> Result<(), ()> {
        use StepState::{Done, Pending, Started, Undoing, Undone};
        if self.closed.is_some() {
            return Err(());
        }
        let mut turn = |step: usize, from: &[StepState], to: StepState| {
            let state = self.steps.get_mut(step).filter(|state| from.contains(state)).ok_or(())?;
            *state = to;
            Ok(())
        };
        match event {
            // Started again: the step was interrupted and is being redone.
            Event::Started { step } => turn(*step, &[Pending, Started], Started),
            Event::Succeeded { step } => turn(*step, &[Started], Done),
            Event::Failed { step, why } => {
                self.failure = Some(why.clone());
                self.steps.get(*step).filter(|state| **state == Started).map(|_| ()).ok_or(())
            }
            Event::UndoStarted { step } => turn(*step, &[Started, Done, Undoing], Undoing),
            Event::Undone { step } => turn(*step, &[Undoing], Undone),
            Event::Closed { outcome, detail } => {
                self.closed = Some((*outcome, detail.clone()));
                Ok(())
            }
        }
    }

    /// Whether the commit point was begun: it may have happened, so the plan can only go forward.
    pub fn committed(&self) -> bool {
        self.steps[self.plan.commit()..].iter().any(|state| *state != StepState::Pending)
    }

    /// Whether undoing was begun: then only undoing may go on.
    pub fn undoing(&self) -> bool {
        self.failure.is_some() || self.steps.iter().any(|s| matches!(s, StepState::Undoing | StepState::Undone))
    }

    /// Steps that may have left something, last first.
    pub fn to_undo(&self) -> Vec<usize> {
        let touched = |i: &usize| matches!(self.steps[*i], StepState::Started | StepState::Done | StepState::Undoing);
        (0..self.steps.len()).rev().filter(touched).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Purpose, Step};

    fn plan() -> Plan {
        let layer = || "node-1-0+1".parse().unwrap();
        let frozen = || "frozen.1".parse().unwrap();
        let steps = vec![
            Step::FreezeState { layer: layer(), frozen: frozen() },
            Step::Arm { layer: layer(), tries: 3 },
            Step::DropFrozen { frozen: frozen() },
        ];
        let id = "0-update-0".parse().unwrap();
        Plan { format: FORMAT_VERSION, id, purpose: Purpose::Update, created_sec: 0, image: None, steps }
    }

    fn text(events: &[Event]) -> String {
        head_line(&plan()) + &events.iter().map(event_line).collect::<String>()
    }

    fn states(events: &[Event]) -> Vec<StepState> {
        Journal::parse(&text(events)).unwrap().unwrap().steps
    }

    #[test]
    fn a_torn_last_line_does_not_count() {
        let whole = text(&[Event::Started { step: 0 }, Event::Succeeded { step: 0 }]);
        for cut in 0..whole.len() {
            let journal = Journal::parse(&whole[..cut]).unwrap();
            let lines = whole[..cut].matches('\n').count();
            assert_eq!(journal.is_none(), lines == 0);
            let expected = [StepState::Pending, StepState::Pending, StepState::Started][lines];
            assert_eq!(journal.map_or(StepState::Pending, |j| j.steps[0]), expected, "cut at {cut}");
        }
    }

    #[test]
    fn commit_and_undo_follow_from_the_events() {
        use StepState::{Done, Pending, Started, Undone};
        let begun = [Event::Started { step: 0 }, Event::Succeeded { step: 0 }];
        assert_eq!(states(&begun), [Done, Pending, Pending]);
        let journal = Journal::parse(&text(&begun)).unwrap().unwrap();
        assert!(!journal.committed() && !journal.undoing());
        assert_eq!(journal.to_undo(), [0]);
        let armed = [begun.to_vec(), vec![Event::Started { step: 1 }]].concat();
        assert_eq!(states(&armed), [Done, Started, Pending]);
        assert!(Journal::parse(&text(&armed)).unwrap().unwrap().committed());
        let undone = [begun.to_vec(), vec![Event::UndoStarted { step: 0 }, Event::Undone { step: 0 }]].concat();
        assert_eq!(states(&undone), [Undone, Pending, Pending]);
        assert!(Journal::parse(&text(&undone)).unwrap().unwrap().undoing());
    }

    #[test]
    fn illegal_orders_are_refused() {
        let closed = Event::Closed { outcome: Outcome::Done, detail: String::new() };
        let bad: [&[Event]; 6] = [
            &[Event::Succeeded { step: 0 }],
            &[Event::Started { step: 9 }],
            &[Event::Undone { step: 0 }],
            &[Event::UndoStarted { step: 0 }],
            &[Event::Failed { step: 1, why: String::new() }],
            &[closed, Event::Started { step: 0 }],
        ];
        for events in bad {
            assert!(matches!(Journal::parse(&text(events)), Err(JournalError::Order { .. })), "{events:?}");
        }
        let future = text(&[]).replacen("\"format\":1", "\"format\":2", 1);
        assert!(matches!(Journal::parse(&future), Err(JournalError::NoPlan(_))));
    }

    #[test]
    fn samples_of_old_journals_still_parse() {
        let sample = include_str!("../tests/fixtures/journal-1.jsonl");
        let journal = Journal::parse(sample).unwrap().unwrap();
        assert_eq!(journal.closed, Some((Outcome::Done, String::new())));
        assert_eq!(journal.plan.steps.len(), 16);
    }
}
