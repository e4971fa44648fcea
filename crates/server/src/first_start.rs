//! The first start makes the first account and its token. Each later start finds them and changes nothing.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use renga_model::{AccessTokenId, Account, AccountId, Refusal, Secret, Token, TokenId, TokenScope};
use renga_store::{PasswordHash, Store, TokenValue};

use crate::{authority::write_private, config::Config};

/// Letters and digits of a generated password (about 119 bits).
const PASSWORD_CHARACTERS: usize = 20;

pub(crate) async fn account(store: &Store, secrets: &Path, config: &Config) -> Result<()> {
    let token_file = secrets.join("token");
    let email = config.admin_email.clone();
    let found = store.read(move |read| read.account_find_by_email(&email).map_err(Refusal::from)).await?;
    if found.is_some() && token_file.exists() {
        return Ok(());
    }
    let now = jiff::Timestamp::now();
    let account =
        found.clone().unwrap_or_else(|| Account::new(AccountId::random(), config.admin_email.clone(), now));
    let account = Account { operator: true, ..account };
    let password = password(secrets, config)?;
    let hash = tokio::task::spawn_blocking(move || PasswordHash::new(&password)).await??;
    let value = TokenValue::generate(&mut rand::rng());
    let id = TokenId::random();
    let token = Token {
        id,
        account: account.id,
        description: "First token of this platform".into(),
        scopes: vec![TokenScope::Global],
        client: None,
        session: None,
        access: AccessTokenId::from_uuid(id.uuid()),
        masked: value.mask(),
        refresh: None,
        pending: false,
        created_at: now,
        updated_at: now,
        expires_at: None,
    };
    // The file first: a token in the ledger that nobody holds would be of no use, and a file without a row is replaced.
    write_private(&token_file, value.secret().expose())?;
    let (is_new, value_hash) = (found.is_none(), value.hash());
    let insert = store.write(move |tx| -> Result<(), Refusal> {
        if is_new {
            tx.account_insert(&account, Some(&hash))?;
        }
        tx.token_insert(&token, &value_hash)?;
        Ok(())
    });
    insert.await.context("could not make the first account")
}

/// From the operator's file, or generated into one of ours.
fn password(secrets: &Path, config: &Config) -> Result<Secret> {
    if let Some(file) = &config.admin_password_file {
        let text = fs::read_to_string(file).with_context(|| format!("could not read {}", file.display()))?;
        return Ok(Secret::new(text.trim_end_matches(['\r', '\n'])));
    }
    let file = secrets.join("admin-password");
    if !file.exists() {
        use rand::Rng as _;
        let rng = rand::rng();
        let letters = rng.sample_iter(rand::distr::Alphanumeric).take(PASSWORD_CHARACTERS).map(char::from);
        write_private(&file, &letters.collect::<String>())?;
    }
    Ok(Secret::new(fs::read_to_string(&file)?))
}
