//! Slugs, releases, builds, dynos: what an app is made of, its states, and that all of it goes with the app.

use std::collections::{BTreeMap, BTreeSet};

use renga_model::{
    AcmName, AttachClient, Build, BuildSource, BuildStatus, ConfigVars, Dyno, DynoEvent, DynoId, DynoState,
    Exit, ExitReason, Hostname, LogLine, LogSource, OneOff, Release, ReleaseId, ReleaseStatus, Secret,
    SlugId, SlugUpload, Worker,
};
use renga_store::{BuildCache, OrNone, Sleep, Slot, StepKey, StoreError};

use crate::{
    access::{collaborator, transfer},
    fixture::{
        Ledger, account, at, build, domain, dyno, formation, layer, oci_image, release, slug, slug_upload,
        sni_endpoint,
    },
};

/// Everything in one transaction: queries see its own changes.
async fn in_tx(
    ledger: &Ledger,
    f: impl FnOnce(&renga_store::Tx<'_>) -> Result<(), StoreError> + Send + 'static,
) {
    ledger.store.write(f).await.unwrap();
}

#[tokio::test]
async fn slugs_and_the_layers_that_are_needed() {
    let (ledger, app) = Ledger::with_app().await;
    in_tx(&ledger, move |tx| {
        let one = slug(&app, vec![layer('b', Some("runtime")), layer('a', None)]);
        let two = renga_model::Slug {
            layers: vec![],
            commit: None,
            process_types: BTreeMap::new(),
            created_at: at(6),
            ..slug(&app, vec![])
        };
        tx.slug_insert(&one)?;
        tx.slug_insert(&two)?;
        assert_eq!(tx.slug_fetch(one.id)?, one);
        assert_eq!(tx.slug_list(app.id)?, [one, two]);

        assert_eq!(tx.build_cache_fetch(app.id)?, None);
        let cache = BuildCache {
            cache: Some(layer('c', None)),
            layers: vec![layer('e', Some("z")), layer('b', Some("runtime"))],
            facts: BTreeMap::from([("python.version".into(), "3.13".into())]),
        };
        tx.build_cache_put(app.id, &BuildCache { cache: Some(layer('f', None)), ..cache.clone() })?;
        tx.build_cache_put(app.id, &cache)?;
        assert_eq!(tx.build_cache_fetch(app.id)?, Some(cache));
        let digests =
            |digits: &str| digits.chars().map(|digit| layer(digit, None).digest).collect::<BTreeSet<_>>();
        assert_eq!(tx.layers_in_use()?, digests("abce"));

        assert!(tx.build_cache_delete(app.id)?);
        assert_eq!(tx.build_cache_fetch(app.id)?, None);
        assert_eq!(tx.layers_in_use()?, digests("ab"));
        tx.build_cache_put(app.id, &BuildCache::default())?;
        assert_eq!(tx.build_cache_fetch(app.id)?, Some(BuildCache::default()));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn slugs_that_are_brought() {
    let (ledger, app) = Ledger::with_app().await;
    in_tx(&ledger, move |tx| {
        let old = slug_upload(&app);
        let new = SlugUpload { id: SlugId::random(), checksum: None, created_at: at(7), ..old.clone() };
        tx.slug_upload_insert(&new)?;
        tx.slug_upload_insert(&old)?;
        assert_eq!(tx.slug_upload_fetch(old.id)?, old);
        assert_eq!(
            (tx.slug_upload_list()?, tx.slug_upload_count(app.id)?),
            (vec![old.clone(), new.clone()], 2)
        );
        assert_eq!(tx.slug_upload_list_older(at(5))?, std::slice::from_ref(&old));

        // Of the one that was released the slug stays whole, of the other only what it was.
        for (upload, version) in [(&old, None), (&new, Some(1))] {
            let made = renga_model::Slug {
                id: upload.id,
                checksum: upload.checksum.clone(),
                ..slug(&app, vec![layer('a', None)])
            };
            tx.slug_insert(&made)?;
            assert_eq!(tx.slug_fetch(upload.id)?, made);
            if let Some(version) = version {
                tx.release_insert(&Release { slug: Some(upload.id), ..release(&app, version) })?;
            }
            tx.slug_upload_delete(upload.id)?;
            assert!(tx.slug_upload_fetch(upload.id).or_none()?.is_none());
            assert_eq!(tx.slug_fetch(upload.id)?.layers.is_empty(), version.is_none());
        }
        tx.slug_upload_insert(&SlugUpload { id: SlugId::random(), ..new })?;
        let unpacked = Build { source: BuildSource::Slug { slug: old.id }, ..build(&app) };
        tx.build_insert(&unpacked)?;
        assert_eq!(tx.build_fetch(unpacked.id)?, unpacked);
        tx.app_delete(app.id)?;
        assert_eq!(tx.slug_upload_list()?, []);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn releases_are_numbered_without_gaps_and_found() {
    let (ledger, app) = Ledger::with_app().await;
    in_tx(&ledger, move |tx| {
        assert_eq!((tx.release_latest(app.id)?, tx.release_current(app.id)?), (None, None));
        let slug = slug(&app, vec![]);
        tx.slug_insert(&slug)?;
        let full = Release {
            slug: Some(slug.id),
            command_dyno: Some(DynoId::random()),
            status: ReleaseStatus::Pending,
            ..release(&app, 1)
        };
        let bare = Release { config: ConfigVars::default(), attachments: vec![], ..release(&app, 2) };
        for release in [&full, &bare] {
            assert_eq!(tx.release_next_version(app.id)?, release.version);
            tx.release_insert(release)?;
        }
        for wrong in [2, 4] {
            let refused = tx.release_insert(&release(&app, wrong));
            assert!(matches!(refused, Err(StoreError::Conflict { what: "release version" })), "{refused:?}");
        }
        let three = release(&app, 3);
        tx.release_insert(&three)?;

        assert_eq!(tx.release_fetch(full.id)?, full);
        assert_eq!(tx.release_find(app.id, 2)?, Some(bare));
        assert_eq!(tx.release_find(app.id, 9)?, None);
        assert_eq!(tx.release_latest(app.id)?, Some(three));
        assert_eq!(tx.release_list_pending()?, [full]);
        let list = |descending, limit, after| -> Result<Vec<u64>, StoreError> {
            Ok(tx.release_list(app.id, descending, limit, after)?.iter().map(|r| r.version).collect())
        };
        assert_eq!(list(false, 9, None)?, [1, 2, 3]);
        assert_eq!(list(true, 2, None)?, [3, 2]);
        assert_eq!(list(true, 2, Some(2))?, [1]);
        assert_eq!(list(false, 1, Some(1))?, [2]);
        assert_eq!(list(false, usize::MAX, Some(3))?, [0u64; 0]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_release_changes_its_status_and_nothing_else() {
    let (ledger, app) = Ledger::with_app().await;
    let one = Release { status: ReleaseStatus::Pending, ..release(&app, 1) };
    let (two, id) = (release(&app, 2), one.id);
    in_tx(&ledger, move |tx| {
        tx.release_insert(&one)?;
        tx.release_insert(&two)?;
        tx.release_set_status(one.id, ReleaseStatus::Pending, ReleaseStatus::Succeeded, at(50))?;
        let again = tx.release_set_status(one.id, ReleaseStatus::Pending, ReleaseStatus::Failed, at(51));
        assert!(matches!(again, Err(StoreError::Stale { what: "release", .. })), "{again:?}");
        let nobody = ReleaseId::random();
        assert!(matches!(
            tx.release_set_status(nobody, ReleaseStatus::Pending, ReleaseStatus::Failed, at(51)),
            Err(StoreError::NotFound { what: "release" })
        ));
        assert!(matches!(tx.release_make_current(nobody, at(51)), Err(StoreError::NotFound { .. })));

        tx.release_make_current(one.id, at(52))?;
        tx.release_make_current(one.id, at(52))?;
        let current =
            Release { status: ReleaseStatus::Succeeded, current: true, updated_at: at(52), ..one.clone() };
        assert_eq!(tx.release_current(app.id)?, Some(current));
        tx.release_make_current(two.id, at(53))?;
        assert_eq!(tx.release_current(app.id)?.map(|r| r.version), Some(2));
        assert!(!tx.release_fetch(one.id)?.current);
        let second = Release { current: true, ..release(&app, 3) };
        assert!(matches!(tx.release_insert(&second), Err(StoreError::Conflict { what: "current release" })));
        Ok(())
    })
    .await;

    // Even somebody with a shell on the file is refused.
    let conn = rusqlite::Connection::open(ledger.path()).unwrap();
    let id = id.uuid().into_bytes();
    for sql in [
        "UPDATE release SET description = 'x' WHERE id = ?1",
        "UPDATE release SET version = 7 WHERE id = ?1",
        "DELETE FROM release WHERE id = ?1",
    ] {
        assert!(conn.execute(sql, [id]).unwrap_err().to_string().contains("a release is never"), "{sql}");
    }
}

#[tokio::test]
async fn an_app_has_one_unfinished_build() {
    let (ledger, app) = Ledger::with_app().await;
    in_tx(&ledger, move |tx| {
        let one = build(&app);
        let url = BuildSource::Url {
            url: "https://x/y.tgz".into(),
            checksum: Some("SHA256:00".into()),
            version: Some("v1".into()),
            description: None,
        };
        let two =
            Build { source: url, buildpacks: vec!["heroku/go".into()], created_at: at(4), ..build(&app) };
        tx.build_insert(&one)?;
        assert_eq!(tx.build_fetch(one.id)?, one);
        let refused = tx.build_insert(&two);
        assert!(matches!(refused, Err(StoreError::Conflict { what: "unfinished build" })), "{refused:?}");
        let building = Build { status: BuildStatus::Building, updated_at: at(5), ..one.clone() };
        tx.build_update(&building, BuildStatus::Pending)?;
        assert!(tx.build_insert(&two).is_err());
        assert_eq!(tx.build_list_unfinished()?, std::slice::from_ref(&building));

        let (slug, release) = (slug(&app, vec![]), release(&app, 1));
        let over = Build {
            status: BuildStatus::Succeeded,
            slug: Some(slug.id),
            release: Some(release.id),
            buildpacks: vec!["heroku/python".into()],
            ..building
        };
        assert!(matches!(tx.build_update(&over, BuildStatus::Building), Err(StoreError::Dangling { .. })));
        tx.slug_insert(&slug)?;
        tx.release_insert(&release)?;
        tx.build_update(&over, BuildStatus::Building)?;
        let late = Build { status: BuildStatus::Failed, failure: Some("late".into()), ..over.clone() };
        assert!(matches!(
            tx.build_update(&late, BuildStatus::Building),
            Err(StoreError::Stale { what: "build", .. })
        ));
        assert!(tx.build_update(&build(&app), BuildStatus::Pending).or_none()?.is_none());

        tx.build_insert(&two)?;
        assert_eq!(tx.build_list(app.id, 9)?, [two.clone(), over]);
        assert_eq!(tx.build_list(app.id, 1)?, [two]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn dynos_come_back_as_they_were() {
    let (ledger, app) = Ledger::with_app().await;
    in_tx(&ledger, move |tx| {
        let release = release(&app, 1);
        tx.release_insert(&release)?;
        let one_off = OneOff {
            attach_hash: Some("ab".into()),
            client: AttachClient::Gone(at(20)),
            force_no_tty: false,
            env: BTreeMap::from([("A".into(), Secret::new("b"))]),
            time_to_live_s: Some(60),
        };
        let exit = Exit::new(137, ExitReason::NotStarted("no \"image\"".into()), at(30));
        let full = Dyno {
            worker: Worker::OneOff(one_off),
            release: Some(release.id),
            release_version: Some(1),
            state: DynoState::Exited,
            generation: 7,
            address: Some("[fd00::1]:5000".parse().unwrap()),
            exit: Some(exit),
            ..dyno(&app, "run.4711")
        };
        let bare = OneOff {
            attach_hash: None,
            client: AttachClient::Awaited,
            force_no_tty: true,
            env: BTreeMap::new(),
            time_to_live_s: None,
        };
        let bare = Dyno { worker: Worker::OneOff(bare), ..dyno(&app, "run.12") };
        let web = [dyno(&app, "web.10"), dyno(&app, "web.2")];
        let others = [
            Dyno { worker: Worker::Build, ..dyno(&app, "build.1") },
            Dyno { worker: Worker::ReleasePhase, ..dyno(&app, "release.1") },
        ];
        for dyno in [&full, &bare].into_iter().chain(&web).chain(&others) {
            tx.dyno_insert(dyno)?;
            assert_eq!(&tx.dyno_fetch(dyno.id)?, dyno);
        }
        let [ten, two] = web;
        let [build, phase] = others;
        let all = [build, phase, bare, full.clone(), two, ten];
        assert_eq!(tx.dyno_list_for_app(app.id)?, all);
        assert_eq!(tx.dyno_list()?, all);
        let (gone, outlived) = (AttachClient::Gone(at(20)), AttachClient::Outlived);
        assert!(!tx.dyno_move_client(full.id, AttachClient::Gone(at(19)), outlived)?);
        assert!(!tx.dyno_move_client(full.id, AttachClient::Connected, outlived)?);
        assert!(tx.dyno_move_client(full.id, gone, outlived)?);
        assert!(matches!(tx.dyno_fetch(full.id)?.worker, Worker::OneOff(run) if run.client == outlived));
        assert!(tx.dyno_delete(full.id)?);
        assert!(!tx.dyno_delete(full.id)?);
        assert!(tx.dyno_fetch(full.id).or_none()?.is_none());
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_dyno_moves_by_compare_and_set() {
    let (ledger, app) = Ledger::with_app().await;
    in_tx(&ledger, move |tx| {
        let web = dyno(&app, "web.1");
        tx.dyno_insert(&web)?;
        let starting = tx.dyno_move(web.id, 0, DynoEvent::Start, at(21))?;
        let expected = Dyno { state: DynoState::Starting, generation: 1, updated_at: at(21), ..web.clone() };
        assert_eq!(starting, expected);
        assert!(matches!(
            tx.dyno_move(web.id, 0, DynoEvent::Ask, at(22)),
            Err(StoreError::Stale { what: "dyno", .. })
        ));
        assert!(matches!(
            tx.dyno_move(web.id, 1, DynoEvent::Start, at(22)),
            Err(StoreError::IllegalMove { dyno, .. }) if dyno == web.id
        ));
        let address = "10.0.0.2:5000".parse().unwrap();
        tx.dyno_set_address(web.id, address)?;
        let up = tx.dyno_move(web.id, 1, DynoEvent::Ready, at(23))?;
        assert_eq!((up.state, up.generation, up.address), (DynoState::Up, 2, Some(address)));

        let exit = Exit::new(1, ExitReason::OutOfMemory, at(24));
        assert!(matches!(tx.dyno_set_exit(web.id, 1, &exit, at(25)), Err(StoreError::Stale { .. })));
        let exited = tx.dyno_set_exit(web.id, 2, &exit, at(25))?;
        assert_eq!(
            (exited.state, exited.generation, exited.exit),
            (DynoState::Exited, 3, Some(exit.clone()))
        );
        assert!(matches!(tx.dyno_set_exit(web.id, 3, &exit, at(26)), Err(StoreError::IllegalMove { .. })));
        assert!(tx.dyno_move(DynoId::random(), 0, DynoEvent::Ask, at(26)).or_none()?.is_none());
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn slots_count_crashes() {
    let (ledger, app) = Ledger::with_app().await;
    in_tx(&ledger, move |tx| {
        let slot = |name: &str, crashes| Slot {
            app: app.id,
            name: name.parse().unwrap(),
            crashes,
            last_crash_at: at(40),
        };
        for slot in [slot("web.10", 1), slot("web.2", 1), slot("worker.1", 4), slot("web.2", 2)] {
            tx.slot_put(&slot)?;
        }
        assert_eq!(tx.slot_fetch_all(app.id)?, [slot("web.2", 2), slot("web.10", 1), slot("worker.1", 4)]);
        tx.slot_clear(app.id, Some(&"web".parse().unwrap()))?;
        assert_eq!(tx.slot_fetch_all(app.id)?, [slot("worker.1", 4)]);
        tx.slot_clear(app.id, None)?;
        assert!(tx.slot_fetch_all(app.id)?.is_empty());
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn sleep_begins_and_ends() {
    let (ledger, app) = Ledger::with_app().await;
    in_tx(&ledger, move |tx| {
        assert_eq!(tx.sleep_fetch(app.id)?, None);
        let asleep = Sleep { app: app.id, asleep: true, frozen_until: Some(at(45)), since: at(40) };
        tx.sleep_put(asleep)?;
        assert_eq!(tx.sleep_fetch(app.id)?, Some(asleep));
        assert_eq!(tx.sleep_list_frozen(at(44))?, [asleep]);
        assert_eq!(tx.sleep_list_frozen(at(45))?, []);
        tx.sleep_end(app.id, at(50))?;
        let awake = Sleep { app: app.id, asleep: false, frozen_until: None, since: at(50) };
        assert_eq!(tx.sleep_fetch(app.id)?, Some(awake));
        assert_eq!(tx.sleep_list_frozen(at(44))?, []);
        Ok(())
    })
    .await;
}

/// Tables that no app has rows in.
const UNRELATED: [&str; 15] = [
    "acme_account",
    "counter",
    "letter",
    "oauth_client",
    "one_time",
    "recovery_code",
    "setting",
    "source",
    "ssh_key",
    "team",
    "team_invitation",
    "team_member",
    "token",
    "token_earlier",
    "two_factor",
];

#[tokio::test]
async fn everything_of_an_app_goes_with_it() {
    let (ledger, app) = Ledger::with_app().await;
    let id = app.id;
    in_tx(&ledger, move |tx| {
        let slug = slug(&app, vec![layer('a', None)]);
        tx.slug_insert(&slug)?;
        tx.slug_upload_insert(&slug_upload(&app))?;
        tx.oci_image_insert(&oci_image(&app))?;
        let release = Release { slug: Some(slug.id), current: true, ..release(&app, 1) };
        tx.release_insert(&release)?;
        tx.build_insert(&Build { slug: Some(slug.id), release: Some(release.id), ..build(&app) })?;
        tx.dyno_insert(&Dyno { release: Some(release.id), ..dyno(&app, "web.1") })?;
        tx.formation_put(&formation(&app, "web", 1))?;
        let cache = BuildCache { cache: Some(layer('c', None)), ..BuildCache::default() };
        tx.build_cache_put(app.id, &cache)?;
        tx.slot_put(&Slot { app: id, name: "web.1".parse().unwrap(), crashes: 1, last_crash_at: at(1) })?;
        tx.sleep_put(Sleep { app: id, asleep: true, frozen_until: None, since: at(1) })?;
        let bob = account("bob@example.com");
        tx.account_insert(&bob, None)?;
        tx.collaborator_insert(&collaborator(&app, &bob, &[]))?;
        tx.app_transfer_insert(&transfer(&app, &bob))?;
        let line =
            LogLine { at: at(1), source: LogSource::App, ps: "api".into(), text: "Scaled to web@1".into() };
        tx.say(id, &line)?;
        tx.favorite_put(bob.id, id, at(1))?;
        tx.favorite_put(bob.id, id, at(2))?;
        assert_eq!(tx.favorite_list(bob.id)?, [id]);
        let endpoint = sni_endpoint(&app);
        tx.sni_endpoint_put(&endpoint, &Secret::new("a key"))?;
        let domain = domain(&app, "www.example.com", Some(endpoint.id));
        tx.domain_insert(&domain)?;
        tx.acm_name_insert(&AcmName::new(domain.hostname, domain.id, at(1)))?;
        tx.step_start(StepKey { workflow: "build", run: id.uuid(), name: "x" }, id, at(1)).map(drop)
    })
    .await;

    let conn = rusqlite::Connection::open(ledger.path()).unwrap();
    let tables =
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
    let tables: Vec<String> =
        conn.prepare(tables).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let filled = || -> Vec<&str> {
        let rows = |table: &str| {
            conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |r| r.get::<_, u32>(0))
        };
        tables.iter().map(String::as_str).filter(|table| rows(table).unwrap() > 0).collect()
    };
    let expected: Vec<_> = tables.iter().map(String::as_str).filter(|t| !UNRELATED.contains(t)).collect();
    assert_eq!(filled(), expected, "the test fills every table that belongs to apps");
    assert!(ledger.store.write(move |tx| tx.app_delete(id)).await.unwrap());
    // That it is gone is for whoever keeps routes to hear, who clears the marks when he reads everything anew.
    assert_eq!(filled(), ["account", "acm_name", "key_check", "route_mark"]);
    ledger.store.write(|tx| tx.route_marks_clear()).await.unwrap();
    // What may still stand in DNS for a name has to be taken away first: it is due at once.
    let due = ledger.store.read(|read| read.acm_name_due(at(0))).await.unwrap();
    assert_eq!(due.iter().map(Hostname::as_str).collect::<Vec<_>>(), ["www.example.com"]);
    let gone = ledger.store.write(move |tx| tx.acm_name_delete(&due[0], 1)).await.unwrap();
    assert!(gone);
    assert_eq!(filled(), ["account", "key_check"]);
}

#[tokio::test]
async fn a_certificates_key_is_sealed_and_domains_outlive_certificates() {
    let (ledger, app) = Ledger::with_app().await;
    let endpoint = sni_endpoint(&app);
    let (id, put) = (endpoint.id, endpoint.clone());
    in_tx(&ledger, move |tx| {
        tx.sni_endpoint_put(&put, &Secret::new("a key that nobody may read"))?;
        tx.domain_insert(&domain(&app, "www.example.com", Some(put.id)))?;
        tx.domain_insert(&domain(&app, "api.example.com", None))
    })
    .await;
    let read = ledger.store.read(move |read| {
        Ok::<_, StoreError>((
            read.sni_endpoint_fetch(id)?,
            read.sni_endpoint_key(id)?,
            read.domain_list_below("example.com")?,
        ))
    });
    let (found, key, below) = read.await.unwrap();
    assert_eq!((found, key.expose()), (endpoint, "a key that nobody may read"));
    assert_eq!(
        below.iter().map(|d| d.hostname.as_str()).collect::<Vec<_>>(),
        ["api.example.com", "www.example.com"]
    );
    let conn = rusqlite::Connection::open(ledger.path()).unwrap();
    let sealed: Vec<u8> =
        conn.query_row("SELECT sealed_key FROM sni_endpoint", [], |row| row.get(0)).unwrap();
    assert!(!sealed.windows(5).any(|window| window == b"a key"));
    in_tx(&ledger, move |tx| tx.sni_endpoint_delete(id).map(|gone| assert!(gone))).await;
    let left = ledger.store.read(|read| read.domain_find("www.example.com")).await.unwrap().unwrap();
    assert_eq!(left.sni_endpoint, None);
}
