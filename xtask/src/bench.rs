//! Measuring: what an update costs in room, time and memory, beside what it has to be held to.
//!
//! Separate from the tests because a test must give the same answer on every machine and a measurement cannot. Each
//! part gives records (one JSON object a measurement); they are kept in the cache, and the page is written from them,
//! so that a part can be measured again without the others. What must stay true: nothing that is compared with the
//! engine's work is computed by the engine's code.

pub mod chunks;
pub mod copy;
pub mod delta;
pub mod guest;
pub mod memory;
pub mod page;
pub mod pool;
pub mod records;
pub mod run;
pub mod series;
pub mod state;
