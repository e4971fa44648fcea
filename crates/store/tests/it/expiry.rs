//! Over the byte budget old releases lose their layers; and what failures say to a user.

use std::collections::BTreeSet;

use renga_model::{AppId, Build, BuildStatus, Fault, Refusal, Release, ReleaseStatus};
use renga_store::StoreError;

use crate::fixture::{Ledger, at, build, layer, release, slug};

/// Releases v1.. of one app; each digit names the slug (and its only layer) that the release runs.
async fn releases(ledger: &Ledger, app: renga_model::App, slugs: &'static str, current: u64) {
    ledger
        .store
        .write(move |tx| {
            let digits: BTreeSet<char> = slugs.chars().collect();
            let made: Vec<_> =
                digits.into_iter().map(|digit| (digit, slug(&app, vec![layer(digit, None)]))).collect();
            for (_, slug) in &made {
                tx.slug_insert(slug)?;
            }
            for (version, digit) in (1..).zip(slugs.chars()) {
                let slug = made.iter().find(|(of, _)| *of == digit).map(|(_, slug)| slug.id);
                let current = version == current;
                tx.release_insert(&Release { slug, current, ..release(&app, version) })?;
            }
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}

/// `v1- v2 v3*`: expired, whole, current; then the digits of the layers that are still needed.
async fn shown(ledger: &Ledger, app: renga_model::AppId) -> String {
    let read = ledger.store.read(move |read| {
        Ok::<_, StoreError>((read.release_list(app, false, 99, None)?, read.layers_in_use()?))
    });
    let (releases, layers) = read.await.unwrap();
    let mark = |release: &Release| match (release.status, release.current) {
        (ReleaseStatus::Expired, _) => "-",
        (_, true) => "*",
        _ => "",
    };
    let releases: Vec<_> = releases.iter().map(|r| format!("v{}{}", r.version, mark(r))).collect();
    let layers: String = layers.iter().map(|digest| &digest.as_str()[..1]).collect();
    format!("{} {layers}", releases.join(" "))
}

async fn expire(ledger: &Ledger, keep: usize, limit: usize) -> usize {
    ledger.store.write(move |tx| tx.release_expire_oldest(keep, limit, at(90))).await.unwrap()
}

#[tokio::test]
async fn the_oldest_releases_lose_their_layers_first() {
    let (ledger, app) = Ledger::with_app().await;
    let id = app.id;
    releases(&ledger, app, "abcde", 5).await;
    assert_eq!(expire(&ledger, 2, 2).await, 2);
    assert_eq!(shown(&ledger, id).await, "v1- v2- v3 v4 v5* cde");
    assert_eq!(expire(&ledger, 2, 9).await, 1);
    assert_eq!(shown(&ledger, id).await, "v1- v2- v3- v4 v5* de");
    assert_eq!(expire(&ledger, 2, 9).await, 0, "again yields nothing");
}

#[tokio::test]
async fn what_a_kept_release_runs_stays() {
    let (ledger, app) = Ledger::with_app().await;
    let id = app.id;
    // v5 is a rollback to v1's slug, v3 is current although newer ones exist.
    releases(&ledger, app, "abcda", 3).await;
    assert_eq!(expire(&ledger, 1, 9).await, 2);
    assert_eq!(shown(&ledger, id).await, "v1 v2- v3* v4- v5 ac");
}

#[tokio::test]
async fn a_shared_slug_keeps_its_layers_until_the_last_release_expires() {
    let (ledger, app) = Ledger::with_app().await;
    let id = app.id;
    releases(&ledger, app, "aab", 3).await;
    assert_eq!(expire(&ledger, 1, 1).await, 1);
    assert!(shown(&ledger, id).await.ends_with(" ab"), "one of the two still stands");
    assert_eq!(expire(&ledger, 1, 1).await, 1);
    assert_eq!(shown(&ledger, id).await, "v1- v2- v3* b");
}

#[tokio::test]
async fn outputs_of_the_newest_and_of_what_runs_are_kept() {
    let (ledger, app) = Ledger::with_app().await;
    let builds: Vec<_> = [(1, BuildStatus::Failed), (2, BuildStatus::Succeeded), (3, BuildStatus::Building)]
        .map(|(second, status)| Build { status, created_at: at(second), ..build(&app) })
        .into();
    let releases: Vec<_> =
        (1..=3).map(|version| Release { current: version == 1, ..release(&app, version) }).collect();
    let (inserted, released) = (builds.clone(), releases.clone());
    let insert = ledger.store.write(move |tx| {
        inserted.iter().try_for_each(|build| tx.build_insert(build))?;
        released.iter().try_for_each(|release| tx.release_insert(release))
    });
    insert.await.unwrap();
    let names = |builds: &[Build], releases: &[Release]| -> BTreeSet<String> {
        let builds = builds.iter().map(|build| build.id.to_string());
        builds.chain(releases.iter().map(|release| release.id.to_string())).collect()
    };
    let kept = async |keep| ledger.store.read(move |read| read.outputs_kept(keep)).await.unwrap();
    // The current release is the oldest one.
    let (newest, current) = (&releases[2..], &releases[..1]);
    assert_eq!(kept(1).await, names(&builds[2..], newest).union(&names(&[], current)).cloned().collect());
    assert_eq!(kept(2).await, names(&builds[1..], &releases));

    let (build, release) = (builds[0].id.to_string(), releases[0].id.to_string());
    let stranger = AppId::random().to_string();
    let owned = ledger.store.read(move |read| {
        [build, release, stranger, "../x".into()].iter().map(|name| read.output_has_owner(name)).collect()
    });
    let owned: Result<Vec<bool>, StoreError> = owned.await;
    assert_eq!(owned.unwrap(), [true, true, false, false]);
}

#[test]
fn failures_become_refusals() {
    let said = |error: StoreError| {
        let refusal = Refusal::from(error);
        (refusal.fault, refusal.say)
    };
    let app = said(StoreError::NotFound { what: "app" });
    assert_eq!(app, (Fault::NotFound("app"), "Couldn't find that app.".into()));
    let name = said(StoreError::Conflict { what: "app name" });
    assert_eq!(name, (Fault::Invalid, "Name is already taken".into()));
    assert_eq!(said(StoreError::Conflict { what: "email" }).0, Fault::Invalid);
    assert_eq!(said(StoreError::Conflict { what: "unfinished build" }).0, Fault::Conflict);
    assert_eq!(said(StoreError::Stale { what: "dyno", id: "x".into() }).0, Fault::Conflict);
    assert_eq!(said(StoreError::Full { operation: "insert an app" }).0, Fault::Unavailable);

    let panicked = Refusal::from(StoreError::Panicked { message: "hunter2".into() });
    assert_eq!(panicked.fault, Fault::Internal);
    assert!(!panicked.say.contains("hunter2") && panicked.context.unwrap().contains("hunter2"));
}
