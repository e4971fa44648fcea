//! Whether there is room for what a change asks for: in the machine's memory, on its disk, and in the tier of the app's
//! owner.

use renga_model::{AccountId, App, Dyno, DynoKind, DynoState, Formation, Refusal, Worker};
use renga_planner::Short;
use renga_ports::RuntimeError;
use renga_store::Read;

use crate::{Engine, Settings, error};

const MIB: u64 = 1024 * 1024;

/// Quotas of dynos, or what of the machine they are met with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Bytes {
    memory: u64,
    disk: u64,
}

/// What there is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Machine {
    /// All of its memory; of its disk what dynos have or may take.
    bytes: Bytes,
    disk_free: u64,
}

impl Bytes {
    pub(super) fn of(settings: &Settings, size: &str) -> Self {
        let disk = settings.disk_bytes(size);
        Self { memory: settings.size(size).memory_bytes(), disk }
    }
    fn times(self, number: u64) -> Self {
        Self { memory: self.memory.saturating_mul(number), disk: self.disk.saturating_mul(number) }
    }
    fn plus(self, other: Self) -> Self {
        let memory = self.memory.saturating_add(other.memory);
        Self { memory, disk: self.disk.saturating_add(other.disk) }
    }
    fn less(self, other: Self) -> Self {
        let memory = self.memory.saturating_sub(other.memory);
        Self { memory, disk: self.disk.saturating_sub(other.disk) }
    }
}

impl Engine {
    /// None while the node is away: then nothing can be judged, and the node will when it is back.
    pub(super) async fn machine(&self) -> Result<Option<Machine>, Refusal> {
        match self.runtime.capacity().await {
            Ok(capacity) => {
                let disk_free = capacity.disk_bytes_free;
                let disk = disk_free.saturating_add(capacity.disk_bytes_dynos);
                Ok(Some(Machine { bytes: Bytes { memory: capacity.memory_bytes_total, disk }, disk_free }))
            }
            Err(RuntimeError::Away(_)) => Ok(None),
            Err(failed) => Err(error::runtime(failed)),
        }
    }
}

/// Refuses more quota than the platform promises. `before` and `after` are what this change is about; the rest of
/// what is wanted is read here.
pub(super) fn refuse_beyond_machine(
    read: &Read<'_>,
    settings: &Settings,
    machine: Option<Machine>,
    (before, after): (Bytes, Bytes),
) -> Result<(), Refusal> {
    let grows = after.memory > before.memory || after.disk > before.disk;
    let Some(machine) = machine.filter(|_| grows) else { return Ok(()) };
    let all = quotas_wanted(read, settings)?;
    let changed = all.less(before).plus(after);
    if machine.disk_free < settings.disk_floor_bytes {
        return Err(Refusal::disk_low(machine.disk_free, settings.disk_floor_bytes));
    }
    let memory = settings.memory.admit(machine.bytes.memory, all.memory, changed.memory);
    memory.map_err(|short| refusal("memory", &short))?;
    let disk = settings.disk.admit(machine.bytes.disk, all.disk, changed.disk);
    disk.map_err(|short| refusal("disk", &short))
}

fn refusal(what: &str, short: &Short) -> Refusal {
    let [needed, free, budget] =
        [short.needed_bytes.div_ceil(MIB), short.free_bytes / MIB, short.budget_bytes / MIB];
    Refusal::invalid(format!(
        "Not enough {what}: this takes {needed} MB more, and {free} MB of the {budget} MB for dynos are free. Nothing \
         was changed. Use fewer or smaller dynos, scale something else down, or ask the platform's operator for room."
    ))
}

/// Quotas of all formations' dynos, and of the one-off dynos that live.
fn quotas_wanted(read: &Read<'_>, settings: &Settings) -> Result<Bytes, Refusal> {
    let all = quotas(settings, wanted(read, settings, None)?.iter());
    let lives = |dyno: &&Dyno| dyno.worker.kind() == DynoKind::OneOff && dyno.state != DynoState::Exited;
    let one_offs = read.dyno_list()?;
    Ok(one_offs.iter().filter(lives).map(|dyno| Bytes::of(settings, &dyno.size)).fold(all, Bytes::plus))
}

/// Quotas of all dynos that live now. (Builds have the operator's reserve.)
pub(crate) fn quotas_held(read: &Read<'_>, settings: &Settings) -> Result<u64, Refusal> {
    let holds = |dyno: &&Dyno| dyno.worker != Worker::Build && dyno.state != DynoState::Exited;
    let dynos = read.dyno_list()?;
    let quotas = dynos.iter().filter(holds).map(|dyno| settings.size(&dyno.size).memory_bytes());
    Ok(quotas.fold(0, u64::saturating_add))
}

pub(super) fn quotas<'a>(settings: &Settings, formation: impl Iterator<Item = &'a Formation>) -> Bytes {
    let quota = |row: &Formation| Bytes::of(settings, &row.size).times(u64::from(row.quantity));
    formation.map(quota).fold(Bytes::default(), Bytes::plus)
}

/// Of one owner's apps, or of all: the types of which there are to be dynos, in the sizes that there are.
fn wanted(read: &Read<'_>, settings: &Settings, owner: Option<AccountId>) -> Result<Vec<Formation>, Refusal> {
    let standing =
        |row: Formation| Formation { size: settings.sizes.standing_for(&row.size).name.clone(), ..row };
    Ok(read.formation_list_wanted(owner)?.into_iter().map(standing).collect())
}

/// Dynos that the tier of the app's owner leaves to this app; none: without limit. The app's own are not counted.
pub(super) fn dynos_left(read: &Read<'_>, settings: &Settings, app: &App) -> Result<Option<u32>, Refusal> {
    let owner = read.account_fetch(app.owner)?;
    let Some(tier) = settings.tiers.of(&owner.email) else { return Ok(None) };
    let wanted = wanted(read, settings, Some(app.owner))?;
    let used = dynos(wanted.iter().filter(|row| row.app != app.id));
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
