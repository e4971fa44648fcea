//! Whether there is room for what a change asks for: in the machine's memory, and in the tier of the app's owner.

use renga_model::{App, AppId, Dyno, DynoKind, DynoState, Formation, Refusal, Worker};
use renga_planner::MemoryShort;
use renga_ports::RuntimeError;
use renga_store::Read;

use super::formation::formation_of;
use crate::{Engine, Settings, error};

const MIB: u64 = 1024 * 1024;

impl Engine {
    /// Memory of the machine. None while the node is away: then nothing can be judged, and the node will when it is
    /// back.
    pub(super) async fn machine_memory(&self) -> Result<Option<u64>, Refusal> {
        match self.runtime.capacity().await {
            Ok(capacity) => Ok(Some(capacity.memory_bytes_total)),
            Err(RuntimeError::Away(_)) => Ok(None),
            Err(failed) => Err(error::runtime(failed)),
        }
    }
}

/// Refuses more quota than the platform promises. `before` and `after` are what this change is about; the rest of
/// what is wanted is read here.
pub(super) fn refuse_memory(
    read: &Read<'_>,
    settings: &Settings,
    machine_bytes: Option<u64>,
    (before, after): (u64, u64),
) -> Result<(), Refusal> {
    let Some(machine_bytes) = machine_bytes.filter(|_| after > before) else { return Ok(()) };
    let all = quotas_wanted(read, settings)?;
    let changed = all.saturating_sub(before).saturating_add(after);
    settings.memory.admit(machine_bytes, all, changed).map_err(short)
}

fn short(short: MemoryShort) -> Refusal {
    let [needed, free, budget] =
        [short.needed_bytes.div_ceil(MIB), short.free_bytes / MIB, short.budget_bytes / MIB];
    Refusal::invalid(format!(
        "Not enough memory: this takes {needed} MB more, and {free} MB of the {budget} MB for dynos are free. Nothing \
         was changed. Use fewer or smaller dynos, scale something else down, or ask the platform's operator for room."
    ))
}

/// Quotas of all formations' dynos, and of the one-off dynos that live.
fn quotas_wanted(read: &Read<'_>, settings: &Settings) -> Result<u64, Refusal> {
    let mut bytes = 0_u64;
    for app in read.app_list()? {
        bytes = bytes.saturating_add(quotas(settings, wanted(read, app.id)?.iter()));
    }
    let lives = |dyno: &&Dyno| dyno.worker.kind() == DynoKind::OneOff && dyno.state != DynoState::Exited;
    let one_offs = read.dyno_list()?;
    let one_offs = one_offs.iter().filter(lives).map(|dyno| settings.size(&dyno.size).memory_bytes());
    Ok(one_offs.fold(bytes, u64::saturating_add))
}

/// Quotas of all dynos that live now. (Builds have the operator's reserve.)
pub(crate) fn quotas_held(read: &Read<'_>, settings: &Settings) -> Result<u64, Refusal> {
    let holds = |dyno: &&Dyno| dyno.worker != Worker::Build && dyno.state != DynoState::Exited;
    let dynos = read.dyno_list()?;
    let quotas = dynos.iter().filter(holds).map(|dyno| settings.size(&dyno.size).memory_bytes());
    Ok(quotas.fold(0, u64::saturating_add))
}

pub(super) fn quotas<'a>(settings: &Settings, formation: impl Iterator<Item = &'a Formation>) -> u64 {
    let quota =
        |row: &Formation| settings.size(&row.size).memory_bytes().saturating_mul(u64::from(row.quantity));
    formation.map(quota).fold(0, u64::saturating_add)
}

fn wanted(read: &Read<'_>, app: AppId) -> Result<Vec<Formation>, Refusal> {
    Ok(formation_of(read, app)?.into_iter().map(|(row, _)| row).collect())
}

/// Dynos that the tier of the app's owner leaves to this app; none: without limit. The app's own are not counted.
pub(super) fn dynos_left(read: &Read<'_>, settings: &Settings, app: &App) -> Result<Option<u32>, Refusal> {
    let owner = read.account_fetch(app.owner)?;
    let Some(tier) = settings.tiers.of(&owner.email) else { return Ok(None) };
    let mut used = 0_u32;
    for other in read.app_list_for_owner(app.owner)?.iter().filter(|other| other.id != app.id) {
        used = used.saturating_add(dynos(wanted(read, other.id)?.iter()));
    }
    Ok(Some(tier.dynos_max.saturating_sub(used)))
}

pub(super) fn dynos<'a>(formation: impl Iterator<Item = &'a Formation>) -> u32 {
    formation.map(|row| row.quantity).fold(0, u32::saturating_add)
}

/// Fewer dynos than before are always fine.
pub(super) fn refuse_beyond_tier(
    read: &Read<'_>,
    settings: &Settings,
    app: &App,
    (before, after): (u32, u32),
) -> Result<(), Refusal> {
    if after <= before || dynos_left(read, settings, app)?.is_none_or(|left| after <= left) {
        return Ok(());
    }
    let owner = read.account_fetch(app.owner)?;
    Err(Refusal::invalid(settings.tiers.of(&owner.email).map(renga_model::Tier::says).unwrap_or_default()))
}
