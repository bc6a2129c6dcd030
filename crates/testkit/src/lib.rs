//! Strict simulated host, fault points, builders and conformance suites for thinroot's tests.

pub mod bench;
pub mod conformance;
pub mod images;
pub mod lab;
pub mod scratch;
pub mod sim;
pub mod trees;
pub mod volume;
pub mod world;
