//! Certificates come by themselves and are renewed, whatever happens to the control plane and the authority meanwhile.

use std::time::Duration;

use renga_engine::operations::AppNew;
use renga_model::{AcmName, AcmStep, App, Hostname};
use renga_ports::AcmeError;
use renga_testkit::world::{Fault, Faults};

use crate::plane::{Bench, Plane, until};

const HOST: &str = "www.example.com";
/// More calls and writes than there are until a certificate is served; reaching it means that the loop does not end.
const POINTS_MAX: u64 = 100;
/// Fewer than there are: register, order, tell, look, finish, look, chain, and three tables.
const CALLS_MIN: u64 = 9;
/// Insert, account, order, two moves, delivery.
const WRITES_MIN: u64 = 5;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// An app that wants certificates, and no loop that fetches them yet.
async fn prepared(hosts: &[&str]) -> (Bench, App) {
    let mut bench = Bench::new().await;
    bench.with_authority = true;
    let engine = bench.engine(&Faults::none()).await;
    let app = engine.app_create(&bench.account, AppNew::default()).await.unwrap();
    for host in hosts {
        engine.domain_create(&app, &bench.account, host.parse().unwrap(), None).await.unwrap();
    }
    let app = engine.acm_enable(app.id, &bench.account).await.unwrap();
    (bench, app)
}

async fn row(bench: &Bench, host: &str) -> Option<AcmName> {
    let host: Hostname = host.parse().unwrap();
    bench.read(move |read| read.acm_name_find(&host)).await
}

/// Whether the router serves the certificate that the ledger has, and nothing is left of its making.
async fn is_served(bench: &Bench, host: &str) -> bool {
    // Attempts that failed are repeated after minutes.
    bench.world.clock().advance(Duration::from_secs(2));
    let Some(row) = row(bench, host).await.filter(|row| row.step == AcmStep::Issued) else { return false };
    let name = host.to_owned();
    let version = bench
        .read(move |read| {
            let domain = read.domain_find(&name)?.unwrap();
            domain.sni_endpoint.map(|id| read.sni_endpoint_fetch(id)).transpose()
        })
        .await
        .filter(|endpoint| endpoint.acm && Some(endpoint.facts.expires_at) == row.expires_at)
        .map(|endpoint| endpoint.version());
    let table = bench.world.table();
    let served = table.apps.iter().find_map(|app| app.certificates.get(host));
    version.is_some() && served == version.as_ref() && table.challenges.is_empty()
}

async fn survive(bench: &Bench, plane: Plane, what: &str, look: impl AsyncFn() -> bool) -> Plane {
    let faults = plane.faults.clone();
    let died = tokio::select! {
        biased;
        () = faults.crash() => true,
        () = until(what, async || look().await) => false,
    };
    if !died {
        return plane;
    }
    plane.kill().await;
    let plane = bench.start(&Faults::none()).await;
    until(what, async || look().await).await;
    plane
}

async fn every(faults_at: impl Fn(u64) -> Faults, points_min: u64) {
    for point in 1..POINTS_MAX {
        let (bench, _) = prepared(&[HOST]).await;
        let faults = faults_at(point);
        let plane = bench.start(&faults).await;
        let plane = survive(&bench, plane, "the certificate", async || is_served(&bench, HOST).await).await;
        assert_eq!(bench.world.complaints(), Vec::<String>::new(), "at point {point}");
        assert!(bench.world.certificates_issued(HOST) <= 2, "at point {point}");
        plane.kill().await;
        if !faults.struck() {
            assert!(point > points_min, "only {} points were met", point - 1);
            return;
        }
    }
    panic!("there are more than {POINTS_MAX} points");
}

#[tokio::test(start_paused = true)]
async fn every_call_may_be_refused_on_the_way_to_a_certificate() {
    every(|at| Faults::new(Fault::Fail, at), CALLS_MIN).await;
}

#[tokio::test(start_paused = true)]
async fn the_control_plane_may_die_after_every_call_on_the_way_to_a_certificate() {
    every(|at| Faults::new(Fault::CrashAfter, at), CALLS_MIN).await;
}

