//! One seed from its first step to its last checker.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use renga_engine::Engine;
use renga_model::{AppId, ProcessType, Refusal};
use renga_testkit::world::{Delivery, Fault, Faults};

use super::{checks, facts, steps};
use crate::plane::{Bench, Plane};

/// Points of one plane at which its fault may strike; a plane that makes fewer dies in another way.
const STRIKES_MAX: u64 = 40;
/// Real time in which everything must have healed.
const HEAL_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a platform at rest is watched for writes, in the runtime's time: longer than every period but garbage's.
const REST: Duration = Duration::from_secs(45);
/// Clock time let pass at once while a dyno drains: less than the time after which it is stopped regardless.
const CLOCK_STEP: Duration = Duration::from_secs(20);
/// Looks at draining dynos before the clock is left where it is.
const DRAIN_LOOKS: usize = 40;

pub(crate) struct Runner {
    pub(crate) rng: StdRng,
    pub(crate) bench: Bench,
    /// None only while one follows on another.
    plane: Option<Plane>,
    pub(crate) apps: Vec<AppId>,
    /// What was answered with yes, and nothing that might have been done since says otherwise.
    pub(crate) promised: BTreeMap<AppId, Promise>,
    story: Told,
    pub(crate) commits: u32,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Promise {
    pub(crate) quantities: BTreeMap<ProcessType, u32>,
    pub(crate) maintenance: Option<bool>,
}

/// What happened under a seed. It is printed if that ends in a panic.
struct Told {
    seed: u64,
    lines: Vec<String>,
}

impl Drop for Told {
    #[expect(clippy::print_stderr, reason = "for the reader of a failed test")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("RENGA_SEED={} failed after:\n{}", self.seed, self.lines.join("\n"));
        }
    }
}

impl Runner {
    pub(crate) async fn run(seed: u64, count: usize) {
        let (rng, bench) = (StdRng::seed_from_u64(seed), Bench::new().await);
        let plane = Some(bench.start(&Faults::none()).await);
        let (apps, promised) = (Vec::new(), BTreeMap::new());
        let story = Told { seed, lines: Vec::new() };
        let mut runner = Self { rng, bench, plane, apps, promised, story, commits: 0 };
        for _ in 0..count {
            steps::step(&mut runner).await;
            let facts = facts::look(&runner.bench).await;
            let mut broken = checks::safety(&facts);
            broken.extend(runner.bench.world.complaints());
            assert!(broken.is_empty(), "{broken:#?}");
        }
        runner.heal().await;
        runner.promises_kept().await;
        runner.rest().await;
        runner.plane.take().unwrap().kill().await;
    }

    pub(crate) fn tell(&mut self, line: impl Into<String>) {
        self.story.lines.push(line.into());
    }

