//! Prints when its first instruction ran, in nanoseconds of the wall clock, and waits to be ended. `clock once` ends.

use std::time::{SystemTime, UNIX_EPOCH};

fn main() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    println!("first-instruction={}", now.as_nanos());
    if std::env::args().nth(1).is_none() {
        loop {
            std::thread::park();
        }
    }
}
