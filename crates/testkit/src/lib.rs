//! Strict simulated host, fault points, builders and conformance suites for thinroot's tests.

pub mod images;