    /// One that this seed takes.
    pub(crate) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.rng.random_range(0..from.len())].clone()
    }
    pub(crate) fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_ratio(percent, 100)
    }

    /// Asks the plane for something. None if it died meanwhile, or refused: what was refused without a fault must be
    /// something that a user can read.
    pub(crate) async fn ask<T>(&mut self, ask: impl AsyncFn(Engine) -> Result<T, Refusal>) -> Option<T> {
        let plane = self.plane.as_ref().unwrap();
        let answer = tokio::select! {
            biased;
            () = plane.faults.crash() => None,
            answer = ask(plane.engine.clone()) => Some(answer),
        };
        match answer {
            Some(Ok(done)) => Some(done),
            Some(Err(refusal)) => {
                let excused = plane.faults.struck() || refusal.fault != renga_model::Fault::Internal;
                assert!(excused, "refused without a reason: {refusal:?}");
                self.tell(format!("  refused: {refusal}"));
                None
            }
            None => {
                self.tell("  the plane died before it answered");
                self.follow().await;
                None
            }
        }
    }

    /// Lets the runtime's time pass. A plane that dies is followed by another.
    pub(crate) async fn pass(&mut self, time: Duration) {
        let plane = self.plane.as_ref().unwrap();
        tokio::select! {
            biased;
            () = plane.faults.crash() => {
                self.tell("  the plane died");
                self.follow().await;
            }
            () = tokio::time::sleep(time) => {}
        }
    }

    /// Moves the clock by which dynos are judged, but never so that a draining one is stopped for its time.
    pub(crate) async fn move_clock(&mut self, by: Duration) {
        let mut left = by;
        while !left.is_zero() {
            // What is on its way to the ledger bears the time at which it set out: it arrives before the clock moves on.
            self.ask(async |engine| engine.store.write(|_| Ok::<_, Refusal>(())).await).await;
            if self.drains_on().await {
                return;
            }
            let step = left.min(CLOCK_STEP);
            self.bench.world.clock().advance(step);
            left -= step;
        }
    }

    /// Whether a dyno is draining, and does not come to its end in some time.
    async fn drains_on(&mut self) -> bool {
        for _ in 0..DRAIN_LOOKS {
            if !facts::look(&self.bench).await.is_draining() {
                return false;
            }
            self.pass(Duration::from_millis(100)).await;
        }
        true
    }

    /// The plane is killed, and another one started, with faults and a manner of hearing of its own.
    pub(crate) async fn follow(&mut self) {
        self.plane.take().unwrap().kill().await;
        let at = self.rng.random_range(1..=STRIKES_MAX);
        let fault =
            self.pick(&[Fault::None, Fault::Fail, Fault::Repeat, Fault::CrashBefore, Fault::CrashAfter]);
        let at_write = self.chance(50) && fault != Fault::Repeat;
        let faults = if at_write { Faults::at_write(fault, at) } else { Faults::new(fault, at) };
        let delivery = self.pick(&[Delivery::Prompt, Delivery::Prompt, Delivery::Twice, Delivery::Swapped]);
        let deaf = self.chance(15);
        let place = if at_write { "write" } else { "call" };
        self.tell(format!("  a plane starts: {fault:?} at {place} {at}, {delivery:?}, deaf: {deaf}"));
        self.bench.world.deliver(delivery);
        self.start(&faults, deaf).await;
    }

    async fn start(&mut self, faults: &Faults, deaf: bool) {
        self.bench.world.lose_changes(deaf);
        self.plane = Some(match deaf {
            true => self.bench.start_deaf(faults).await,
            false => self.bench.start(faults).await,
        });
    }

    // === the end ===

    /// Nothing goes wrong any more; whatever waits is let go, and time passes for those who wait for it.
    async fn heal(&mut self) {
        self.tell("everything heals");
        let world = self.bench.world.clone();
        world.node_comes();
        world.all_get_ready();
        world.builds_end(Some(0));
        world.exits(steps::MIGRATE, 0);
        self.plane.take().unwrap().kill().await;
        world.deliver(Delivery::Prompt);
        self.start(&Faults::none(), false).await;
        let begin = Instant::now();
        loop {
            steps::let_go(&self.bench).await;
            let facts = facts::look(&self.bench).await;
            let broken = checks::liveness(&self.bench, &facts);
            if broken.is_empty() {
                return;
            }
            assert!(begin.elapsed() < HEAL_TIMEOUT, "{broken:#?}");
            if !facts.is_moving() {
                // Crashed dynos wait for up to 320 minutes.
                world.clock().advance(Duration::from_secs(3_600));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// What was answered with yes is so, whoever died afterwards, if nothing else was asked for since.
    async fn promises_kept(&mut self) {
        let facts = facts::look(&self.bench).await;
        for (app, promise) in &self.promised {
            let Some(found) = facts.app(*app) else { continue };
            let quantities = found.formation.iter().map(|row| (row.process_type.clone(), row.quantity));
            let quantities: BTreeMap<_, _> = quantities.collect();
            for (process_type, quantity) in &promise.quantities {
                assert_eq!(quantities.get(process_type), Some(quantity), "{process_type} of {app}");
            }
            if let Some(maintenance) = promise.maintenance {
                assert_eq!(found.app.maintenance, maintenance, "maintenance of {app}");
            }
        }
    }

    /// A platform that is as wanted writes nothing and changes nothing.
    async fn rest(&mut self) {
        self.bench.hasten(Duration::from_millis(500));
        // What was rung for a moment ago runs out first.
        tokio::time::sleep(REST).await;
        let (writes, alive) = (self.bench.writes(), self.bench.world.alive());
        tokio::time::sleep(REST).await;
        assert_eq!(self.bench.writes(), writes, "the platform writes though nothing happens");
        assert_eq!(
            self.bench.world.alive().into_keys().collect::<Vec<_>>(),
            alive.into_keys().collect::<Vec<_>>()
        );
    }
}
