//! Every loop there is. What starts here is what keeps the platform true to its rows.

use std::sync::Arc;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Engine,
    driver::drive,
    execs,
    loops::{
        acm::Acm, builds::Builds, deletions::Deletions, formation::Formations, garbage::Garbage, inventory,
        letters::Letters, one_offs::OneOffs, outbox, releases::Releases, routes::Routes, sleep, usage,
    },
};

/// Starts all loops on `tasks`; they end when `cancel` does.
pub fn run(engine: &Engine, tasks: &TaskTracker, cancel: &CancellationToken) {
    // Seen: what the node reports, into rows.
    tasks.spawn(inventory::run(engine.clone(), cancel.clone()));
    // Lines that were said with changes, into logs.
    tasks.spawn(outbox::run(engine.clone(), cancel.clone()));
    // What dynos take, into logs.
    tasks.spawn(usage::run(engine.clone(), cancel.clone()));
    // What web traffic there is, for apps that sleep and wake.
    tasks.spawn(sleep::run(engine.clone(), cancel.clone()));
    // Processes inside dynos whose client does not come.
    tasks.spawn(execs::sweep(engine.clone(), cancel.clone()));
    // Wanted against seen, per app.
    tasks.spawn(drive(Arc::new(Formations::new(engine.clone())), cancel.clone()));
    tasks.spawn(drive(Arc::new(OneOffs::new(engine.clone())), cancel.clone()));
    tasks.spawn(drive(Arc::new(Routes::new(engine.clone())), cancel.clone()));
    tasks.spawn(drive(Arc::new(Deletions::new(engine.clone())), cancel.clone()));
    tasks.spawn(drive(Arc::new(Letters::new(engine.clone())), cancel.clone()));
    tasks.spawn(drive(Arc::new(Acm::new(engine.clone())), cancel.clone()));
    // Workflows.
    tasks.spawn(drive(Arc::new(Builds::new(engine.clone())), cancel.clone()));
    tasks.spawn(drive(Arc::new(Releases::new(engine.clone())), cancel.clone()));
    tasks.spawn(drive(Arc::new(Garbage::new(engine.clone())), cancel.clone()));
}
