//! Dynos. Every move is a compare-and-set on the generation, judged by `DynoState::next`.

use std::{collections::BTreeMap, net::SocketAddr};

use jiff::Timestamp;
use renga_model::{
    AppId, AttachClient, Dyno, DynoEvent, DynoId, DynoName, DynoState, Exit, OneOff, Secret, Worker,
};
use rusqlite::params;

use crate::{
    Read, StoreError, Tx,
    row::{Cells, bytes, corrupt, micros, to_json},
};

const SEALED_ENV: &str = "dyno.sealed_env";

impl Read<'_> {
    pub fn dyno_fetch(&self, id: DynoId) -> Result<Dyno, StoreError> {
        self.first("fetch a dyno", "SELECT * FROM dyno WHERE id = ?1", [bytes(id)], dyno)?
            .ok_or(StoreError::not_found("dyno"))
    }

    /// All dynos, each app's by process type, number and age.
    pub fn dyno_list(&self) -> Result<Vec<Dyno>, StoreError> {
        let sql = "SELECT * FROM dyno ORDER BY app, process_type, number, created_at, id";
        self.all("list dynos", sql, [], dyno)
    }

    /// By process type, number and age.
    pub fn dyno_list_for_app(&self, app: AppId) -> Result<Vec<Dyno>, StoreError> {
        let sql = "SELECT * FROM dyno WHERE app = ?1 ORDER BY process_type, number, created_at, id";
        self.all("list an app's dynos", sql, [bytes(app)], dyno)
    }
}

impl Tx<'_> {
    pub fn dyno_insert(&self, dyno: &Dyno) -> Result<(), StoreError> {
        let one_off = match &dyno.worker {
            Worker::OneOff(one_off) => Some(one_off),
            Worker::Formation | Worker::ReleasePhase | Worker::Build => None,
        };
        let exit = dyno.exit.as_ref();
        self.change(
            "insert a dyno",
            "INSERT INTO dyno (id, app, process_type, number, kind, attach_hash, force_no_tty, sealed_env,
                time_to_live_s, release, release_version, size, command, state, generation, epoch, address,
                exit_code, exit_reason, exit_at, created_at, updated_at, client, client_gone_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20,
                ?21, ?22, ?23, ?24)",
            params![
                bytes(dyno.id),
                bytes(dyno.app),
                dyno.name.process_type().as_str(),
                dyno.name.number(),
                kind_word(&dyno.worker),
                one_off.and_then(|o| o.attach_hash.as_deref()),
                one_off.map(|o| o.force_no_tty),
                one_off.map(|o| self.seal_env(dyno.id, &o.env)),
                one_off.and_then(|o| o.time_to_live_s),
                dyno.release.map(bytes),
                dyno.release_version,
                dyno.size,
                dyno.command,
                dyno.state.as_str(),
                dyno.generation,
                dyno.epoch,
                dyno.address.map(|address| address.to_string()),
                exit.map(|exit| exit.code),
                exit.map(|exit| to_json(&exit.reason)),
                exit.map(|exit| micros(exit.at)),
                micros(dyno.created_at),
                micros(dyno.updated_at),
                one_off.and_then(|o| client_word(o.client)),
                one_off.and_then(|o| gone_at(o.client)),
            ],
        )
        .map(drop)
    }

    /// Moves a dyno that is still at `generation`, and answers what it has become. `Stale` if it moved meanwhile,
    /// `IllegalMove` if its state can't take the event.
    pub fn dyno_move(
        &self,
        id: DynoId,
        generation: u64,
        event: DynoEvent,
        now: Timestamp,
    ) -> Result<Dyno, StoreError> {
        let dyno = self.dyno_fetch(id)?;
        if dyno.generation != generation {
            return Err(StoreError::Stale { what: "dyno", id: id.to_string() });
        }
        let state = dyno.state.next(event).map_err(|cause| StoreError::IllegalMove { dyno: id, cause })?;
        self.change_one(
            "move a dyno",
            "dyno",
            "UPDATE dyno SET state = ?2, generation = generation + 1, updated_at = ?3 WHERE id = ?1",
            params![bytes(id), state.as_str(), micros(now)],
        )?;
        self.dyno_fetch(id)
    }

    /// The move `Exit`, with how it ended.
    pub fn dyno_set_exit(
        &self,
        id: DynoId,
        generation: u64,
        exit: &Exit,
        now: Timestamp,
    ) -> Result<Dyno, StoreError> {
        self.dyno_move(id, generation, DynoEvent::Exit, now)?;
        self.change_one(
            "record a dyno's exit",
            "dyno",
            "UPDATE dyno SET exit_code = ?2, exit_reason = ?3, exit_at = ?4 WHERE id = ?1",
            params![bytes(id), exit.code, to_json(&exit.reason), micros(exit.at)],
        )?;
        self.dyno_fetch(id)
    }

    /// Where its port is reached. No transition: the generation stays.
    pub fn dyno_set_address(&self, id: DynoId, address: SocketAddr) -> Result<(), StoreError> {
        let sql = "UPDATE dyno SET address = ?2 WHERE id = ?1";
        self.change_one("set a dyno's address", "dyno", sql, params![bytes(id), address.to_string()])
    }

    /// Where the client of an attached one-off dyno is. Whether it was at `from`; if not, nothing changes. No
    /// transition: the generation stays.
    pub fn dyno_move_client(
        &self,
        id: DynoId,
        from: AttachClient,
        to: AttachClient,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE dyno SET client = ?2, client_gone_at = ?3
                   WHERE id = ?1 AND attach_hash IS NOT NULL AND client IS ?4 AND client_gone_at IS ?5";
        let values = params![bytes(id), client_word(to), gone_at(to), client_word(from), gone_at(from)];
        Ok(self.change("move the client of a dyno", sql, values)? > 0)
    }

    /// Whether there was one.
    pub fn dyno_delete(&self, id: DynoId) -> Result<bool, StoreError> {
        Ok(self.change("delete a dyno", "DELETE FROM dyno WHERE id = ?1", [bytes(id)])? > 0)
    }

    fn seal_env(&self, id: DynoId, env: &BTreeMap<String, Secret>) -> Vec<u8> {
        let plain = serde_json::to_vec(env).expect("an environment has a JSON form");
        self.key.seal(SEALED_ENV, &bytes(id), &plain)
    }
}

