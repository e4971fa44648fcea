//! The ledger from outside: real files, threads and processes.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod access;
mod across;
mod commit;
mod expiry;
mod fate;
mod fixture;
mod kill;
mod ledger;
mod nouns;
mod opening;
