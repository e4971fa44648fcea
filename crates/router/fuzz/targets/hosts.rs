//! Names of hosts: one spelling for the table, whatever the client's.
#![no_main]
#![allow(dead_code, reason = "the code is the router's, and each target uses some of it")]

#[path = "../../src/http/mod.rs"]
mod http;

use http::request::host_name;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|authority: &str| {
    let Some(name) = host_name(authority) else { return };
    assert!((1..=253).contains(&name.len()));
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._[]:".contains(&byte);
    assert!(name.bytes().all(plain), "{name:?}");
    assert!(authority.to_ascii_lowercase().starts_with(&name), "{name:?} was not asked for");
    for same in [name.clone(), authority.to_ascii_uppercase(), format!("{name}:443")] {
        assert_eq!(host_name(&same).as_ref(), Some(&name), "{same:?}");
    }
});
