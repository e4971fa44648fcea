//! Simulated dynos: they are ready at once, end when told, and leave what a build would leave.

use std::{net::SocketAddr, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use renga_model::{DynoId, DynoKind, Exit, ExitReason, LayerDigest};
use renga_ports::{
    AttachSession, Capacity, Clock, DynoPhase, DynoReport, DynoSpec, DynoUsage, ExecSpec, LayerInfo,
    PackedLayer, Runtime, RuntimeError,
};

use super::{
    Faults, World,
    faults::call,
    state::{SimDyno, State},
};

/// How long `changed` waits when nothing does.
const CHANGED_WAIT: Duration = Duration::from_millis(200);
const LAYER_BYTES: u64 = 4096;

#[derive(Debug)]
pub struct WorldRuntime {
    pub(crate) world: World,
    pub(crate) faults: Faults,
}

pub(crate) fn away() -> RuntimeError {
    RuntimeError::Away("simulated".into())
}

impl WorldRuntime {
    fn start_now(&self, spec: DynoSpec) -> Result<(), RuntimeError> {
        let now = self.world.0.clock.now();
        let mut state = self.world.state();
        if state.node.refuses()? {
            return Ok(());
        }
        if !state.dynos.contains_key(&spec.id) {
            let phase = first_phase(&state, &spec, now);
            state.dynos.insert(spec.id, SimDyno { spec, phase, started_at: now, frozen: false });
            state.most_at_once = state.most_at_once.max(state.running());
        }
        drop(state);
        self.world.tell_change();
        Ok(())
    }

    fn stop_now(&self, dyno: DynoId, grace: Duration) -> Result<(), RuntimeError> {
        let at = self.world.0.clock.now();
        let mut state = self.world.state();
        if state.node.refuses()? {
            return Ok(());
        }
        let routed = state.table.apps.iter().flat_map(|app| &app.dynos).any(|route| route.id == dyno);
        if let Some(dyno) = state.dynos.get_mut(&dyno)
            && !matches!(dyno.phase, DynoPhase::Exited(_))
        {
            dyno.phase = DynoPhase::Exited(Exit::new(143, ExitReason::Exited, at));
            dyno.frozen = false;
            if routed && !grace.is_zero() {
                let complaint = format!("{} was asked to end while requests went to it", dyno.spec.name);
                state.complaints.push(complaint);
            }
        }
        drop(state);
        self.world.tell_change();
        Ok(())
    }

    fn freeze_now(&self, dyno: DynoId) -> Result<(), RuntimeError> {
        let mut state = self.world.state();
        if state.node.refuses()? {
            return Ok(());
        }
        if state.cannot_freeze {
            return Err(RuntimeError::Refused("simulated".into()));
        }
        let routed = state.table.apps.iter().flat_map(|app| &app.dynos).any(|route| route.id == dyno);
        let busy = state.busy.contains(&dyno);
        let Some(sim) = state.dynos.get_mut(&dyno).filter(|dyno| dyno.phase == DynoPhase::Ready) else {
            return Err(RuntimeError::NotFound(dyno.to_string()));
        };
        sim.frozen = true;
        if routed || busy {
            let complaint = format!("{} was frozen while requests went to it", sim.spec.name);
            state.complaints.push(complaint);
        }
        Ok(())
    }

    fn thaw_now(&self, dyno: DynoId) -> Result<(), RuntimeError> {
        let mut state = self.world.state();
        if state.node.refuses()? {
            return Ok(());
        }
        match state.dynos.get_mut(&dyno) {
            Some(dyno) => dyno.frozen = false,
            None => return Err(RuntimeError::NotFound(dyno.to_string())),
        }
        Ok(())
    }

    fn forget_now(&self, dyno: DynoId) -> Result<(), RuntimeError> {
        let mut state = self.world.state();
        if state.node.refuses()? {
            return Ok(());
        }
        match state.dynos.get(&dyno).map(|dyno| &dyno.phase) {
            None => Err(RuntimeError::NotFound(dyno.to_string())),
            Some(DynoPhase::Exited(_)) => {
                state.dynos.remove(&dyno);
                Ok(())
            }
            Some(_) => Err(RuntimeError::Refused(format!("dyno {dyno} runs"))),
        }
    }

    /// A digest that depends on who left the directory and which it is.
    fn pack_now(&self, dyno: DynoId, directory: &str) -> Result<PackedLayer, RuntimeError> {
        let mut state = self.world.state();
        state.node.answers()?;
        if !state.dynos.get(&dyno).is_some_and(|dyno| matches!(dyno.phase, DynoPhase::Exited(_))) {
            return Err(RuntimeError::Refused(format!("dyno {dyno} has not exited")));
        }
        let seed =
            directory.bytes().fold(dyno.uuid().as_u128(), |sum, byte| sum.rotate_left(5) ^ u128::from(byte));
        let digest: LayerDigest = format!("{seed:032x}{seed:032x}").parse().expect("64 hex digits");
        state.layers.insert(digest.clone(), self.world.clock().now());
        Ok(PackedLayer { digest, bytes: LAYER_BYTES })
    }
}

fn first_phase(state: &State, spec: &DynoSpec, at: jiff::Timestamp) -> DynoPhase {
    let exited = |code| DynoPhase::Exited(Exit::new(code, ExitReason::Exited, at));
    let command = spec.argv.last().map(String::as_str).unwrap_or_default();
    if spec.kind == DynoKind::Build {
        state.builds.code.map_or(DynoPhase::Ready, exited)
    } else if let Some(code) = state.exits.get(command) {
        exited(*code)
    } else if state.never_ready.contains(command) {
        DynoPhase::Starting
    } else {
        DynoPhase::Ready
    }
}

#[async_trait]
impl Runtime for WorldRuntime {
    async fn start(&self, spec: DynoSpec) -> Result<(), RuntimeError> {
        call!(self.faults, away(), self.start_now(spec.clone()))
    }
    async fn stop(&self, dyno: DynoId, grace: Duration) -> Result<(), RuntimeError> {
        call!(self.faults, away(), self.stop_now(dyno, grace))
    }
    async fn freeze(&self, dyno: DynoId) -> Result<(), RuntimeError> {
        call!(self.faults, away(), self.freeze_now(dyno))
    }
    async fn thaw(&self, dyno: DynoId) -> Result<(), RuntimeError> {
        call!(self.faults, away(), self.thaw_now(dyno))
    }
    async fn inventory(&self) -> Result<Vec<DynoReport>, RuntimeError> {
        // Looking changes nothing: it is not counted, or every n would be spent on it.
        self.world.state().reports()
    }
    async fn forget(&self, dyno: DynoId) -> Result<(), RuntimeError> {
        call!(self.faults, away(), self.forget_now(dyno))
    }
    async fn changed(&self) -> Result<(), RuntimeError> {
        tokio::time::timeout(CHANGED_WAIT, self.world.0.changed.notified()).await.ok();
        self.world.state().node.answers()
    }
    async fn attach(&self, dyno: DynoId) -> Result<AttachSession, RuntimeError> {
        Err(RuntimeError::NotFound(format!("a terminal of simulated dyno {dyno}")))
    }
    async fn exec(&self, dyno: DynoId, _: ExecSpec) -> Result<AttachSession, RuntimeError> {
        Err(RuntimeError::NotFound(format!("the inside of simulated dyno {dyno}")))
    }
    async fn pack(&self, dyno: DynoId, directory: &str) -> Result<PackedLayer, RuntimeError> {
        call!(self.faults, away(), self.pack_now(dyno, directory))
    }
    async fn read_file(&self, dyno: DynoId, path: &str, _bytes_max: u64) -> Result<Vec<u8>, RuntimeError> {
        let read = || {
            let state = self.world.state();
            state.node.answers()?;
            match state.dynos.get(&dyno) {
                Some(dyno) if dyno.spec.kind == DynoKind::Build => {
                    serde_json::to_vec(&state.builds.result).map_err(|e| RuntimeError::Failed(e.to_string()))
                }
                _ => Err(RuntimeError::NotFound(path.to_owned())),
            }
        };
        call!(self.faults, away(), read())
    }
    async fn layers(&self) -> Result<Vec<LayerInfo>, RuntimeError> {
        let state = self.world.state();
        state.node.answers()?;
        let used = |digest: &LayerDigest| state.dynos.values().any(|dyno| dyno.spec.layers.contains(digest));
        let info = |(digest, packed_at): (&LayerDigest, &Timestamp)| LayerInfo {
            digest: digest.clone(),
            bytes: LAYER_BYTES,
            in_use: used(digest),
            packed_at: *packed_at,
        };
        Ok(state.layers.iter().map(info).collect())
    }
    async fn layer_remove(&self, digest: &LayerDigest, packed_before: Timestamp) -> Result<(), RuntimeError> {
        let remove = || {
            let mut state = self.world.state();
            state.node.answers()?;
            if state.dynos.values().any(|dyno| dyno.spec.layers.contains(digest)) {
                return Err(RuntimeError::Refused(format!("layer {digest} is in use")));
            }
            if state.layers.get(digest).is_some_and(|packed_at| *packed_at >= packed_before) {
                return Err(RuntimeError::Refused(format!("layer {digest} is too young")));
            }
            state.layers.remove(digest);
            Ok(())
        };
        call!(self.faults, away(), remove())
    }
    async fn usage(&self) -> Result<Vec<DynoUsage>, RuntimeError> {
        // Not counted either.
        let state = self.world.state();
        state.node.answers()?;
        let runs = |dyno: &&SimDyno| !matches!(dyno.phase, DynoPhase::Exited(_));
        let usage = |dyno: &SimDyno| DynoUsage {
            id: dyno.spec.id,
            memory: state.memory,
            disk: state.disk,
            quota_bytes: dyno.spec.limits.memory_bytes,
            runnable_tasks: dyno.spec.metered.then_some(state.runnable_tasks),
            cpu_time: None,
        };
        Ok(state.dynos.values().filter(runs).map(usage).collect())
    }
    async fn listeners(&self, _: DynoId) -> Result<Vec<SocketAddr>, RuntimeError> {
        Ok(self.world.state().listeners.clone())
    }
    async fn capacity(&self) -> Result<Capacity, RuntimeError> {
        // Looking changes nothing.
        let state = self.world.state();
        state.node.answers()?;
        Ok(Capacity {
            memory_bytes_total: 1 << 35,
            memory_bytes_free: state.memory_bytes_free,
            memory_stalled_percent: Some(0),
            disk_bytes_free: 1 << 36,
            disk_bytes_total: 1 << 37,
            disk_bytes_dynos: 0,
        })
    }
}
