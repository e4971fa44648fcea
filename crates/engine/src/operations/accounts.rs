//! Accounts, and the tokens that stand for them.

use std::time::Duration;

use jiff::SignedDuration;
use renga_model::{
    AccessTokenId, Account, AccountId, Fault, Refusal, Secret, SessionId, Token, TokenId, TokenScope,
};
use renga_store::{OrNone, PasswordHash, TokenValue, Tx, ValueHash};

use super::profile::{check_email, password_hash};
use crate::Engine;

/// Tokens of an account at one time (ours): enough for every machine of a person, too few to fill the ledger.
const TOKENS_PER_ACCOUNT_MAX: usize = 1_000;
/// Characters of a token's description (ours).
const DESCRIPTION_CHARS_MAX: usize = 255;
/// The longest life of a token that has an end (ours): beyond it, one without an end is meant.
const TOKEN_LIFE_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Who asks, and by what right.
#[derive(Debug, Clone)]
pub struct Caller {
    pub account: Account,
    /// None for one who came with his password.
    token: Option<Token>,
    presented: Option<Secret>,
}

impl Caller {
    pub fn scopes(&self) -> Vec<TokenScope> {
        self.token.as_ref().map_or_else(|| vec![TokenScope::Global], |token| token.scopes.clone())
    }
    /// Pushing code writes it, fetching code reads what config vars would not tell: both want more than `read`.
    pub fn may_use_git(&self) -> bool {
        let scopes = self.scopes();
        [TokenScope::Global, TokenScope::Write, TokenScope::WriteProtected].iter().any(|s| scopes.contains(s))
    }
    /// The token that was presented.
    pub fn token(&self) -> Option<&Token> {
        self.token.as_ref()
    }
    /// The value of a token, if it is the one that this caller presented: nobody else sees more than its mask.
    pub fn value_of(&self, token: &Token) -> Option<&Secret> {
        let own = self.token.as_ref().is_some_and(|own| own.access == token.access);
        self.presented.as_ref().filter(|_| own)
    }
}

/// What a new token is to be.
#[derive(Debug, Clone)]
pub struct TokenNew {
    pub description: String,
    pub scopes: Vec<TokenScope>,
    pub life: Option<Duration>,
}

impl Engine {
    /// Who this token belongs to, if it is valid now.
    pub async fn caller(&self, presented: Secret) -> Result<Caller, Refusal> {
        let (hash, now) = (ValueHash::of(presented.expose()), self.now());
        let found =
            self.store.read(move |read| read.token_find_by_hash(&hash).map_err(Refusal::from)).await?;
        let valid = |(token, _): &(Token, Account)| token.opens(now);
        let (token, account) = found.filter(valid).ok_or_else(Refusal::unauthorized)?;
        check_standing(&account)?;
        Ok(Caller { account, token: Some(token), presented: Some(presented) })
    }

    /// Who has this e-mail and password. Takes as long for an e-mail that nobody has.
    pub async fn caller_by_password(&self, email: String, password: Secret) -> Result<Caller, Refusal> {
        let find = self.store.read(move |read| -> Result<_, Refusal> {
            let Some(account) = read.account_find_by_email(&email)? else { return Ok(None) };
            let hash = read.account_password_hash(account.id)?;
            Ok(hash.map(|hash| (account, hash)))
        });
        let found = find.await?;
        let judge = move || match found {
            Some((account, hash)) => hash.verify(&password).then_some(account),
            None => PasswordHash::new(&password).ok().and(None),
        };
        let account = tokio::task::spawn_blocking(judge).await.map_err(Refusal::internal)?;
        let account = account.ok_or_else(Refusal::unauthorized)?;
        check_standing(&account)?;
        Ok(Caller { account, token: None, presented: None })
    }

    /// Makes an account that logs in with a password.
    pub async fn account_create(&self, email: String, password: Secret) -> Result<Account, Refusal> {
        check_email(&email)?;
        let hash = password_hash(password).await?;
        let now = self.now();
        let account = Account::new(AccountId::random(), email, now);
        let insert = self.store.write(move |tx| -> Result<Account, Refusal> {
            tx.account_insert(&account, Some(&hash))?;
            Ok(account)
        });
        insert.await
    }

    pub async fn account_fetch(&self, account: AccountId) -> Result<Account, Refusal> {
        self.store.read(move |read| read.account_fetch(account).map_err(Refusal::from)).await
    }

    /// The value is shown here for the only time.
    pub async fn token_create(&self, account: AccountId, new: TokenNew) -> Result<(Token, Secret), Refusal> {
        self.token_keep(self.token_draft(TokenId::random(), account, new)?).await
    }

    /// As [`Engine::token_create`], for somebody who has just logged in: the token is his session.
    pub async fn session_begin(&self, account: AccountId, new: TokenNew) -> Result<(Token, Secret), Refusal> {
        let (token, value) = self.token_draft(TokenId::random(), account, new)?;
        let now = token.created_at;
        let note = self.store.write(move |tx| tx.account_logged_in(account, now).map_err(Refusal::from));
        note.await?;
        self.token_keep((Token { session: Some(SessionId::random()), ..token }, value)).await
    }

