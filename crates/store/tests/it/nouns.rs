//! Every noun: in, out, found, changed, refused.

use renga_model::{
    AccessTokenId, Account, App, Buildpack, KeyId, LetterId, OauthClient, OauthClientId, OciImage,
    OciImageId, OneTime, OneTimeKind, Refresh, RefreshTokenId, Secret, SessionId, SshKey, Token, TokenId,
    TokenScope,
};
use renga_store::{
    OrNone, PasswordHash, Source, Step, StepKey, StepState, StoreError, StoredLetter, TokenValue, ValueHash,
};

use crate::fixture::{Ledger, account, app_of, at, formation, oci_image};

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
            client: None,
            session: Some(SessionId::random()),
            access: AccessTokenId::random(),
            masked: value.mask(),
            refresh: None,
            pending: false,
            created_at: at(2),
            updated_at: at(2),
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
        assert_eq!(tx.token_list_of_session(ada.id, token.session.unwrap())?.len(), 2);
        assert!(tx.token_delete(token.id)?);
        assert!(!tx.token_delete(token.id)?);
        assert_eq!(tx.token_list(ada.id)?, [older]);
        Ok(())
    })
    .await;
}

fn client(owner: &Account) -> OauthClient {
    OauthClient {
        id: OauthClientId::random(),
        account: owner.id,
        name: "A client".into(),
        redirect_uri: "https://example.com/back".into(),
        secret: Secret::new("of the client"),
        created_at: at(1),
        updated_at: at(1),
    }
}

