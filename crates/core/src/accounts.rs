//! The account files of a host, merged as one set: passwd, group, shadow, gshadow, subuid and subgid.
//!
//! Separate from the merge of texts because the six say the same people in several places, and because two appended lines
//! are no conflict here. Must stay true:
//!
//! - by name and by field; everybody who can log in here can log in after it, with the same password and the same number;
//! - a password never comes from an image: an account that the image brings is locked until somebody sets one;
//! - whoever has an entry in passwd that refers to shadow has one there, and likewise for groups;
//! - what only one side changed comes out byte for byte as that side has it.
//!
//! Nothing here says a password: what lost is named by account and field.

mod merge;
mod table;

pub use merge::{Merged, merge};

/// The files of a set, in the order of [`Files`].
pub const PATHS: [&str; 6] = ["etc/passwd", "etc/group", "etc/shadow", "etc/gshadow", "etc/subuid", "etc/subgid"];

/// The texts of one tree; none where it has no such file.
pub type Files = [Option<Vec<u8>>; 6];

const PASSWD: usize = 0;
const GROUP: usize = 1;
const SHADOW: usize = 2;
const GSHADOW: usize = 3;
const SUBUID: usize = 4;
const SUBGID: usize = 5;