#[tokio::test(start_paused = true)]
async fn the_control_plane_may_die_before_and_after_every_write_on_the_way_to_a_certificate() {
    every(|at| Faults::at_write(Fault::CrashBefore, at), WRITES_MIN).await;
    every(|at| Faults::at_write(Fault::CrashAfter, at), WRITES_MIN).await;
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_renewed_in_time_and_served_meanwhile() {
    let (bench, _) = prepared(&[HOST]).await;
    let plane = bench.start(&Faults::none()).await;
    until("the certificate", async || is_served(&bench, HOST).await).await;
    let first = row(&bench, HOST).await.unwrap();
    bench.world.clock().advance(56 * DAY);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(row(&bench, HOST).await.unwrap(), first, "90 days, renewed at 57 to 60");
    bench.world.clock().advance(5 * DAY);
    let renewed = async || is_served(&bench, HOST).await && bench.world.certificates_issued(HOST) == 2;
    until("the next certificate", async || {
        assert_eq!(row(&bench, HOST).await.unwrap().status(), "cert issued");
        renewed().await
    })
    .await;
    assert!(row(&bench, HOST).await.unwrap().expires_at > first.expires_at);
    // One that lives for six days is renewed two days before its end.
    bench.world.authority_grants(6 * DAY);
    bench.world.clock().advance(70 * DAY);
    until("the short one", async || {
        is_served(&bench, HOST).await && bench.world.certificates_issued(HOST) == 3
    })
    .await;
    let short = row(&bench, HOST).await.unwrap();
    let lead_h = short.expires_at.unwrap().duration_since(short.due_at).as_hours();
    assert!((40..=53).contains(&lead_h), "{lead_h} h");
    assert_eq!(bench.world.complaints(), Vec::<String>::new());
    plane.kill().await;
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_refused_says_why_and_another_attempt_can_be_asked_for() {
    let (bench, app) = prepared(&[HOST, "shop.example.com"]).await;
    bench.world.authority_denies(HOST, Some(AcmeError::Refused("Nobody is there.".into())));
    let plane = bench.start(&Faults::none()).await;
    until("the refusal", async || row(&bench, HOST).await.is_some_and(|row| row.failures > 0)).await;
    until("the other name", async || is_served(&bench, "shop.example.com").await).await;
    let domain = plane.engine.domain_fetch(app.id, HOST).await.unwrap();
    let acm = domain.acm.unwrap();
    assert_eq!((acm.status, acm.reason.as_deref()), ("failing", Some("Nobody is there.")));
    // Days of attempts, none of them close upon another.
    bench.hasten(Duration::from_secs(5));
    for _ in 0..1_000 {
        bench.world.clock().advance(Duration::from_secs(3_600));
        tokio::time::sleep(Duration::from_secs(35)).await;
        if row(&bench, HOST).await.unwrap().step == AcmStep::Failed {
            break;
        }
    }
    bench.hasten(Duration::from_millis(100));
    let failed = row(&bench, HOST).await.unwrap();
    assert_eq!((failed.status(), failed.failures), ("failed", 50));
    bench.world.authority_denies(HOST, None);
    plane.engine.acm_refresh(app.id).await.unwrap();
    until("the certificate", async || is_served(&bench, HOST).await).await;
    assert_eq!(bench.world.complaints(), Vec::<String>::new());
    plane.kill().await;
}

#[tokio::test(start_paused = true)]
async fn a_wildcard_is_proven_by_dns_and_nothing_stays_there() {
    let (bench, _) = prepared(&["*.example.com"]).await;
    let plane = bench.start(&Faults::none()).await;
    until("the certificate", async || is_served(&bench, "*.example.com").await).await;
    assert!(bench.world.dns_records().is_empty());
    plane.kill().await;
}

#[tokio::test(start_paused = true)]
async fn an_authority_that_forgot_everything_gets_a_new_account() {
    let (bench, app) = prepared(&[HOST]).await;
    let plane = bench.start(&Faults::none()).await;
    until("the certificate", async || is_served(&bench, HOST).await).await;
    bench.world.authority_forgets();
    let other: Hostname = "other.example.com".parse().unwrap();
    plane.engine.domain_create(&app, &bench.account, other, None).await.unwrap();
    until("another", async || is_served(&bench, "other.example.com").await).await;
    assert_eq!(bench.world.authority_accounts(), 1);
    plane.kill().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_no_longer_wanted_is_no_longer_served() {
    let (bench, app) = prepared(&[HOST, "shop.example.com"]).await;
    let plane = bench.start(&Faults::none()).await;
    until("both", async || is_served(&bench, HOST).await && is_served(&bench, "shop.example.com").await)
        .await;
    plane.engine.domain_delete(app.id, &bench.account, HOST).await.unwrap();
    until("the name to go", async || row(&bench, HOST).await.is_none()).await;
    plane.engine.acm_disable(app.id, &bench.account).await.unwrap();
    until("the other name to go", async || row(&bench, "shop.example.com").await.is_none()).await;
    let none = async || bench.world.table().apps.iter().all(|app| app.certificates.is_empty());
    until("the router to know", none).await;
    assert!(plane.engine.sni_endpoint_list(app.id).await.unwrap().is_empty());
    // Off and on at once: nothing of before passes for a certificate.
    plane.engine.acm_enable(app.id, &bench.account).await.unwrap();
    until("it again", async || is_served(&bench, "shop.example.com").await).await;
    plane.engine.acm_disable(app.id, &bench.account).await.unwrap();
    plane.engine.acm_enable(app.id, &bench.account).await.unwrap();
    until("it once more", async || is_served(&bench, "shop.example.com").await).await;
    plane.kill().await;
}