#[tokio::test]
async fn oauth_clients_and_refreshed_tokens() {
    let ledger = Ledger::new();
    in_tx(&ledger, |tx| {
        let ada = account("ada@example.com");
        tx.account_insert(&ada, None)?;
        let client = client(&ada);
        tx.oauth_client_insert(&client)?;
        assert_eq!(tx.oauth_client_fetch(client.id)?, client);
        assert_eq!(tx.oauth_client_find_by_secret(&client.secret)?, Some(client.clone()));
        let rotated = OauthClient { secret: Secret::new("another"), updated_at: at(2), ..client.clone() };
        tx.oauth_client_update(&rotated)?;
        assert_eq!(tx.oauth_client_find_by_secret(&client.secret)?, None);
        assert_eq!(tx.oauth_client_list(ada.id)?, [rotated]);

        let id = TokenId::random();
        let mut token = Token {
            id,
            account: ada.id,
            description: "For the client".into(),
            scopes: vec![TokenScope::Read],
            client: Some(client.id),
            session: None,
            access: AccessTokenId::random(),
            masked: "first".into(),
            refresh: None,
            pending: true,
            created_at: at(2),
            updated_at: at(2),
            expires_at: Some(at(100)),
        };
        tx.token_insert(&token, &ValueHash::of("0"))?;
        let refresh = Refresh { id: RefreshTokenId::random(), masked: "refresh".into() };
        tx.token_set_refresh(id, &refresh, &ValueHash::of("r"))?;
        for n in 1..=4_u8 {
            tx.token_keep_earlier(id, 2, at(3))?;
            let ends = Some(at(100 + i64::from(n)));
            token = Token {
                access: AccessTokenId::random(),
                masked: format!("{n}"),
                expires_at: ends,
                pending: false,
                ..token
            };
            tx.token_set_access(&token, &ValueHash::of(&n.to_string()))?;
        }
        token.refresh = Some(refresh);
        assert_eq!(tx.token_find_by_refresh(&ValueHash::of("r"))?, Some(token.clone()));
        let found = |value: &str| {
            tx.token_find_by_hash(&ValueHash::of(value)).map(|found| found.map(|(token, _)| token))
        };
        assert_eq!((found("0")?, found("1")?), (None, None), "two earlier ones stay");
        let earlier = found("3")?.unwrap();
        assert_eq!((earlier.id, &*earlier.masked, earlier.expires_at), (id, "3", Some(at(103))));
        assert_eq!(tx.token_find_by_access(earlier.access)?, Some(token.clone()));
        assert!(tx.token_end_access(id, earlier.access, at(5))?);
        assert!(!tx.token_end_access(id, earlier.access, at(5))?);
        assert_eq!(found("3")?, None);
        assert!(tx.token_end_access(id, token.access, at(6))?);
        assert_eq!(found("4")?.unwrap().expires_at, Some(at(6)));
        tx.token_describe(id, "Renamed", Some(client.id), at(7))?;
        assert_eq!(tx.token_fetch(id)?.description, "Renamed");

        assert!(tx.oauth_client_delete(client.id)?);
        assert_eq!(tx.token_list(ada.id)?, [], "what it was given goes with it");
        assert_eq!(found("2")?, None);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn values_that_work_once() {
    let ledger = Ledger::new();
    in_tx(&ledger, |tx| {
        let value = |kind, ends| OneTime {
            kind,
            subject: "Ada@example.com".into(),
            created_at: at(1),
            expires_at: at(ends),
        };
        let (reset, invitation) = (value(OneTimeKind::PasswordReset, 10), value(OneTimeKind::Invitation, 20));
        let (one, other) = (ValueHash::of("one"), ValueHash::of("other"));
        tx.one_time_insert(&reset, &one)?;
        tx.one_time_insert(&invitation, &other)?;
        assert_eq!(tx.one_time_find(OneTimeKind::PasswordReset, &one, at(9))?, Some(reset.clone()));
        assert_eq!(tx.one_time_find(OneTimeKind::PasswordReset, &one, at(10))?, None, "expired");
        assert_eq!(tx.one_time_find(OneTimeKind::Invitation, &one, at(9))?, None, "of another kind");
        assert_eq!(tx.one_time_list(OneTimeKind::PasswordReset, "ada@EXAMPLE.com", at(9))?.len(), 1);
        assert_eq!(tx.one_time_take(OneTimeKind::PasswordReset, &one, at(9))?, Some(reset.clone()));
        assert_eq!(tx.one_time_take(OneTimeKind::PasswordReset, &one, at(9))?, None, "used");
        tx.one_time_insert(&reset, &one)?;
        tx.one_time_forget(OneTimeKind::PasswordReset, "ada@example.com")?;
        assert_eq!(tx.one_time_find(OneTimeKind::PasswordReset, &one, at(2))?, None);
        tx.one_time_insert(&OneTime { created_at: at(30), expires_at: at(40), ..reset }, &one)?;
        assert_eq!(
            tx.one_time_find(OneTimeKind::Invitation, &other, at(2))?,
            None,
            "what expired is dropped"
        );
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

#[tokio::test]
async fn what_belongs_to_an_account_goes_with_it() {
    let (ledger, app) = Ledger::with_app().await;
    let owner = app.owner;
    in_tx(&ledger, move |tx| {
        let (bob, now) = (account("bob@example.com"), at(5));
        tx.account_insert(&bob, None)?;
        let key = SshKey {
            id: KeyId::random(),
            account: bob.id,
            public_key: "ssh-ed25519 AAAA bob".into(),
            comment: "bob".into(),
            fingerprint: "aa:bb".into(),
            created_at: at(1),
        };
        tx.key_insert(&key)?;
        let twin = tx.key_insert(&SshKey { id: KeyId::random(), ..key.clone() });
        assert!(matches!(twin, Err(StoreError::Conflict { what: "key" })), "{twin:?}");
        assert_eq!(tx.key_list(bob.id)?, std::slice::from_ref(&key));

        tx.two_factor_put(bob.id, &Secret::new("SECRET"), at(2))?;
        assert!(!tx.account_fetch(bob.id)?.two_factor, "begun is not enabled");
        let code = ValueHash::of("code");
        tx.two_factor_enable(bob.id, &[code, ValueHash::of("other")], at(3))?;
        tx.two_factor_used(bob.id, 77)?;
        let factor = tx.two_factor_find(bob.id)?.unwrap();
        assert_eq!(
            (factor.secret.expose(), factor.last_step, factor.enabled_at),
            ("SECRET", 77, Some(at(3)))
        );
        assert!(tx.account_fetch(bob.id)?.two_factor);
        assert!(tx.recovery_code_take(bob.id, &code)? && !tx.recovery_code_take(bob.id, &code)?);

        tx.account_set_preferences(bob.id, "{\"timezone\":\"UTC\"}")?;
        assert_eq!(tx.account_preferences(bob.id)?, "{\"timezone\":\"UTC\"}");
        assert_eq!(tx.account_invoice_address(bob.id)?, "{}");
        tx.account_set_invoice_address(bob.id, "{\"city\":\"Ulm\"}")?;
        assert_eq!(tx.account_invoice_address(bob.id)?, "{\"city\":\"Ulm\"}");
        tx.account_set_invoice_address(owner, "{\"city\":\"Ulm\"}")?;
        let changed = Account {
            beta: true,
            features_on: vec!["x".into()],
            suspended_at: Some(at(4)),
            updated_at: at(4),
            ..tx.account_fetch(bob.id)?
        };
        tx.account_update(&changed)?;
        assert_eq!(tx.account_fetch(bob.id)?, changed);
        tx.account_logged_in(bob.id, at(4))?;
        assert_eq!(tx.account_fetch(bob.id)?.last_login, Some(at(4)));

        tx.account_delete(bob.id, now)?;
        assert!(tx.account_fetch(bob.id).or_none()?.is_none(), "nothing names it");
        assert!(tx.key_list(bob.id)?.is_empty() && tx.two_factor_find(bob.id)?.is_none());

        // The app's row names its owner.
        tx.account_delete(owner, now)?;
        let gone = tx.account_fetch(owner)?;
        assert!(
            gone.email.ends_with("@users.invalid") && gone.name.is_none() && gone.suspended_at == Some(now)
        );
        assert_eq!(tx.account_invoice_address(owner)?, "{}");
        assert_eq!(tx.account_find_by_email(&gone.email)?, None);
        assert_eq!(tx.account_list()?, []);
        tx.account_insert(&account("ada@example.com"), None)
    })
    .await;
}

#[tokio::test]
async fn oci_images_belong_to_an_app() {
    let (ledger, app) = Ledger::with_app().await;
    in_tx(&ledger, move |tx| {
        let one = oci_image(&app);
        let two = OciImage { id: OciImageId::random(), created_at: at(4), ..one.clone() };
        tx.oci_image_insert(&two)?;
        tx.oci_image_insert(&one)?;
        assert_eq!(tx.oci_image_list(app.id)?, [one, two]);
        tx.app_delete(app.id)?;
        assert_eq!(tx.oci_image_list(app.id)?, []);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn letters_wait_sealed() {
    let ledger = Ledger::new();
    let letter = StoredLetter {
        id: LetterId::random(),
        recipient: "ada@example.com".into(),
        subject: "Hello".into(),
        text: Secret::new("a very secret link"),
        attempts: 0,
        created_at: at(1),
        expires_at: at(2),
    };
    let kept = letter.clone();
    in_tx(&ledger, move |tx| {
        tx.letter_insert(&kept)?;
        assert_eq!(tx.letter_ids()?, [kept.id]);
        tx.letter_tried(kept.id)?;
        assert_eq!(tx.letter_find(kept.id)?, Some(StoredLetter { attempts: 1, ..kept.clone() }));
        Ok(())
    })
    .await;
    let path = ledger.path();
    for file in [path.clone(), path.with_extension("db-wal")] {
        let bytes = std::fs::read(file).unwrap_or_default();
        assert!(!bytes.windows(11).any(|window| window == b"very secret"));
    }
    in_tx(&ledger, move |tx| {
        assert!(tx.letter_delete(letter.id)? && !tx.letter_delete(letter.id)?);
        Ok(())
    })
    .await;
}
