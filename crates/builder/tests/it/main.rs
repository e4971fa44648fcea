//! Builds on the builder's own boundary: a request in, a log and a result out.
//!
//! Most run on this machine, with all places below a temporary directory. Those whose names begin with `real_` run
//! `renga-build` inside a stack, as an unprivileged user in namespaces of its own; they need root, the network, and
//! `RENGA_TEST_STACK`: the path of an unpacked stack or of its tar file.

#![allow(clippy::unwrap_used, reason = "a test that can't go on says where")]

mod external;
mod hands;
mod local;
mod real;
mod server;
