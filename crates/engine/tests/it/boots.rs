//! Web dynos boot a few at a time.

use std::time::Duration;

use renga_engine::operations::{AppNew, FormationChange, Quantity};
use renga_model::{BuildStatus, DynoState};
use renga_testkit::world::Faults;

use crate::plane::{Bench, build_ends, until};

const BOOTS_MAX: usize = 4;
const DYNOS: usize = 10;
/// After this long a dyno that boots keeps nobody back.
const SHARE: Duration = Duration::from_secs(20);

#[tokio::test(start_paused = true)]
async fn so_many_boot_at_one_time_and_all_get_their_turn() {
    let bench = Bench::new().await;
    let plane = bench.start(&Faults::none()).await;
    let app = plane.engine.app_create(&bench.account, AppNew::default()).await.unwrap();
    let build = plane.push(&app, &bench.account, "a").await;
    build_ends(&bench, &build, BuildStatus::Succeeded).await;
    until("web.1 serves", async || bench.serves_newest(app.id).await).await;

    bench.world.never_ready("serve");
    let (process_type, quantity) = ("web".parse().unwrap(), Some(Quantity::Set(1 + DYNOS as i64)));
    let change = FormationChange { process_type, quantity, size: None };
    plane.engine.formation_update(&app, &bench.account, vec![change]).await.unwrap();
    let booting = async |wanted| bench.world.booting() == wanted;
    until("the first to boot", async || booting(BOOTS_MAX).await).await;
    bench.world.clock().advance(Duration::from_secs(1));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(bench.world.booting(), BOOTS_MAX);

    // They may be broken for ever: the others are not.
    bench.world.clock().advance(SHARE);
    until("the next to boot", async || booting(2 * BOOTS_MAX).await).await;

    bench.world.all_get_ready();
    until("all to be up", async || {
        let rows = bench.dynos(app.id).await;
        rows.len() == 1 + DYNOS && rows.iter().all(|dyno| dyno.state == DynoState::Up)
    })
    .await;
    plane.kill().await;
}
