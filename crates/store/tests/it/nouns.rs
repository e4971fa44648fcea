//! Every noun: in, out, found, changed, refused.

use renga_model::{Account, App, Buildpack, Token, TokenId, TokenScope};
use renga_store::{
    OrNone, PasswordHash, Source, Step, StepKey, StepState, StoreError, TokenValue, ValueHash,
};

use crate::fixture::{Ledger, account, app_of, at, formation};

/// Runs everything in one transaction: queries see its own changes.
async fn in_tx(
    ledger: &Ledger,
    f: impl FnOnce(&renga_store::Tx<'_>) -> Result<(), StoreError> + Send + 'static,
) {
    ledger.store.write(f).await.unwrap();
}

#[tokio::test]
async fn accounts() {
    let ledger = Ledger::new();
    let hash = PasswordHash::new(&renga_model::Secret::new("pw")).unwrap();
    in_tx(&ledger, move |tx| {
        let (ada, bob) = (account("Ada@Example.com"), Account { name: None, ..account("bob@example.com") });
        tx.account_insert(&bob, None)?;
        tx.account_insert(&ada, Some(&hash))?;
        assert_eq!(tx.account_fetch(ada.id)?, ada);
        assert_eq!(tx.account_find_by_email("ada@EXAMPLE.com")?, Some(ada.clone()));
        assert_eq!(tx.account_find_by_email("eve@example.com")?, None);
        assert_eq!(tx.account_list()?, [ada.clone(), bob.clone()]);

        assert_eq!(tx.account_password_hash(ada.id)?, Some(hash.clone()));
        assert_eq!(tx.account_password_hash(bob.id)?, None);
        tx.account_set_password(bob.id, &hash, at(9))?;
        assert_eq!(tx.account_password_hash(bob.id)?, Some(hash.clone()));
        assert_eq!(tx.account_fetch(bob.id)?.updated_at, at(9));

        let twin = tx.account_insert(&account("ADA@example.com"), None);
        assert!(matches!(twin, Err(StoreError::Conflict { what: "email" })), "{twin:?}");
        let nobody = account("x").id;
        assert!(matches!(tx.account_fetch(nobody), Err(StoreError::NotFound { what: "account" })));
        assert!(tx.account_password_hash(nobody).or_none()?.is_none());
        assert!(tx.account_set_password(nobody, &hash, at(9)).is_err());
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn tokens() {
    let ledger = Ledger::new();
    in_tx(&ledger, |tx| {
        let ada = account("ada@example.com");
        tx.account_insert(&ada, None)?;
        let value = TokenValue::generate(&mut rand::rng());
        let token = Token {
            id: TokenId::random(),
            account: ada.id,
            description: "Long-lived".into(),
            scopes: vec![TokenScope::Read, TokenScope::WriteProtected],
            masked: value.mask(),
            created_at: at(2),
            expires_at: Some(at(3)),
        };
        let older = Token { id: TokenId::random(), created_at: at(1), expires_at: None, ..token.clone() };
        tx.token_insert(&token, &value.hash())?;
        tx.token_insert(&older, &ValueHash::of("other"))?;
        let twin = Token { id: TokenId::random(), ..token.clone() };
        assert!(matches!(tx.token_insert(&twin, &value.hash()), Err(StoreError::Conflict { what: "token" })));

        assert_eq!(tx.token_find_by_hash(&value.hash())?, Some((token.clone(), ada.clone())));
        assert_eq!(tx.token_find_by_hash(&ValueHash::of("guess"))?, None);
        assert_eq!(tx.token_fetch(token.id)?, token);
        assert_eq!(tx.token_list(ada.id)?, [older.clone(), token.clone()]);
        assert!(tx.token_delete(token.id)?);
        assert!(!tx.token_delete(token.id)?);
        assert_eq!(tx.token_list(ada.id)?, [older]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn apps() {
    let ledger = Ledger::new();
    in_tx(&ledger, |tx| {
        let (ada, bob) = (account("ada@example.com"), account("bob@example.com"));
        tx.account_insert(&ada, None)?;
        let shop = app_of(ada.id, "shop");
        let blog = App {
            maintenance: true,
            buildpacks: vec![Buildpack("heroku/python".into()), Buildpack("https://x/y.git#v1".into())],
            buildpack_provided_description: Some("Python".into()),
            detected_buildpack: Some("heroku/python".into()),
            repo_bytes: Some(1),
            slug_bytes: Some(u64::from(u32::MAX) * 4),
            released_at: Some(at(8)),
            features_on: vec!["spaces".into()],
            features_off: vec!["preboot".into()],
            ..app_of(ada.id, "blog")
        };
        tx.app_insert(&shop)?;
        tx.app_insert(&blog)?;
        assert_eq!(tx.app_fetch(blog.id)?, blog);
        assert_eq!(tx.app_find(&shop.name)?, Some(shop.clone()));
        assert_eq!(tx.app_list()?, [blog.clone(), shop.clone()]);
        assert_eq!(tx.app_list_for_owner(ada.id)?.len(), 2);
        assert!(tx.app_list_for_owner(bob.id)?.is_empty());

        let twin = app_of(ada.id, "shop");
        assert!(matches!(tx.app_insert(&twin), Err(StoreError::Conflict { what: "app name" })));
        let orphan = app_of(bob.id, "orphan");
        assert!(matches!(tx.app_insert(&orphan), Err(StoreError::Dangling { .. })));

        let renamed = App { name: "store".parse().unwrap(), created_at: blog.created_at, ..blog.clone() };
        tx.app_update(&renamed)?;
        assert_eq!(tx.app_fetch(blog.id)?, renamed);
        let clash = App { name: shop.name.clone(), ..renamed };
        assert!(matches!(tx.app_update(&clash), Err(StoreError::Conflict { what: "app name" })));
        assert!(matches!(tx.app_update(&orphan), Err(StoreError::NotFound { what: "app" })));

        tx.app_update(&App { deleted: true, ..shop.clone() })?;
        assert_eq!(tx.app_find(&shop.name)?, None);
        assert_eq!(tx.app_list()?.len(), 1);
        assert_eq!(tx.apps_deleted()?, [App { deleted: true, ..shop.clone() }]);
        tx.app_insert(&twin)?;
        assert!(tx.app_delete(shop.id)?);
        assert!(!tx.app_delete(shop.id)?);
        assert!(tx.apps_deleted()?.is_empty());
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn formations() {
    let (ledger, app) = Ledger::with_app().await;
    in_tx(&ledger, move |tx| {
        let (web, clock) = (formation(&app, "web", 1), formation(&app, "clock", 1));
        tx.formation_put(&web)?;
        tx.formation_put(&clock)?;
        let more = renga_model::Formation {
            id: formation(&app, "web", 0).id,
            quantity: 3,
            size: "Standard-2X".into(),
            epoch: 2,
            created_at: at(99),
            updated_at: at(99),
            ..web.clone()
        };
        tx.formation_put(&more)?;
        let kept = renga_model::Formation { id: web.id, created_at: web.created_at, ..more };
        assert_eq!(tx.formation_list(app.id)?, [clock, kept]);
        assert!(tx.formation_delete(app.id, &web.process_type)?);
        assert!(!tx.formation_delete(app.id, &web.process_type)?);
        assert_eq!(tx.formation_list(app.id)?.len(), 1);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn sources() {
    let ledger = Ledger::new();
    in_tx(&ledger, |tx| {
        let source = |s| Source {
            id: renga_model::SourceId::random(),
            secret_hash: ValueHash::of("secret"),
            created_at: at(s),
        };
        let (young, old, older) = (source(30), source(20), source(10));
        for source in [&young, &old, &older] {
            tx.source_insert(source)?;
        }
        assert_eq!(tx.source_fetch(old.id)?, old);
        assert_eq!(tx.source_list_older(at(30))?, [older.clone(), old]);
        assert!(tx.source_delete(older.id)?);
        assert!(tx.source_fetch(older.id).or_none()?.is_none());
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn steps() {
    let (ledger, app) = Ledger::with_app().await;
    in_tx(&ledger, move |tx| {
        let run = app.id.uuid();
        let key = |name| StepKey { workflow: "build", run, name };
        let step = |name: &str, state, attempts, s| Step {
            name: name.into(),
            state,
            attempts,
            started_at: at(1),
            updated_at: at(s),
        };
        let first = tx.step_start(key("fetch"), app.id, at(1))?;
        assert_eq!(first, step("fetch", StepState::Started, 1, 1));
        tx.step_done(key("fetch"), &serde_json::json!({"bytes": 7}), at(2))?;
        let output = StepState::Done(serde_json::json!({"bytes": 7}));
        let again = tx.step_start(key("fetch"), app.id, at(3))?;
        assert_eq!(again, step("fetch", output.clone(), 1, 2), "what is done is not started again");

        tx.step_start(key("pack"), app.id, at(1))?;
        tx.step_failed(key("pack"), "no room", at(4))?;
        assert!(matches!(tx.step_done(key("pack"), &(), at(5)), Err(StoreError::Stale { .. })));
        let failed = step("pack", StepState::Failed("no room".into()), 1, 4);
        assert_eq!(tx.step_list("build", run)?, [step("fetch", output, 1, 2), failed]);
        assert_eq!(tx.step_start(key("pack"), app.id, at(6))?, step("pack", StepState::Started, 2, 6));
        assert!(tx.step_list("release", run)?.is_empty());
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn counters_and_settings() {
    let ledger = Ledger::new();
    in_tx(&ledger, |tx| {
        assert_eq!(
            [tx.counter_next("routes")?, tx.counter_next("routes")?, tx.counter_next("x")?],
            [1, 2, 1]
        );
        tx.counter_raise("routes", 41)?;
        tx.counter_raise("routes", 7)?;
        assert_eq!(tx.counter_next("routes")?, 42);
        tx.counter_raise("fresh", 5)?;
        assert_eq!(tx.counter_next("fresh")?, 6);

        assert_eq!(tx.setting_get("domain")?, None);
        tx.setting_put("domain", "a")?;
        tx.setting_put("domain", "b")?;
        assert_eq!(tx.setting_get("domain")?.as_deref(), Some("b"));
        Ok(())
    })
    .await;
}
