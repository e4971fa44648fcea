//! Dynos that run nothing: they are ready, print and exit when a test says so.

use std::{collections::BTreeMap, net::SocketAddr, sync::Mutex, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use renga_model::{DynoId, Exit, ExitReason, LayerDigest, MemoryUsage};
use renga_ports::{
    AttachInput, AttachOutput, AttachSession, Capacity, DynoPhase, DynoReport, DynoSpec, DynoUsage, ExecSpec,
    LayerInfo, PackedLayer, Runtime, RuntimeError,
};
use tokio::sync::{mpsc, watch};

/// Messages that wait between a client and a process.
const CHANNEL_MAX: usize = 16;
/// `changed` returns after this long without a change, as the port says.
const CHANGED_MAX: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub struct SimRuntime {
    dynos: Mutex<BTreeMap<DynoId, Sim>>,
    /// Sessions that wait for their client.
    offered: Mutex<BTreeMap<DynoId, AttachSession>>,
    execs: Mutex<Vec<ExecSpec>>,
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct Sim {
    spec: DynoSpec,
    report: DynoReport,
    stopped_with: Option<Duration>,
}

/// The process's end of an attached session.
#[derive(Debug)]
pub struct AttachedEnd {
    pub input: mpsc::Receiver<AttachInput>,
    pub output: mpsc::Sender<AttachOutput>,
}

impl Default for SimRuntime {
    fn default() -> Self {
        Self {
            dynos: Mutex::default(),
            offered: Mutex::default(),
            execs: Mutex::default(),
            changes: watch::Sender::new(0),
        }
    }
}

// === the test's side ===

impl SimRuntime {
    /// The specs that were asked for and not forgotten, by id.
    pub fn specs(&self) -> Vec<DynoSpec> {
        let dynos = self.dynos.lock().expect("nothing panics while it holds this lock");
        dynos.values().map(|sim| sim.spec.clone()).collect()
    }
    /// The grace with which a dyno was asked to stop.
    pub fn stopped_with(&self, dyno: DynoId) -> Option<Duration> {
        self.dynos.lock().expect("nothing panics while it holds this lock").get(&dyno)?.stopped_with
    }
    pub fn ready(&self, dyno: DynoId, address: Option<std::net::SocketAddr>) {
        self.change(dyno, |sim| {
            sim.report.phase = DynoPhase::Ready;
            sim.report.address = address;
        });
    }
    pub fn exit(&self, dyno: DynoId, code: i32, at: jiff::Timestamp) {
        let exit = Exit::new(code, ExitReason::Exited, at);
        self.change(dyno, |sim| sim.report.phase = DynoPhase::Exited(exit));
    }
    /// What was run inside dynos.
    pub fn execs(&self) -> Vec<ExecSpec> {
        self.execs.lock().expect("nothing panics while it holds this lock").clone()
    }
    /// Lets the next client attach to a dyno, whether it was started or not.
    pub fn offer(&self, dyno: DynoId) -> AttachedEnd {
        let (input_sender, input) = mpsc::channel(CHANNEL_MAX);
        let (output, output_receiver) = mpsc::channel(CHANNEL_MAX);
        let session = AttachSession { input: input_sender, output: output_receiver };
        self.offered.lock().expect("nothing panics while it holds this lock").insert(dyno, session);
        AttachedEnd { input, output }
    }

    fn change(&self, dyno: DynoId, f: impl FnOnce(&mut Sim)) {
        if let Some(sim) = self.dynos.lock().expect("nothing panics while it holds this lock").get_mut(&dyno)
        {
            f(sim);
        }
        self.changes.send_modify(|count| *count += 1);
    }
}

// === the port ===

#[async_trait]
impl Runtime for SimRuntime {
    async fn start(&self, spec: DynoSpec) -> Result<(), RuntimeError> {
        let report = DynoReport {
            id: spec.id,
            app: spec.app,
            generation: spec.generation,
            kind: spec.kind,
            phase: DynoPhase::Starting,
            address: None,
            started_at: None,
            frozen: false,
        };
        let mut dynos = self.dynos.lock().expect("nothing panics while it holds this lock");
        dynos.entry(spec.id).or_insert(Sim { spec, report, stopped_with: None });
        self.changes.send_modify(|count| *count += 1);
        Ok(())
    }
    async fn stop(&self, dyno: DynoId, grace: Duration) -> Result<(), RuntimeError> {
        self.change(dyno, |sim| sim.stopped_with = Some(grace));
        Ok(())
    }
    async fn freeze(&self, dyno: DynoId) -> Result<(), RuntimeError> {
        self.change(dyno, |sim| sim.report.frozen = true);
        Ok(())
    }
    async fn thaw(&self, dyno: DynoId) -> Result<(), RuntimeError> {
        self.change(dyno, |sim| sim.report.frozen = false);
        Ok(())
    }
    async fn inventory(&self) -> Result<Vec<DynoReport>, RuntimeError> {
        let dynos = self.dynos.lock().expect("nothing panics while it holds this lock");
        Ok(dynos.values().map(|sim| sim.report.clone()).collect())
    }
    async fn forget(&self, dyno: DynoId) -> Result<(), RuntimeError> {
        let mut dynos = self.dynos.lock().expect("nothing panics while it holds this lock");
        if let Some(sim) = dynos.get(&dyno) {
            if !matches!(sim.report.phase, DynoPhase::Exited(_)) {
                return Err(RuntimeError::Refused(format!("dyno {dyno} runs")));
            }
            dynos.remove(&dyno);
        }
        Ok(())
    }
    async fn changed(&self) -> Result<(), RuntimeError> {
        let mut changes = self.changes.subscribe();
        tokio::time::timeout(CHANGED_MAX, changes.changed()).await.ok();
        Ok(())
    }
    async fn attach(&self, dyno: DynoId) -> Result<AttachSession, RuntimeError> {
        let offered = self.offered.lock().expect("nothing panics while it holds this lock").remove(&dyno);
        offered.ok_or_else(|| RuntimeError::NotFound(format!("dyno {dyno}")))
    }
    async fn exec(&self, dyno: DynoId, exec: ExecSpec) -> Result<AttachSession, RuntimeError> {
        let session = self.attach(dyno).await?;
        self.execs.lock().expect("nothing panics while it holds this lock").push(exec);
        Ok(session)
    }
    async fn pack(&self, dyno: DynoId, directory: &str) -> Result<PackedLayer, RuntimeError> {
        Err(RuntimeError::NotFound(format!("{directory} of dyno {dyno}")))
    }
    async fn read_file(&self, dyno: DynoId, path: &str, _: u64) -> Result<Vec<u8>, RuntimeError> {
        Err(RuntimeError::NotFound(format!("{path} of dyno {dyno}")))
    }
    async fn layers(&self) -> Result<Vec<LayerInfo>, RuntimeError> {
        Ok(Vec::new())
    }
    async fn layer_remove(&self, _: &LayerDigest, _: Timestamp) -> Result<(), RuntimeError> {
        Ok(())
    }
    async fn usage(&self) -> Result<Vec<DynoUsage>, RuntimeError> {
        let dynos = self.dynos.lock().expect("nothing panics while it holds this lock");
        let runs = |sim: &&Sim| !matches!(sim.report.phase, DynoPhase::Exited(_));
        let usage = |sim: &Sim| DynoUsage {
            id: sim.spec.id,
            memory: MemoryUsage::default(),
            disk: None,
            quota_bytes: sim.spec.limits.memory_bytes,
            runnable_tasks: sim.spec.metered.then_some(0),
            cpu_time: None,
        };
        Ok(dynos.values().filter(runs).map(usage).collect())
    }
    async fn listeners(&self, _: DynoId) -> Result<Vec<SocketAddr>, RuntimeError> {
        Ok(Vec::new())
    }
    async fn capacity(&self) -> Result<Capacity, RuntimeError> {
        const GIB: u64 = 1024 * 1024 * 1024;
        Ok(Capacity {
            memory_bytes_total: 16 * GIB,
            memory_bytes_free: 8 * GIB,
            memory_stalled_percent: None,
            disk_bytes_free: 64 * GIB,
            disk_bytes_total: 128 * GIB,
            disk_bytes_dynos: 0,
        })
    }
}
