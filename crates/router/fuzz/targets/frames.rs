//! Frames of the control socket, and the tables in them: the same however they are cut, the ones that lengths and bytes
//! say, never more than was allowed; a
//! table that is understood is understood again when it is written down.
#![no_main]
#![allow(dead_code, reason = "the code is the router's, and each target uses some of it")]

#[path = "../../src/frame.rs"]
mod frame;

use libfuzzer_sys::fuzz_target;
use renga_model::{RouteChange, RouteTable};
use std::sync::LazyLock;
use tokio::io::{AsyncRead, AsyncReadExt};

static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.build().expect("a runtime without anything can be built")
});
/// Below what an input may have, so that some are over it.
const BYTES_MAX: u32 = 1_000;

/// All messages up to the end, or to what is none.
async fn messages(mut from: impl AsyncRead + Unpin) -> (Vec<Vec<u8>>, bool) {
    let mut messages = Vec::new();
    loop {
        match frame::read_bytes(&mut from, BYTES_MAX).await {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => return (messages, true),
            Err(_) => return (messages, false),
        }
    }
}

/// By their lengths. An end within a length is an end between messages, as nobody has said how long the next one is.
fn reference(mut bytes: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let mut messages = Vec::new();
    while let [a, b, c, d, rest @ ..] = bytes {
        let length =
            ((usize::from(*a) * 256 + usize::from(*b)) * 256 + usize::from(*c)) * 256 + usize::from(*d);
        if length > BYTES_MAX as usize || length > rest.len() {
            return (messages, false);
        }
        messages.push(rest[..length].to_vec());
        bytes = &rest[length..];
    }
    (messages, true)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((cut, bytes)) = bytes.split_first() else { return };
    let (first, second) = bytes.split_at(usize::from(*cut).min(bytes.len()));
    let whole = RUNTIME.block_on(messages(bytes));
    assert_eq!(whole, reference(bytes));
    assert_eq!(RUNTIME.block_on(messages(first.chain(second))), whole);
    for message in whole.0 {
        assert!(message.len() <= BYTES_MAX as usize);
        if let Ok(mut table) = serde_json::from_slice::<RouteTable>(&message) {
            let written = serde_json::to_vec(&table).expect("a table can be written");
            assert_eq!(serde_json::from_slice::<RouteTable>(&written).ok().as_ref(), Some(&table));
            table.apply(&RouteChange::default());
        }
        if let Ok(change) = serde_json::from_slice::<RouteChange>(&message) {
            let mut table = RouteTable::default();
            table.apply(&change);
            assert_eq!(table.generation, change.to);
        }
    }
});
