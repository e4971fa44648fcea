//! Puts the two programs that run beside the server into it: with `RENGA_BUNDLE` naming a directory that holds
//! `renga-dyno` and `renga-build`, they are embedded; without it, `renga` looks for them beside itself.
//!
//! Their digests are taken here: `renga` then touches no page of them at a start, unless it has to unpack them.

use std::{env, fs, path::PathBuf};

use sha2::{Digest, Sha256};

fn main() {
    println!("cargo:rerun-if-env-changed=RENGA_BUNDLE");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("bundle.rs");
    let mut text = String::new();
    for (constant, program) in [("DYNO", "renga-dyno"), ("BUILD", "renga-build")] {
        let value = match env::var_os("RENGA_BUNDLE") {
            Some(directory) => {
                let file = PathBuf::from(directory).join(program);
                println!("cargo:rerun-if-changed={}", file.display());
                let file = file.canonicalize().expect("RENGA_BUNDLE holds both programs");
                let digest = Sha256::digest(fs::read(&file).expect("RENGA_BUNDLE can be read"));
                let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("Some(Carried {{ digest: {digest:?}, content: include_bytes!({file:?}) }})")
            }
            None => "None".to_owned(),
        };
        text += &format!("const {constant}: Option<Carried> = {value};\n");
    }
    fs::write(out, text).expect("OUT_DIR can be written");
}
