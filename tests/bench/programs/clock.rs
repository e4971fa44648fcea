//! Prints when its first instruction ran and, at SIGTERM, when its last one did, in nanoseconds of the wall clock.
//! `clock once` ends by itself.

use std::{
    io::{self, Write},
    time::{SystemTime, UNIX_EPOCH},
};

const SIGTERM: i32 = 15;

unsafe extern "C" {
    fn signal(number: i32, handler: extern "C" fn(i32)) -> usize;
}

fn tell(what: &str) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    println!("{what}-instruction={}", now.as_nanos());
    let _ = io::stdout().flush();
}

// The main thread is parked by then and holds no lock.
extern "C" fn end(_: i32) {
    tell("last");
    std::process::exit(0);
}

fn main() {
    tell("first");
    if std::env::args().nth(1).is_none() {
        // SAFETY: the handler is a function of this program's, and nothing else is going on when it runs.
        unsafe { signal(SIGTERM, end) };
        loop {
            std::thread::park();
        }
    }
}
