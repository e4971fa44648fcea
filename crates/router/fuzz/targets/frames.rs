//! Frames of the control socket: a length and that much, or a refusal; never more than was allowed.
#![no_main]
#![allow(dead_code, reason = "the frames are the router's, which uses more of them")]

#[path = "../../src/frame.rs"]
mod frame;

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.build().expect("a runtime without anything can be built")
});
const BYTES_MAX: u32 = 4_096;

fuzz_target!(|bytes: &[u8]| RUNTIME.block_on(async {
    let mut rest = bytes;
    while let Ok(value) = frame::read::<serde_json::Value>(&mut rest, BYTES_MAX).await {
        assert!(value.to_string().len() <= 8 * BYTES_MAX as usize);
        if rest.is_empty() {
            break;
        }
    }
}));
