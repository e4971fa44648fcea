//! Use: every 20 seconds the node is asked what its dynos take, and the logs of those apps are told that want to know
//! (`log-runtime-metrics`) or must (R14).
//!
//! Nothing is kept but the load averages of metered dynos and when a full disk was told, and those in memory: after a
//! restart they begin anew. While no dyno has news, a look costs one call of the node and nothing else.

use std::{collections::BTreeMap, time::Duration};

use renga_model::{Dyno, DynoId, DynoState, Refusal, Worker};
use renga_planner::{Load, UsageNews, disk_news, usage_news};
use renga_store::OrNone;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{Engine, error, words};

const EVERY: Duration = Duration::from_secs(20);

/// What is remembered from look to look, of dynos that run.
#[derive(Default)]
struct Known {
    loads: BTreeMap<DynoId, Load>,
    /// When an app was last told that this dyno's disk is full.
    disks_told: BTreeMap<DynoId, Instant>,
}

pub(crate) async fn run(engine: Engine, cancel: CancellationToken) {
    let (mut known, mut looked_at) = (Known::default(), Instant::now());
    loop {
        let turn = async {
            tokio::time::sleep(EVERY).await;
            if let Err(refusal) = look(&engine, &mut known, &mut looked_at).await {
                let context = refusal.context.as_deref().unwrap_or_default();
                tracing::warn!("could not tell what dynos take: {refusal} {context}");
            }
        };
        tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            () = turn => {}
        }
    }
}

async fn look(engine: &Engine, known: &mut Known, looked_at: &mut Instant) -> Result<(), Refusal> {
    let dynos = engine.runtime.usage().await.map_err(error::runtime)?;
    engine.cpu_times.set(engine.now(), &dynos);
    let now = Instant::now();
    let elapsed = now.duration_since(std::mem::replace(looked_at, now));
    let before = std::mem::take(known);
    let mut news = BTreeMap::new();
    for dyno in dynos {
        let load_before = before.loads.get(&dyno.id).copied().unwrap_or_default();
        let load = dyno.runnable_tasks.map(|tasks| load_before.after(elapsed, tasks));
        known.loads.extend(load.map(|load| (dyno.id, load)));
        let mut of_dyno = usage_news(&dyno.memory, dyno.quota_bytes, load);
        let told = before.disks_told.get(&dyno.id).copied();
        let full = dyno.disk.and_then(|disk| disk_news(&disk, told.map(|at| now.duration_since(at))));
        known.disks_told.extend(full.map_or(told, |_| Some(now)).map(|at| (dyno.id, at)));
        of_dyno.extend(full);
        news.insert(dyno.id, of_dyno);
    }
    news.retain(|_, news| !news.is_empty());
    if news.is_empty() { Ok(()) } else { tell(engine, &news).await }
}

/// Only dynos with a row have a log to write into: that of an app that is gone would come back by it. Of those that are
/// frozen nothing is told: they do nothing.
async fn tell(engine: &Engine, news: &BTreeMap<DynoId, Vec<UsageNews>>) -> Result<(), Refusal> {
    let ids: Vec<DynoId> = news.keys().copied().collect();
    let rows = engine.store.read(move |read| -> Result<Vec<Dyno>, Refusal> {
        let rows = ids.into_iter().map(|id| read.dyno_fetch(id).or_none());
        Ok(rows.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    });
    let now = engine.now();
    for row in rows.await?.iter().filter(|row| has_log(row)) {
        let lines = news.get(&row.id).into_iter().flatten().flat_map(|news| words::usage(row, news));
        lines.for_each(|line| engine.logs.write(row.app, words::heroku(now, &row.name, line)));
    }
    Ok(())
}

fn has_log(row: &Dyno) -> bool {
    !matches!(row.state, DynoState::Frozen | DynoState::Exited) && row.worker != Worker::Build
}
