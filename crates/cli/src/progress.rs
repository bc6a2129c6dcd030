//! The story on stderr: a bar on a terminal, plain lines elsewhere, one JSON event a line with `--json`.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use thinroot_engine::progress::{Event, Reporter};

/// How the story is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Not at all.
    Silent,
    /// One bar that is redrawn, and a line for each step that is done.
    Bar,
    /// A line for each step that begins.
    Lines,
    /// Every event as one JSON object on a line.
    Json,
}

impl Form {
    /// The form that suits the options and what stderr is.
    pub fn choose(quiet: bool, json: bool) -> Form {
        match (quiet, json) {
            (true, _) => Form::Silent,
            (false, true) => Form::Json,
            (false, false) if std::io::stderr().is_terminal() => Form::Bar,
            (false, false) => Form::Lines,
        }
    }
}

/// Renders events.
#[derive(Debug)]
pub struct Story {
    form: Form,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    bar: ProgressBar,
    steps: usize,
    text: String,
}

impl Story {
    /// A story in one form.
    pub fn new(form: Form) -> Self {
        // No ticker thread: a thread would stay outside the mount namespace that the program moves into.
        let bar = match form {
            Form::Bar => ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10)),
            Form::Silent | Form::Lines | Form::Json => ProgressBar::hidden(),
        };
        bar.set_style(plain_style());
        Story { form, state: Mutex::new(State { bar, steps: 0, text: String::new() }) }
    }

    /// Takes the bar away, so that the answer stands on a line of its own.
    pub fn end(&self) {
        self.locked().bar.finish_and_clear();
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Reporter for Story {
    fn event(&self, event: Event) {
        let mut state = self.locked();
        match self.form {
            Form::Silent => {}
            Form::Json => say(&serde_json::to_string(&event).expect("events always serialise")),
            Form::Lines => {
                if let Some(line) = state.line(&event) {
                    say(&line);
                }
            }
            Form::Bar => state.draw(event),
        }
    }
}

/// A line on stderr. Nobody can be told where stderr is gone, and the work must go on.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

impl State {
    /// What to say of an event in plain lines.
    fn line(&mut self, event: &Event) -> Option<String> {
        match event {
            Event::Plan { id, steps } => {
                self.steps = *steps;
                Some(format!("plan {id}, {steps} steps"))
            }
            Event::Begin { step, text } => Some(format!("{}{text}", self.count(*step))),
            Event::End { text, .. } if text.is_empty() => None,
            Event::End { text, .. } => Some(format!("      {text}")),
            Event::Progress { .. } => None,
            Event::Note { text } => Some(format!("note: {text}")),
        }
    }

    fn count(&self, step: usize) -> String {
        if step == 0 { String::new() } else { format!("[{step}/{}] ", self.steps) }
    }

    fn draw(&mut self, event: Event) {
        match &event {
            Event::Plan { steps, .. } => self.steps = *steps,
            Event::Begin { step, text } => {
                self.text = format!("{}{text}", self.count(*step));
                self.bar.set_style(plain_style());
                self.bar.unset_length();
                self.bar.set_position(0);
                self.bar.set_message(self.text.clone());
                self.bar.tick();
            }
            Event::Progress { done, total, unit } => {
                // The style first: each of these calls may draw.
                self.bar.set_style(counting_style(*total, unit));
                match total {
                    Some(total) => self.bar.set_length(*total),
                    None => self.bar.unset_length(),
                }
                self.bar.set_position(*done);
            }
            Event::End { text, .. } => {
                let detail = if text.is_empty() { String::new() } else { format!(": {text}") };
                self.bar.set_style(plain_style());
                self.bar.set_message("");
                self.bar.println(format!("{}{detail}", self.text));
            }
            Event::Note { .. } => {
                if let Some(line) = self.line(&event) {
                    self.bar.println(line);
                }
            }
        }
    }
}

fn plain_style() -> ProgressStyle {
    ProgressStyle::with_template("{wide_msg}").expect("a constant template")
}

fn counting_style(total: Option<u64>, unit: &str) -> ProgressStyle {
    let template = match (total, unit) {
        (Some(_), "bytes") => "{wide_msg} [{bar:16}] {binary_bytes} of {binary_total_bytes}",
        (None, "bytes") => "{wide_msg} {binary_bytes}",
        (Some(_), _) => "{wide_msg} [{bar:16}] {pos} of {len}",
        (None, _) => "{wide_msg} {pos}",
    };
    ProgressStyle::with_template(template).expect("a constant template").progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_lines_count_the_steps_and_leave_out_the_small_change() {
        let mut state = State { bar: ProgressBar::hidden(), steps: 0, text: String::new() };
        let events = [
            Event::Begin { step: 0, text: "read image tar:x".into() },
            Event::End { step: 0, text: "node-2-0, 7 paths".into() },
            Event::Plan { id: "1-update-1".into(), steps: 9 },
            Event::Begin { step: 1, text: "create base node-2-0".into() },
            Event::Progress { done: 1, total: None, unit: "bytes" },
            Event::End { step: 1, text: String::new() },
            Event::Note { text: "look".into() },
        ];
        let lines: Vec<String> = events.iter().filter_map(|event| state.line(event)).collect();
        let expected = [
            "read image tar:x",
            "      node-2-0, 7 paths",
            "plan 1-update-1, 9 steps",
            "[1/9] create base node-2-0",
            "note: look",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn the_form_follows_the_options() {
        assert_eq!(Form::choose(true, true), Form::Silent);
        assert_eq!(Form::choose(false, true), Form::Json);
    }

    #[test]
    fn a_bar_that_nobody_sees_takes_every_event() {
        let mut state = State { bar: ProgressBar::hidden(), steps: 2, text: String::new() };
        state.draw(Event::Begin { step: 1, text: "write".into() });
        state.draw(Event::Progress { done: 3, total: Some(9), unit: "bytes" });
        assert_eq!((state.bar.length(), state.bar.position(), state.text.as_str()), (Some(9), 3, "[1/2] write"));
        state.draw(Event::Progress { done: 4, total: None, unit: "paths" });
        assert_eq!((state.bar.length(), state.bar.position()), (None, 4));
    }
}
