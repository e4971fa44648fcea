//! Dynos as users see and touch them: listed, restarted, stopped.

use jiff::Timestamp;
use renga_model::{
    AppId, Dyno, DynoEvent, DynoId, DynoKind, DynoName, DynoState, Fault, ProcessType, Refusal, Worker,
};
use renga_store::{Read, Tx};

use crate::Engine;

impl Engine {
    /// Those that a user may ask about: no builds, and of two dynos of one name the one that came later.
    pub async fn dyno_list(&self, app: AppId) -> Result<Vec<Dyno>, Refusal> {
        self.store.read(move |read| visible(read, app)).await
    }

    /// By name (`web.1`) or id.
    pub async fn dyno_fetch(&self, app: AppId, identity: &str) -> Result<Dyno, Refusal> {
        let identity = identity.to_owned();
        self.store.read(move |read| find(read, app, &identity)).await
    }

    /// Every dyno of the formation is replaced, by the rules of the planner.
    pub async fn dynos_restart_all(&self, app: AppId) -> Result<(), Refusal> {
        let now = self.now();
        self.store.write(move |tx| raise_epochs(tx, app, None, now).map(drop)).await?;
        self.wake.formation(app);
        Ok(())
    }

    pub async fn dynos_restart_type(&self, app: AppId, process_type: &str) -> Result<(), Refusal> {
        let now = self.now();
        let process_type: ProcessType = process_type.parse().map_err(|_| no_such_type())?;
        let raise = self.store.write(move |tx| -> Result<(), Refusal> {
            match raise_epochs(tx, app, Some(&process_type), now)? {
                0 => Err(no_such_type()),
                _ => Ok(()),
            }
        });
        raise.await?;
        self.wake.formation(app);
        Ok(())
    }

    /// A dyno that is the only one of its type is replaced with a new one first; one of several is stopped, the others
    /// serve, and the formation starts it again.
    pub async fn dyno_restart(&self, app: AppId, identity: &str) -> Result<(), Refusal> {
        let (identity, now) = (identity.to_owned(), self.now());
        let restart = self.store.write(move |tx| -> Result<Option<DynoId>, Refusal> {
            let dyno = find(tx, app, &identity)?;
            if dyno.worker.kind() != DynoKind::Formation {
                return ask(tx, &dyno, now);
            }
            let formation = tx.formation_list(app)?;
            let row = formation.iter().find(|row| row.process_type == *dyno.name.process_type());
            // Crashed, or asleep: then all of its type come.
            match row {
                Some(row) if row.quantity <= 1 || !is_up(&dyno) => {
                    raise_epochs(tx, app, Some(&row.process_type), now).map(|_| None)
                }
                _ => ask(tx, &dyno, now),
            }
        });
        self.asked_for(app, restart.await?);
        Ok(())
    }

    /// The dyno ends; one of the formation comes again, a one-off does not.
    pub async fn dyno_stop(&self, app: AppId, identity: &str) -> Result<(), Refusal> {
        let (identity, now) = (identity.to_owned(), self.now());
        let stop = self.store.write(move |tx| -> Result<Option<DynoId>, Refusal> {
            let dyno = find(tx, app, &identity)?;
            ask(tx, &dyno, now)
        });
        self.asked_for(app, stop.await?);
        Ok(())
    }

    pub async fn dynos_stop_type(&self, app: AppId, process_type: &str) -> Result<(), Refusal> {
        let now = self.now();
        let process_type: ProcessType = process_type.parse().map_err(|_| no_such_type())?;
        let stop = self.store.write(move |tx| -> Result<Vec<DynoId>, Refusal> {
            let mut dynos = visible(tx, app)?;
            dynos.retain(|dyno| *dyno.name.process_type() == process_type);
            if dynos.is_empty() && !tx.formation_list(app)?.iter().any(|row| row.process_type == process_type)
            {
                return Err(no_such_type());
            }
            let mut one_offs = Vec::new();
            for dyno in dynos {
                one_offs.extend(ask(tx, &dyno, now)?);
            }
            Ok(one_offs)
        });
        for one_off in stop.await? {
            self.asked_for(app, Some(one_off));
        }
        self.asked_for(app, None);
        Ok(())
    }

    fn asked_for(&self, app: AppId, one_off: Option<DynoId>) {
        match one_off {
            Some(dyno) => self.wake.one_off(dyno),
            None => {
                self.wake.formation(app);
                self.wake.routes();
            }
        }
    }
}

fn no_such_type() -> Refusal {
    Refusal::new(Fault::NotFound("formation"), "Couldn't find that process type.")
}

pub(super) fn visible(read: &Read<'_>, app: AppId) -> Result<Vec<Dyno>, Refusal> {
    let mut shown: Vec<Dyno> = Vec::new();
    // Sorted by name and age: a later one takes the place of an earlier one, unless it is the one that leaves.
    for dyno in read.dyno_list_for_app(app)? {
        let over = dyno.state == DynoState::Exited;
        if dyno.worker == Worker::Build || over && dyno.worker.kind() != DynoKind::Formation {
            continue;
        }
        match shown.last_mut().filter(|last| last.name == dyno.name) {
            Some(last) if leaves(&dyno) && !leaves(last) => {}
            Some(last) => *last = dyno,
            None => shown.push(dyno),
        }
    }
    Ok(shown)
}

fn is_up(dyno: &Dyno) -> bool {
    !matches!(dyno.state, DynoState::Frozen | DynoState::Exited)
}

fn leaves(dyno: &Dyno) -> bool {
    matches!(dyno.state, DynoState::Stopping | DynoState::Exited)
}

pub(super) fn find(read: &Read<'_>, app: AppId, identity: &str) -> Result<Dyno, Refusal> {
    let (id, name) = (identity.parse::<DynoId>().ok(), identity.parse::<DynoName>().ok());
    let fits = |dyno: &Dyno| Some(dyno.id) == id || Some(&dyno.name) == name.as_ref();
    visible(read, app)?.into_iter().find(fits).ok_or_else(|| Refusal::not_found("dyno"))
}

/// Raises the epochs of one type or of all, and forgets their crashes; an app that sleeps wakes. How many there were.
fn raise_epochs(
    tx: &Tx<'_>,
    app: AppId,
    only: Option<&ProcessType>,
    now: Timestamp,
) -> Result<usize, Refusal> {
    let mut rows = tx.formation_list(app)?;
    rows.retain(|row| only.is_none_or(|only| row.process_type == *only));
    for row in &mut rows {
        row.epoch += 1;
        row.updated_at = now;
        tx.formation_put(row)?;
    }
    tx.slot_clear(app, only)?;
    tx.sleep_end(app, now)?;
    Ok(rows.len())
}

/// Wishes a dyno gone. The id of a one-off, whose loop must be woken by name.
fn ask(tx: &Tx<'_>, dyno: &Dyno, now: Timestamp) -> Result<Option<DynoId>, Refusal> {
    if !leaves(dyno) {
        tx.dyno_move(dyno.id, dyno.generation, DynoEvent::Ask, now)?;
    }
    Ok(matches!(dyno.worker, Worker::OneOff(_)).then_some(dyno.id))
}
