//! Fault points: where the crash suite may pull the plug.
//!
//! Every effect on a host passes [`point`] just before and just after it happens. Without the `faults` feature the
//! function is empty. With it, the environment variable `THINROOT_FAULT` or [`arm`] selects one point by number, and
//! what happens there:
//!
//! - in the same process ([`arm`]): the point returns [`ErrorKind::PowerCut`](crate::error::ErrorKind::PowerCut), which
//!   everything hands up without cleaning anything up;
//! - `THINROOT_FAULT=kill:N`: the process sends itself SIGKILL at point N;
//! - `THINROOT_FAULT=cut:N`: the machine is switched off without a sync (sysrq `o`; only inside a test kernel);
//! - `THINROOT_FAULT=list`: each point is printed to stderr as `fault N NAME` and nothing else happens.

#[cfg(feature = "faults")]
pub use on::{arm, disarm, passed};

use crate::error::Result;

/// Passes a fault point. `name` says which effect is about to happen or has just happened.
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub fn point(_name: &str) -> Result<()> {
    Ok(())
}

/// Passes a fault point. `name` says which effect is about to happen or has just happened.
#[cfg(feature = "faults")]
pub fn point(name: &str) -> Result<()> {
    on::point(name)
}

#[cfg(feature = "faults")]
mod on {
    use std::cell::Cell;
    use std::sync::atomic::{AtomicU64, Ordering};

    use crate::error::{Error, ErrorKind, Result};

    // In-process faults are per thread, so that tests can run side by side.
    thread_local! {
        static COUNT: Cell<u64> = const { Cell::new(0) };
        static ARMED: Cell<Option<u64>> = const { Cell::new(None) };
    }
    static PROCESS_COUNT: AtomicU64 = AtomicU64::new(0);

    /// Arms the `n`-th point from now (0 is the next) on this thread and restarts counting.
    pub fn arm(n: u64) {
        COUNT.set(0);
        ARMED.set(Some(n));
    }

    /// Disarms and restarts counting.
    pub fn disarm() {
        COUNT.set(0);
        ARMED.set(None);
    }

    /// How many points this thread has passed since [`arm`] or [`disarm`].
    pub fn passed() -> u64 {
        COUNT.get()
    }

    pub(super) fn point(name: &str) -> Result<()> {
        let here = COUNT.get();
        COUNT.set(here + 1);
        // Once the plug is pulled it stays pulled: every later effect fails too.
        if ARMED.get().is_some_and(|armed| here >= armed) {
            return Err(Error::new(ErrorKind::PowerCut, name, "the crash suite cut the power here"));
        }
        let Ok(wish) = std::env::var("THINROOT_FAULT") else { return Ok(()) };
        let here = PROCESS_COUNT.fetch_add(1, Ordering::SeqCst);
        match wish.split_once(':') {
            Some(("kill", n)) if n.parse() == Ok(here) => {
                // A process cannot refuse SIGKILL, so this does not return.
                let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            }
            Some(("cut", n)) if n.parse() == Ok(here) => {
                // Powers the test kernel off at once; nothing is synced.
                let _ = std::fs::write("/proc/sysrq-trigger", "o");
                loop {
                    std::thread::park();
                }
            }
            Some(_) => {}
            None if wish == "list" => eprintln!("fault {here} {name}"),
            None => {}
        }
        Ok(())
    }
}
