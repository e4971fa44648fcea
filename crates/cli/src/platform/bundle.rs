//! One file of trusted certificates for programs that take only one: what was trusted before, and the platform's CA.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{Environment, errors::Failure};

/// The file for a variable that names one bundle (`NODE_EXTRA_CA_CERTS`, `GIT_SSL_CAINFO`). If it is not set it is the
/// CA itself; otherwise both are merged into the cache directory, and nothing that was trusted before is lost.
pub(crate) fn trust_bundle(
    ca: &Path,
    variable: &str,
    git_host: &str,
    env: &Environment,
) -> Result<PathBuf, Failure> {
    let failed = |file: &Path, cause| Failure::TrustBundle { file: file.to_owned(), cause };
    let ours = fs::read_to_string(ca).map_err(|cause| failed(ca, cause))?;
    let Some(existing) = env.path(variable).filter(|path| path != ca) else {
        return Ok(ca.to_owned());
    };
    // What is set and can't be read is no loss.
    let Ok(theirs) = fs::read_to_string(&existing) else { return Ok(ca.to_owned()) };
    if theirs.contains(ours.trim()) {
        return Ok(existing);
    }
    let theirs = without_earlier(&theirs, &ours);
    let folder = env
        .cache_dir()
        .ok_or_else(|| failed(ca, io::Error::other("neither HOME nor XDG_CACHE_HOME is set")))?;
    let plain = |text: &str| text.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let file = folder.join(format!("{}-{}.pem", plain(variable), plain(git_host)));
    let merged = format!("{}\n{}\n", theirs.trim_end(), ours.trim_end());
    write_if_changed(&file, &merged).map_err(|cause| failed(&file, cause))?;
    Ok(file)
}

/// What begins with a comment is made anew now and then, under the same one; we always stand last.
fn without_earlier<'a>(theirs: &'a str, ours: &str) -> &'a str {
    let mark = ours.lines().next().filter(|line| line.starts_with('#'));
    mark.and_then(|mark| theirs.split_once(mark)).map_or(theirs, |(before, _)| before)
}

/// Whole or not at all: another shell may be reading it.
pub(crate) fn write_if_changed(file: &Path, content: &str) -> io::Result<()> {
    if fs::read_to_string(file).is_ok_and(|present| present == content) {
        return Ok(());
    }
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let fresh = file.with_extension(format!("new-{}", std::process::id()));
    fs::write(&fresh, content)?;
    fs::rename(&fresh, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_trusted_stays_trusted() {
        let dir = tempfile::tempdir().unwrap();
        let (ca, corporate) = (dir.path().join("ca.pem"), dir.path().join("corporate.pem"));
        fs::write(&ca, "OURS\n").unwrap();
        fs::write(&corporate, "THEIRS").unwrap();
        let home = dir.path().to_str().unwrap();
        let merged = |extra: &str| {
            let env = Environment::from([("HOME", home), ("NODE_EXTRA_CA_CERTS", extra)]);
            trust_bundle(&ca, "NODE_EXTRA_CA_CERTS", "localhost:4443", &env).unwrap()
        };
        assert_eq!(merged(""), ca);
        assert_eq!(merged("/does/not/exist"), ca);
        let file = merged(corporate.to_str().unwrap());
        assert_eq!(file, dir.path().join(".cache/renga/node-extra-ca-certs-localhost-4443.pem"));
        assert_eq!(fs::read_to_string(&file).unwrap(), "THEIRS\nOURS\n");
        // A shell within the shell keeps what it has.
        assert_eq!(merged(file.to_str().unwrap()), file);
        // What is made anew takes the place of what it was.
        for name in ["# ours 1\nONE\n", "# ours 1\nTWO\n"] {
            fs::write(&ca, name).unwrap();
            merged(file.to_str().unwrap());
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "THEIRS\nOURS\n# ours 1\nTWO\n");
    }
}
