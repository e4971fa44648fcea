use rand::{Rng, SeedableRng, rngs::StdRng};
use renga_model::RouteDyno;

use super::*;

fn table(generation: u64, hosts: &[&str], dynos: &[DynoId]) -> RouteTable {
    let dyno = |id: &DynoId| RouteDyno {
        id: *id,
        name: "web.1".parse().unwrap(),
        address: "127.0.0.1:1".parse().unwrap(),
    };
    let app = RouteApp {
        id: AppId::from_uuid(uuid::Uuid::from_u128(1)),
        name: "app".parse().unwrap(),
        hosts: hosts.iter().map(ToString::to_string).collect(),
        certificates: BTreeMap::new(),
        maintenance: false,
        web: WebState::Up,
        dynos: dynos.iter().map(dyno).collect(),
        error_page_url: None,
        maintenance_page_url: None,
        flags: renga_model::RouteFlags::default(),
    };
    RouteTable { generation, apps: vec![app], ..RouteTable::default() }
}

#[test]
fn older_generations_lose_and_equal_ones_change_nothing() {
    let tables = Tables::new(1);
    tables.publish(table(5, &["a.localhost"], &[])).unwrap();
    assert_eq!(tables.publish(table(4, &[], &[])), Err(Refused::Stale { seen: 5 }));
    tables.publish(table(5, &["b.localhost"], &[])).unwrap();
    assert_eq!(tables.current().find("a.localhost"), Some(0));
    assert_eq!(tables.current().find("b.localhost"), None);
    assert_eq!(tables.version(), 1);
}

#[test]
fn the_exact_name_wins_over_the_wildcard() {
    let tables = Tables::new(1);
    let mut both = table(1, &["*.example.com"], &[]);
    both.apps.push(RouteApp {
        id: AppId::random(),
        hosts: vec!["www.example.com".into()],
        certificates: BTreeMap::new(),
        ..both.apps[0].clone()
    });
    tables.publish(both).unwrap();
    let current = tables.current();
    assert_eq!(current.find("www.example.com"), Some(1));
    assert_eq!(current.find("x.example.com"), Some(0));
    assert_eq!(current.find("example.com"), None);
}

#[test]
fn an_app_is_idle_while_nothing_is_under_way() {
    let tables = Tables::new(1);
    let mut asleep = table(1, &["a.localhost"], &[]);
    asleep.apps[0].web = WebState::Asleep;
    let id = asleep.apps[0].id;
    tables.publish(asleep).unwrap();
    let counters = tables.current().apps[0].counters.clone();
    assert_eq!((counters.idle_ms(7_000), tables.waiting()), (Some(7_000), BTreeSet::new()));
    assert_eq!(counters.enter(2_000), 0);
    assert_eq!((tables.idle_ms(), tables.waiting()), (BTreeMap::new(), BTreeSet::from([id])));
    // A long one: the time begins when it was last seen.
    assert_eq!(counters.idle_ms(5_000), None);
    counters.leave();
    assert_eq!((counters.idle_ms(5_400), tables.waiting()), (Some(400), BTreeSet::new()));
}

#[test]
fn requests_of_a_former_dyno_are_counted_until_they_end() {
    let (old, new) = (DynoId::random(), DynoId::random());
    let tables = Tables::new(2);
    tables.publish(table(1, &[], &[old])).unwrap();
    let counters = tables.current().apps[0].dynos[0].counters.clone();
    counters.enter(0);
    counters.enter(1);
    tables.publish(table(2, &[], &[new])).unwrap();
    assert_eq!(tables.in_flight(), BTreeMap::from([(old, 2)]));
    counters.leave(0);
    counters.leave(1);
    assert_eq!(tables.in_flight(), BTreeMap::new());
    tables.publish(table(3, &[], &[new])).unwrap();
    assert_eq!(lock(&tables.publisher).dynos.len(), 1);
}

// === changes ===

const APPS: u128 = 150;

fn drawn_app(rng: &mut StdRng, id: AppId) -> RouteApp {
    let host = |rng: &mut StdRng| match rng.random_range(0..4) {
        0 => format!("*.d{}.example", rng.random_range(0..5)),
        1 => format!("Www.d{}.example", rng.random_range(0..5)),
        // Names move from app to app, and are claimed twice.
        _ => format!("n{}.localhost", rng.random_range(0..APPS * 2)),
    };
    let hosts: Vec<_> = (0..rng.random_range(0..4)).map(|_| host(rng)).collect();
    let dyno = |number: u32| {
        let mut bytes = *id.uuid().as_bytes();
        bytes[0] = u8::try_from(number).unwrap();
        RouteDyno {
            id: DynoId::from_uuid(uuid::Uuid::from_bytes(bytes)),
            name: "web.1".parse().unwrap(),
            address: format!("127.0.0.1:{}", 1 + number).parse().unwrap(),
        }
    };
    let certificates = hosts.first().map(|host| (host.clone(), "v1".to_owned()));
    RouteApp {
        id,
        certificates: certificates.into_iter().filter(|_| rng.random_bool(0.2)).collect(),
        hosts,
        maintenance: rng.random_bool(0.5),
        dynos: (0..rng.random_range(0..3)).map(|_| dyno(rng.random_range(0..200))).collect(),
        ..table(1, &[], &[]).apps[0].clone()
    }
}

