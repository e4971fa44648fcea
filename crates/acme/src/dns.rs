//! The operator's program that writes DNS records: an argument vector, never a shell.
//!
//! `PROGRAM [ARGUMENT...] present|cleanup RECORD VALUE`, the same three in `RENGA_ACME_ACTION`, `RENGA_ACME_RECORD` and
//! `RENGA_ACME_VALUE`. It ends well when the record is in place; it is not asked for again while it runs.

use std::process::Stdio;

use renga_model::Hostname;
use renga_ports::{AcmeError, DnsAction};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::{Child, Command},
};

use crate::{config::Config, words::one_line};

/// What is kept of what the program says when it fails; the rest is read and dropped (ours).
const COMPLAINT_BYTES_MAX: u64 = 4 * 1024;

/// Where the proof of a name belongs. A wildcard is proven at what it stands below.
pub(crate) fn record_name(name: &Hostname) -> String {
    format!("_acme-challenge.{}", name.as_str().trim_start_matches("*."))
}

pub(crate) async fn run(
    config: &Config,
    action: DnsAction,
    record: &str,
    value: &str,
) -> Result<(), AcmeError> {
    let Some((program, arguments)) = config.dns_hook.split_first() else {
        return Err(AcmeError::Dns(
            "This platform has no program that writes DNS records (acme.dns_hook).".into(),
        ));
    };
    let action = match action {
        DnsAction::Present => "present",
        DnsAction::Cleanup => "cleanup",
    };
    let child = Command::new(program)
        .args(arguments)
        .args([action, record, value])
        .envs([("RENGA_ACME_ACTION", action), ("RENGA_ACME_RECORD", record), ("RENGA_ACME_VALUE", value)])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    let shown = program.display();
    let mut child =
        child.map_err(|error| AcmeError::Dns(format!("{shown} could not be started: {error}.")))?;
    let group = Group::of(&child);
    let complaint = child.stderr.take();
    let ended = async { tokio::join!(child.wait(), read(complaint)) };
    let ended = tokio::time::timeout(config.dns_timeout, ended).await;
    drop(group);
    match ended {
        Ok((Ok(status), _)) if status.success() => Ok(()),
        Ok((Ok(status), said)) => Err(AcmeError::Dns(format!(
            "{shown} could not {action} the DNS record {record}: {status}{}.",
            if said.is_empty() { String::new() } else { format!(": {said}") }
        ))),
        Ok((Err(error), _)) => Err(AcmeError::Dns(format!("{shown} got lost: {error}."))),
        Err(_) => {
            let seconds = config.dns_timeout.as_secs();
            Err(AcmeError::Dns(format!(
                "{shown} did not {action} the DNS record {record} within {seconds} s."
            )))
        }
    }
}

async fn read(stream: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut stream) = stream else { return String::new() };
    let mut kept = Vec::new();
    let all = async {
        (&mut stream).take(COMPLAINT_BYTES_MAX).read_to_end(&mut kept).await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    };
    // Whatever came before it broke off.
    drop(all.await);
    one_line(&String::from_utf8_lossy(&kept))
}

/// The program and what it started, all of which end with the call.
struct Group(Option<rustix::process::Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let pid = child.id().and_then(|id| i32::try_from(id).ok());
        Self(pid.and_then(rustix::process::Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Nobody is left in it, as a rule.
            rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

    use super::*;

    fn config(folder: &Path, script: &str) -> Config {
        let program = folder.join("hook");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        Config {
            directory: "https://127.0.0.1/dir".into(),
            email: None,
            ca_pem: None,
            proxy: None,
            binding: None,
            dns_hook: vec![program, "a first argument".into()],
            dns_timeout: Duration::from_secs(20),
        }
    }

    #[tokio::test]
    async fn the_program_gets_its_words_as_arguments_and_in_its_environment() {
        let folder = tempfile::tempdir().unwrap();
        let script = "printf '%s|' \"$@\" \"$RENGA_ACME_ACTION\" \"$RENGA_ACME_RECORD\" \"$RENGA_ACME_VALUE\" >\"$0.said\"";
        let config = config(folder.path(), script);
        let record = record_name(&"*.example.com".parse().unwrap());
        run(&config, DnsAction::Present, &record, "v; touch $(x)").await.unwrap();
        let said = std::fs::read_to_string(folder.path().join("hook.said")).unwrap();
        let three = "present|_acme-challenge.example.com|v; touch $(x)|";
        assert_eq!(said, format!("a first argument|{three}{three}"));
    }

    #[tokio::test]
    async fn what_the_program_says_of_its_failure_is_passed_on_and_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), "echo 'no such zone' >&2; yes | head -c 1000000 >&2; exit 3");
        let Err(AcmeError::Dns(say)) = run(&config, DnsAction::Cleanup, "r", "v").await else { panic!() };
        assert!(say.contains("could not cleanup the DNS record r: exit status: 3: no such zone"), "{say}");
        assert!(say.len() < 1_000, "{}", say.len());
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_ended_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(folder.path(), "sleep 1000 & echo $! >\"$0.pid\"; wait");
        config.dns_timeout = Duration::from_millis(500);
        let Err(AcmeError::Dns(say)) = run(&config, DnsAction::Present, "r", "v").await else { panic!() };
        assert!(say.contains("did not present the DNS record r"), "{say}");
        let pid = std::fs::read_to_string(folder.path().join("hook.pid")).unwrap();
        let state = || std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        let end = std::time::Instant::now() + Duration::from_secs(10);
        while !state().is_empty() && !state().contains(") Z ") {
            assert!(std::time::Instant::now() < end, "it still runs");
            tokio::task::yield_now().await;
        }
    }
}