    async fn token_keep(&self, (token, value): (Token, TokenValue)) -> Result<(Token, Secret), Refusal> {
        let hash = value.hash();
        let insert = self.store.write(move |tx| -> Result<Token, Refusal> {
            token_room(tx, token.account, token.created_at)?;
            tx.token_insert(&token, &hash)?;
            Ok(token)
        });
        Ok((insert.await?, value.secret().clone()))
    }

    pub(super) fn token_draft(
        &self,
        id: TokenId,
        account: AccountId,
        new: TokenNew,
    ) -> Result<(Token, TokenValue), Refusal> {
        check_description(&new.description)?;
        if new.scopes.is_empty() || new.scopes.contains(&TokenScope::Global) && new.scopes.len() > 1 {
            return Err(Refusal::invalid("A token needs a scope, and global goes with no other."));
        }
        let now = self.now();
        let life = new.life.map(|life| life.min(TOKEN_LIFE_MAX));
        let life = life.map(|life| SignedDuration::try_from(life).expect("a hundred years fit"));
        let value = TokenValue::generate(&mut rand::rng());
        let token = Token {
            id,
            account,
            description: new.description,
            scopes: new.scopes,
            client: None,
            session: None,
            access: AccessTokenId::from_uuid(id.uuid()),
            masked: value.mask(),
            refresh: None,
            pending: false,
            created_at: now,
            updated_at: now,
            expires_at: life.map(|life| now + life),
        };
        Ok((token, value))
    }

    /// Those that are good for something now.
    pub async fn token_list(&self, account: AccountId) -> Result<Vec<Token>, Refusal> {
        let now = self.now();
        let mut tokens = self.store.read(move |read| read.token_list(account).map_err(Refusal::from)).await?;
        tokens.retain(|token| token.stands(now));
        Ok(tokens)
    }

    pub async fn token_fetch(&self, account: AccountId, token: TokenId) -> Result<Token, Refusal> {
        let found =
            self.store.read(move |read| read.token_fetch(token).or_none().map_err(Refusal::from)).await?;
        let now = self.now();
        let found = found.filter(|token| token.account == account && token.stands(now));
        found.ok_or_else(|| Refusal::not_found("authorization"))
    }

    pub async fn token_delete(&self, account: AccountId, token: TokenId) -> Result<Token, Refusal> {
        let delete = self.store.write(move |tx| -> Result<Token, Refusal> {
            let found = tx.token_fetch(token).or_none()?.filter(|token| token.account == account);
            let found = found.ok_or_else(|| Refusal::not_found("authorization"))?;
            tx.token_delete(token)?;
            Ok(found)
        });
        delete.await
    }

    /// The same authorization with a new value and a new span of the same length; the old value is worthless at once.
    pub async fn token_regenerate(
        &self,
        account: AccountId,
        token: TokenId,
    ) -> Result<(Token, Secret), Refusal> {
        let old = self.token_fetch(account, token).await?;
        if old.refresh.is_some() || old.pending {
            return Err(Refusal::forbidden("The tokens of this authorization are its client's to refresh."));
        }
        let life = old.expires_at.and_then(|at| Duration::try_from(at.duration_since(old.created_at)).ok());
        let new = TokenNew { description: old.description, scopes: old.scopes, life };
        let (token, value) = self.token_draft(token, account, new)?;
        let token = Token { client: old.client, session: old.session, ..token };
        let hash = value.hash();
        let replace = self.store.write(move |tx| -> Result<Token, Refusal> {
            if !tx.token_delete(token.id)? {
                return Err(Refusal::not_found("authorization"));
            }
            tx.token_insert(&token, &hash)?;
            Ok(token)
        });
        Ok((replace.await?, value.secret().clone()))
    }
}

fn check_standing(account: &Account) -> Result<(), Refusal> {
    match account.suspended_at {
        None => Ok(()),
        Some(_) => Err(Refusal::new(
            Fault::Suspended,
            "This account is disabled. Ask the operator of this platform.",
        )),
    }
}

/// Whether the account may have one more; what has expired goes on this occasion.
pub(super) fn token_room(tx: &Tx<'_>, account: AccountId, now: jiff::Timestamp) -> Result<(), Refusal> {
    let (live, over): (Vec<_>, Vec<_>) = tx.token_list(account)?.into_iter().partition(|t| t.stands(now));
    for expired in over {
        tx.token_delete(expired.id)?;
    }
    if live.len() >= TOKENS_PER_ACCOUNT_MAX {
        return Err(Refusal::invalid(format!(
            "An account may have at most {TOKENS_PER_ACCOUNT_MAX} authorizations. Revoke some of them first."
        )));
    }
    Ok(())
}

pub(super) fn check_description(description: &str) -> Result<(), Refusal> {
    if description.chars().count() > DESCRIPTION_CHARS_MAX {
        return Err(Refusal::invalid(format!(
            "The description may have at most {DESCRIPTION_CHARS_MAX} characters."
        )));
    }
    Ok(())
}
