//! A process inside a dyno that runs: `renga ps:exec`, `heroku run:inside`.

use std::{collections::BTreeMap, time::Duration};

use renga_model::{Account, App, ConfigKey, Dyno, DynoKind, DynoState, Refusal, Secret};
use renga_ports::{ExecSpec, RuntimeError};
use renga_store::OrNone;
use tokio::time::Instant;

use super::{
    dynos::find,
    one_offs::{fresh_secret, hash_text},
};
use crate::{Engine, ExecSession, error, loops::sleep::wake, spec, words};

/// Bytes of the command and of its environment together: both travel in one frame.
const BYTES_MAX: usize = 16 * 1024;
/// A thaw takes milliseconds, unless the node is away.
const THAW_TIMEOUT: Duration = Duration::from_secs(10);
const THAW_LOOK: Duration = Duration::from_millis(10);

#[derive(Debug, Clone, Default)]
pub struct ExecNew {
    pub command: String,
    pub env: BTreeMap<String, Secret>,
    pub force_no_tty: bool,
}

impl Engine {
    /// It begins at once and waits for its client, as long as an attached one-off dyno does. The secret opens the
    /// rendezvous, once; it is shown here for the only time.
    pub async fn exec_create(
        &self,
        app: &App,
        actor: &Account,
        identity: &str,
        new: ExecNew,
    ) -> Result<(Dyno, Secret), Refusal> {
        check(&new)?;
        let (app_id, identity) = (app.id, identity.to_owned());
        let dyno = self.store.read(move |read| find(read, app_id, &identity)).await?;
        let dyno = self.thawed(dyno).await?;
        check_runs(&dyno)?;
        if !self.execs.has_room() {
            return Err(Refusal::invalid(
                "Too many processes wait for their clients. Try again in a minute.",
            ));
        }
        let tty = (!new.force_no_tty).then(|| spec::window(&new.env));
        let terminal = new.env.contains_key("COLUMNS");
        let order = ExecSpec { argv: spec::exec_argv(&new.command), env: new.env, tty };
        let session = self.runtime.exec(dyno.id, order).await.map_err(|failed| match failed {
            RuntimeError::NotFound(_) => not_running(&dyno),
            RuntimeError::Refused(why) => Refusal::invalid(why),
            other => error::runtime(other),
        })?;
        let now = self.now();
        self.logs
            .write(app.id, words::heroku(now, &dyno.name, words::exec_started(&new.command, &actor.email)));
        let secret = fresh_secret();
        let exec =
            ExecSession { app: app.id, dyno: dyno.name.clone(), tty: tty.is_some(), terminal, session };
        self.execs.put(hash_text(secret.expose()), now, exec);
        Ok((dyno, secret))
    }

    /// One that is frozen wakes with its app, as for a request.
    async fn thawed(&self, mut dyno: Dyno) -> Result<Dyno, Refusal> {
        if dyno.state != DynoState::Frozen {
            return Ok(dyno);
        }
        wake(self, [dyno.app].into()).await?;
        let deadline = Instant::now() + THAW_TIMEOUT;
        while dyno.state == DynoState::Frozen && Instant::now() < deadline {
            tokio::time::sleep(THAW_LOOK).await;
            let id = dyno.id;
            let row =
                self.store.read(move |read| read.dyno_fetch(id).or_none().map_err(error::store)).await?;
            dyno = row.ok_or_else(|| not_running(&dyno))?;
        }
        Ok(dyno)
    }

    /// The process that a rendezvous secret opens, for whoever comes first.
    pub fn exec_by_secret(&self, secret: &str) -> Option<ExecSession> {
        self.execs.drop_stale(self.now());
        self.execs.take(&hash_text(secret))
    }

    /// The session is over: with the process's code, or because its client has gone.
    pub async fn exec_ended(
        &self,
        app: renga_model::AppId,
        dyno: &renga_model::DynoName,
        code: Option<i32>,
    ) -> Result<(), Refusal> {
        let line = words::heroku(self.now(), dyno, words::exec_ended(code));
        self.store.write(move |tx| tx.say(app, &line).map_err(error::store)).await
    }
}

fn check(new: &ExecNew) -> Result<(), Refusal> {
    if new.command.trim().is_empty() {
        return Err(Refusal::invalid("The command must not be empty."));
    }
    let mut bytes = new.command.len();
    for (key, value) in &new.env {
        key.parse::<ConfigKey>()?;
        bytes += key.len() + value.expose().len();
    }
    if bytes > BYTES_MAX {
        let most = BYTES_MAX / 1024;
        let text =
            format!("A command inside a dyno and its environment may have at most {most} KB together.");
        return Err(Refusal::invalid(text));
    }
    if new.command.contains('\0') || new.env.values().any(|value| value.expose().contains('\0')) {
        return Err(Refusal::invalid("Neither the command nor its environment may contain a NUL byte."));
    }
    Ok(())
}

fn check_runs(dyno: &Dyno) -> Result<(), Refusal> {
    let runs = matches!(dyno.state, DynoState::Starting | DynoState::Up);
    let known = matches!(dyno.worker.kind(), DynoKind::Formation | DynoKind::OneOff);
    if runs && known { Ok(()) } else { Err(not_running(dyno)) }
}

fn not_running(dyno: &Dyno) -> Refusal {
    Refusal::invalid(format!("{} does not run now. `ps` shows which dynos do.", dyno.name))
}
