//! State: how a layer differs from its base, and what of it the next layer gets.
//!
//! Separate because it is the one part of an update that decides over things a person made. Everything here is a pure
//! function of values; reading the trees and writing the result is the engine's.

pub mod text;
