//! dyno
