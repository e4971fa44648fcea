//! How the node of a world answers: whether it is there, and in which order its reports arrive.

use std::net::SocketAddr;

use renga_ports::{DynoReport, RuntimeError};

use super::{runtime::away, state::State};

/// The order in which inventories arrive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Delivery {
    /// Each when it is asked for, each dyno once.
    #[default]
    Prompt,
    /// Each dyno twice, and the youngest first.
    Twice,
    /// Two and two in reverse: after each answer comes one that is older than it.
    Swapped,
}

#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) presence: Presence,
    pub(crate) delivery: Delivery,
    /// Inventories that were taken: the one before the last, which is late, and the last.
    late: Option<Vec<DynoReport>>,
    last: Option<Vec<DynoReport>>,
    asked: u64,
    /// Whether somebody looked for it while it was away.
    pub(crate) missed: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Presence {
    #[default]
    There,
    /// It takes orders, and will be gone before it carries them out.
    Failing,
    Away,
}

impl Node {
    pub(crate) fn answers(&self) -> Result<(), RuntimeError> {
        if self.presence == Presence::Away { Err(away()) } else { Ok(()) }
    }
    /// Whether an order is taken and lost.
    pub(crate) fn refuses(&self) -> Result<bool, RuntimeError> {
        self.answers().map(|()| self.presence == Presence::Failing)
    }

    fn deliver(&mut self, now: Vec<DynoReport>) -> Vec<DynoReport> {
        self.asked += 1;
        let late = std::mem::replace(&mut self.late, self.last.replace(now.clone()));
        match self.delivery {
            Delivery::Prompt => now,
            Delivery::Twice => now.iter().chain(&now).rev().cloned().collect(),
            Delivery::Swapped if self.asked.is_multiple_of(2) => late.unwrap_or(now),
            Delivery::Swapped => now,
        }
    }
}

impl State {
    pub(crate) fn reports(&mut self) -> Result<Vec<DynoReport>, RuntimeError> {
        self.node.missed |= self.node.presence == Presence::Away;
        self.node.answers()?;
        let reports = self.dynos.values().enumerate().map(|(n, dyno)| DynoReport {
            id: dyno.spec.id,
            app: dyno.spec.app,
            generation: dyno.spec.generation,
            kind: dyno.spec.kind,
            phase: dyno.phase.clone(),
            address: Some(SocketAddr::from(([10, 0, 0, u8::try_from(n % 250).unwrap_or(0)], 5000))),
            started_at: Some(dyno.started_at),
            frozen: dyno.frozen,
        });
        let reports = reports.collect();
        Ok(self.node.deliver(reports))
    }
}
