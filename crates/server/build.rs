//! Puts the two programs that run beside the server into it: with `RENGA_BUNDLE` naming a directory that holds
//! `renga-dyno` and `renga-build`, they are embedded; without it, `renga` looks for them beside itself.

use std::{env, fs, path::PathBuf};

fn main() {
    println!("cargo:rerun-if-env-changed=RENGA_BUNDLE");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("bundle.rs");
    let mut text = String::new();
    for (constant, program) in [("DYNO", "renga-dyno"), ("BUILD", "renga-build")] {
        let value = match env::var_os("RENGA_BUNDLE") {
            Some(directory) => {
                let file = PathBuf::from(directory).join(program);
                println!("cargo:rerun-if-changed={}", file.display());
                format!("Some(include_bytes!({:?}))", file.canonicalize().expect("RENGA_BUNDLE holds both programs"))
            }
            None => "None".to_owned(),
        };
        text += &format!("pub(crate) const {constant}: Option<&[u8]> = {value};\n");
    }
    fs::write(out, text).expect("OUT_DIR can be written");
}