fn dyno(c: &Cells<'_>) -> Result<Dyno, StoreError> {
    let id = c.id("id")?;
    Ok(Dyno {
        id,
        app: c.id("app")?,
        name: DynoName::new(c.name("process_type")?, c.get("number")?),
        worker: worker(c, id)?,
        release: c.id_opt("release")?,
        release_version: c.get("release_version")?,
        size: c.get("size")?,
        command: c.get("command")?,
        state: c.state("state", DynoState::parse)?,
        generation: c.get("generation")?,
        epoch: c.get("epoch")?,
        address: address(c)?,
        exit: exit(c)?,
        created_at: c.time("created_at")?,
        updated_at: c.time("updated_at")?,
    })
}

fn worker(c: &Cells<'_>, id: DynoId) -> Result<Worker, StoreError> {
    match c.get::<String>("kind")?.as_str() {
        "formation" => Ok(Worker::Formation),
        "release_phase" => Ok(Worker::ReleasePhase),
        "build" => Ok(Worker::Build),
        "one_off" => Ok(Worker::OneOff(OneOff {
            attach_hash: c.get("attach_hash")?,
            client: client(c)?,
            force_no_tty: c.get("force_no_tty")?,
            env: c.sealed("sealed_env", SEALED_ENV, &bytes(id))?,
            time_to_live_s: c.get("time_to_live_s")?,
        })),
        _ => Err(corrupt("kind", "unknown word")),
    }
}

fn client(c: &Cells<'_>) -> Result<AttachClient, StoreError> {
    let word: Option<String> = c.get("client")?;
    match (word.as_deref(), c.time_opt("client_gone_at")?) {
        (None, None) => Ok(AttachClient::Awaited),
        (Some("connected"), None) => Ok(AttachClient::Connected),
        (Some("gone"), Some(at)) => Ok(AttachClient::Gone(at)),
        (Some("outlived"), None) => Ok(AttachClient::Outlived),
        _ => Err(corrupt("client", "unknown word, or one that does not go with the time")),
    }
}

fn client_word(client: AttachClient) -> Option<&'static str> {
    match client {
        AttachClient::Awaited => None,
        AttachClient::Connected => Some("connected"),
        AttachClient::Gone(_) => Some("gone"),
        AttachClient::Outlived => Some("outlived"),
    }
}

fn gone_at(client: AttachClient) -> Option<i64> {
    match client {
        AttachClient::Gone(at) => Some(micros(at)),
        AttachClient::Awaited | AttachClient::Connected | AttachClient::Outlived => None,
    }
}

fn kind_word(worker: &Worker) -> &'static str {
    match worker {
        Worker::Formation => "formation",
        Worker::OneOff(_) => "one_off",
        Worker::ReleasePhase => "release_phase",
        Worker::Build => "build",
    }
}

fn address(c: &Cells<'_>) -> Result<Option<SocketAddr>, StoreError> {
    let text: Option<String> = c.get("address")?;
    text.map(|text| text.parse()).transpose().map_err(|error| corrupt("address", error))
}

fn exit(c: &Cells<'_>) -> Result<Option<Exit>, StoreError> {
    let (Some(code), Some(reason), Some(at)) =
        (c.get("exit_code")?, c.json_opt("exit_reason")?, c.time_opt("exit_at")?)
    else {
        return Ok(None);
    };
    Ok(Some(Exit::new(code, reason, at)))
}