/// All that a table says.
fn said(tables: &Tables) -> serde_json::Value {
    let current = tables.current();
    let numbers = (0..APPS * 2).map(|n| format!("n{n}.localhost"));
    let domains = (0..5).flat_map(|n| ["www", "a", "b.c"].map(|label| format!("{label}.d{n}.example")));
    let found = |host: String| {
        let app = current.find(&host).map(|app| current.apps[app].counters.id);
        let certificate = current.certificate(&host).map(|(name, version)| (name.to_owned(), version));
        serde_json::json!([host, app, certificate])
    };
    let hosts: Vec<_> = numbers.chain(domains).map(found).collect();
    let row = |app: &App| {
        let dynos: Vec<_> =
            app.dynos.iter().map(|dyno| (dyno.id, dyno.address, dyno.counters.has_left())).collect();
        (app.row.id, serde_json::json!([app.maintenance, dynos]))
    };
    let apps: BTreeMap<_, _> = current.apps.iter().map(row).collect();
    serde_json::json!({ "whole": &*current, "hosts": hosts, "apps": apps })
}

#[test]
fn any_sequence_of_changes_makes_the_whole_table() {
    for seed in 0..40 {
        let mut rng = StdRng::seed_from_u64(seed);
        let (by_changes, by_wholes) = (Tables::new(2), Tables::new(2));
        let mut wanted = RouteTable::default();
        for generation in 1..30 {
            let touched: BTreeSet<_> =
                (0..rng.random_range(1..20)).map(|_| rng.random_range(1..=APPS)).collect();
            let ids = touched.into_iter().map(|id| AppId::from_uuid(uuid::Uuid::from_u128(id)));
            let now: Vec<_> =
                ids.map(|id| (id, rng.random_bool(0.7).then(|| drawn_app(&mut rng, id)))).collect();
            let change = wanted.change_to(generation, now);
            wanted.apply(&change);
            by_changes.change(change.clone()).unwrap();
            // A reply that was lost: the same once more.
            by_changes.change(change).unwrap();
            by_wholes.publish(wanted.clone()).unwrap();
            let fresh = Tables::new(2);
            fresh.publish(wanted.clone()).unwrap();
            let expected = said(&fresh);
            assert_eq!(said(&by_changes), expected, "seed {seed}, generation {generation}");
            assert_eq!(said(&by_wholes), expected, "seed {seed}, generation {generation}");
            for tables in [&by_changes, &by_wholes] {
                assert_eq!(tables.version(), generation);
                let (publisher, fresh) = (lock(&tables.publisher), lock(&fresh.publisher));
                assert_eq!(publisher.sizes(), fresh.sizes(), "what nobody names is forgotten");
            }
        }
    }
}

#[test]
fn a_change_of_another_table_is_not_taken() {
    let tables = Tables::new(1);
    let app = || table(1, &["a.localhost"], &[]).apps;
    let change = |from, to| RouteChange { from, to, changed: app(), ..RouteChange::default() };
    assert_eq!(tables.change(change(3, 4)), Err(Refused::Behind { generation: 0 }));
    tables.publish(table(5, &[], &[])).unwrap();
    assert_eq!(tables.change(change(3, 4)), Err(Refused::Stale { seen: 5 }));
    assert_eq!(tables.change(change(4, 6)), Err(Refused::Behind { generation: 5 }));
    // Here already, by whatever way.
    assert_eq!(tables.change(change(4, 5)), Ok(()));
    assert_eq!(tables.current().find("a.localhost"), None);
    assert_eq!(tables.change(change(5, 9)), Ok(()));
    assert_eq!(tables.current().find("a.localhost"), Some(0));
}

#[test]
fn what_has_not_changed_is_shared() {
    let tables = Tables::new(1);
    let named = |n: u128| RouteApp {
        id: AppId::from_uuid(uuid::Uuid::from_u128(n)),
        ..table(1, &[&format!("n{n}.localhost")], &[]).apps[0].clone()
    };
    let all = RouteTable { generation: 1, apps: (1..=10_000).map(named).collect(), ..RouteTable::default() };
    tables.publish(all.clone()).unwrap();
    let before = tables.current();
    let mut app = named(5_000);
    app.maintenance = true;
    tables
        .change(RouteChange { from: 1, to: 2, changed: vec![app.clone()], ..RouteChange::default() })
        .unwrap();
    let after = tables.current();
    let same = |id: u128| {
        std::ptr::eq(
            &before.apps[usize::try_from(id - 1).unwrap()],
            &after.apps[usize::try_from(id - 1).unwrap()],
        )
    };
    let others = (1..=10_000).filter(|id| !same(*id)).collect::<Vec<_>>();
    assert_eq!(others, [5_000]);
    assert!(Arc::ptr_eq(&before.hosts, &after.hosts));
    // A whole table that says the same shares as well.
    let mut next = RouteTable { generation: 3, ..all };
    next.apps[4_999] = app;
    tables.publish(next).unwrap();
    let last = tables.current();
    assert!((0..10_000).all(|place| std::ptr::eq(&after.apps[place], &last.apps[place])));
}
