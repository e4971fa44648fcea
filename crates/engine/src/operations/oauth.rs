//! Programs that act for accounts: OAuth clients, their grants, and the tokens that they get for these.
//!
//! ```text
//! client_create ──> client, secret
//! account says yes: grant_create ──> a code, which works once and for some minutes; the authorization is pending
//! client: grant_exchange(code, secret) ──> access token (hours), refresh token (until it is revoked)
//! client: token_refresh(refresh token, secret) ──> access token; the one before goes on until its end
//! ```

use std::time::Duration;

use jiff::SignedDuration;
use renga_model::{
    AccessTokenId, AccountId, OauthClient, OauthClientId, OneTime, OneTimeKind, Refresh, RefreshTokenId,
    Refusal, Secret, SessionId, Token, TokenId, TokenScope,
};
use renga_store::{OrNone, TokenValue, Tx, ValueHash};

use super::accounts::{TokenNew, check_description, token_room};
use crate::Engine;

/// Clients of an account (ours).
const CLIENTS_PER_ACCOUNT_MAX: usize = 100;
/// Characters of a client's name, and bytes of its address (ours).
const NAME_CHARS_MAX: usize = 60;
const REDIRECT_URI_BYTES_MAX: usize = 2_000;
/// Between the account's yes and the exchange (Heroku: 5 minutes).
const GRANT_LIFE: Duration = Duration::from_secs(5 * 60);
/// Life of an access token that a client gets (Heroku: 8 hours).
const ACCESS_LIFE: SignedDuration = SignedDuration::from_hours(8);
/// Access tokens of an authorization that stay valid beside the newest (ours).
const EARLIER_TOKENS_MAX: usize = 10;

/// A yes that waits for its client.
#[derive(Debug)]
pub struct Granted {
    pub token: Token,
    pub client: OauthClient,
    pub code: Secret,
}

/// What a client holds after an exchange or a refresh.
#[derive(Debug)]
pub struct Exchanged {
    pub token: Token,
    pub client: OauthClient,
    pub access: Secret,
    pub refresh: Secret,
}

// === clients ===

impl Engine {
    pub async fn client_create(
        &self,
        account: AccountId,
        name: String,
        redirect_uri: String,
    ) -> Result<OauthClient, Refusal> {
        check_client(&name, &redirect_uri)?;
        let now = self.now();
        let (id, secret) = (OauthClientId::random(), fresh_secret());
        let client =
            OauthClient { id, account, name, redirect_uri, secret, created_at: now, updated_at: now };
        let insert = self.store.write(move |tx| -> Result<OauthClient, Refusal> {
            if tx.oauth_client_list(account)?.len() >= CLIENTS_PER_ACCOUNT_MAX {
                return Err(Refusal::invalid(format!(
                    "An account may have at most {CLIENTS_PER_ACCOUNT_MAX} clients. Destroy some of them first."
                )));
            }
            tx.oauth_client_insert(&client)?;
            Ok(client)
        });
        insert.await
    }

    pub async fn client_list(&self, account: AccountId) -> Result<Vec<OauthClient>, Refusal> {
        self.store.read(move |read| read.oauth_client_list(account).map_err(Refusal::from)).await
    }

    /// Whoever owns it: name and address of a client are shown to everybody who is asked to let it in.
    pub async fn client_find(&self, id: OauthClientId) -> Result<OauthClient, Refusal> {
        self.store.read(move |read| read.oauth_client_fetch(id).map_err(Refusal::from)).await
    }

    pub async fn client_update(
        &self,
        account: AccountId,
        id: OauthClientId,
        name: Option<String>,
        redirect_uri: Option<String>,
    ) -> Result<OauthClient, Refusal> {
        let change = |client: &mut OauthClient| {
            client.name = name.unwrap_or_else(|| client.name.clone());
            client.redirect_uri = redirect_uri.unwrap_or_else(|| client.redirect_uri.clone());
            check_client(&client.name, &client.redirect_uri)
        };
        self.client_change(account, id, change).await
    }

    /// A new secret; the old one is worthless at once. Access tokens that the client holds stay valid.
    pub async fn client_rotate(&self, account: AccountId, id: OauthClientId) -> Result<OauthClient, Refusal> {
        let secret = fresh_secret();
        let rotate = |client: &mut OauthClient| {
            client.secret = secret;
            Ok(())
        };
        self.client_change(account, id, rotate).await
    }

    async fn client_change(
        &self,
        account: AccountId,
        id: OauthClientId,
        change: impl FnOnce(&mut OauthClient) -> Result<(), Refusal> + Send + 'static,
    ) -> Result<OauthClient, Refusal> {
        let now = self.now();
        let update = self.store.write(move |tx| -> Result<OauthClient, Refusal> {
            let mut client = own_client(tx, account, id)?;
            change(&mut client)?;
            client.updated_at = now;
            tx.oauth_client_update(&client)?;
            Ok(client)
        });
        update.await
    }

    /// With every authorization that accounts gave it.
    pub async fn client_delete(&self, account: AccountId, id: OauthClientId) -> Result<OauthClient, Refusal> {
        let delete = self.store.write(move |tx| -> Result<OauthClient, Refusal> {
            let client = own_client(tx, account, id)?;
            tx.oauth_client_delete(id)?;
            Ok(client)
        });
        delete.await
    }
}

fn own_client(tx: &Tx<'_>, account: AccountId, id: OauthClientId) -> Result<OauthClient, Refusal> {
    let found = tx.oauth_client_fetch(id).or_none()?.filter(|client| client.account == account);
    found.ok_or_else(|| Refusal::not_found("oauth client"))
}

fn check_client(name: &str, redirect_uri: &str) -> Result<(), Refusal> {
    if name.trim().is_empty() || name.chars().count() > NAME_CHARS_MAX || name.chars().any(|c| c.is_control())
    {
        return Err(Refusal::invalid(format!("name: must have from 1 to {NAME_CHARS_MAX} characters.")));
    }
    let legal = |c: char| c.is_ascii_graphic() && !"\"<>\\^`{|}#".contains(c);
    let at_home = |rest: &str| {
        let host = rest.split(['/', '?']).next().unwrap_or_default();
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        ["localhost", "127.0.0.1", "[::1]"].contains(&name)
    };
    let good = match redirect_uri.split_once("://") {
        Some(("https", rest)) => !rest.is_empty() && !rest.starts_with(['/', '?', '@', ':']),
        Some(("http", rest)) => at_home(rest),
        _ => false,
    };
    // What stands before an @ is no host, whatever it looks like.
    let authority = redirect_uri.split_once("://").map_or("", |(_, rest)| rest).split(['/', '?']).next();
    let good = good && !authority.is_some_and(|authority| authority.contains('@'));
    if !good || redirect_uri.len() > REDIRECT_URI_BYTES_MAX || !redirect_uri.chars().all(legal) {
        return Err(Refusal::invalid(
            "redirect_uri: must be an https address without a fragment (http only on localhost).",
        ));
    }
    Ok(())
}

fn fresh_secret() -> Secret {
    TokenValue::generate(&mut rand::rng()).secret().clone()
}

// === grants and tokens ===

impl Engine {
    /// The account lets the client in. The authorization is there from now on, and opens nothing before the exchange.
    pub async fn grant_create(
        &self,
        account: AccountId,
        client: OauthClientId,
        new: TokenNew,
    ) -> Result<Granted, Refusal> {
        let code = fresh_secret();
        let (draft, nobodys) =
            self.token_draft(TokenId::random(), account, TokenNew { life: Some(GRANT_LIFE), ..new })?;
        let (session, access) = (Some(SessionId::random()), AccessTokenId::random());
        let token = Token { client: Some(client), session, access, pending: true, ..draft };
        let (hash, now) = (ValueHash::of(code.expose()), self.now());
        let insert = self.store.write(move |tx| -> Result<_, Refusal> {
            let client = tx.oauth_client_fetch(client)?;
            token_room(tx, account, now)?;
            tx.token_insert(&token, &nobodys.hash())?;
            let grant = OneTime {
                kind: OneTimeKind::Grant,
                subject: token.id.to_string(),
                created_at: now,
                expires_at: token.expires_at.expect("a grant has a life"),
            };
            tx.one_time_insert(&grant, &hash)?;
            Ok((token, client))
        });
        let (token, client) = insert.await?;
        Ok(Granted { token, client, code })
    }

    pub async fn grant_exchange(&self, secret: Secret, code: Secret) -> Result<Exchanged, Refusal> {
        let (hash, now) = (ValueHash::of(code.expose()), self.now());
        let (access, access_value, refresh_value) = (AccessTokenId::random(), fresh_value(), fresh_value());
        let refresh = Refresh { id: RefreshTokenId::random(), masked: refresh_value.mask() };
        let (access_hash, masked) = (access_value.hash(), access_value.mask());
        let refresh_hash = refresh_value.hash();
        let exchange = self.store.write(move |tx| -> Result<_, Refusal> {
            let client = client_of(tx, &secret)?;
            let wrong = || Refusal::invalid("The grant is wrong, has been used, or is too old.");
            let grant = tx.one_time_find(OneTimeKind::Grant, &hash, now)?.ok_or_else(wrong)?;
            let id: TokenId = grant.subject.parse().map_err(Refusal::internal)?;
            let token = tx.token_fetch(id).or_none()?.filter(|token| token.client == Some(client.id));
            let token = token.ok_or_else(wrong)?;
            tx.one_time_take(OneTimeKind::Grant, &hash, now)?;
            let expires_at = Some(now + ACCESS_LIFE);
            let token = Token { access, masked, expires_at, updated_at: now, pending: false, ..token };
            tx.token_set_access(&token, &access_hash)?;
            tx.token_set_refresh(id, &refresh, &refresh_hash)?;
            Ok((Token { refresh: Some(refresh), ..token }, client))
        });
        let (token, client) = exchange.await?;
        let (access, refresh) = (access_value.secret().clone(), refresh_value.secret().clone());
        Ok(Exchanged { token, client, access, refresh })
    }

    pub async fn token_refresh(&self, secret: Secret, refresh: Secret) -> Result<Exchanged, Refusal> {
        let (hash, now) = (ValueHash::of(refresh.expose()), self.now());
        let (access, value) = (AccessTokenId::random(), fresh_value());
        let (access_hash, masked) = (value.hash(), value.mask());
        let renew = self.store.write(move |tx| -> Result<_, Refusal> {
            let client = client_of(tx, &secret)?;
            let token = tx.token_find_by_refresh(&hash)?.filter(|token| token.client == Some(client.id));
            let token =
                token.ok_or_else(|| Refusal::invalid("The refresh token is wrong or has been revoked."))?;
            tx.token_keep_earlier(token.id, EARLIER_TOKENS_MAX, now)?;
            let token =
                Token { access, masked, expires_at: Some(now + ACCESS_LIFE), updated_at: now, ..token };
            tx.token_set_access(&token, &access_hash)?;
            Ok((token, client))
        });
        let (token, client) = renew.await?;
        Ok(Exchanged { token, client, access: value.secret().clone(), refresh })
    }

    /// Ends one access token. A client refreshes; what has no refresh token is over.
    pub async fn access_revoke(&self, account: AccountId, access: AccessTokenId) -> Result<Token, Refusal> {
        let now = self.now();
        let revoke = self.store.write(move |tx| -> Result<Token, Refusal> {
            let found = tx.token_find_by_access(access)?.filter(|token| token.account == account);
            let token = found.filter(|token| token.stands(now)).ok_or_else(|| Refusal::not_found("token"))?;
            match token.refresh {
                Some(_) => drop(tx.token_end_access(token.id, access, now)?),
                None => drop(tx.token_delete(token.id)?),
            }
            Ok(token)
        });
        revoke.await
    }

    /// Gives the authorization another description, or hands it to a client whose secret the caller knows.
    pub async fn token_describe(
        &self,
        account: AccountId,
        id: TokenId,
        description: Option<String>,
        client: Option<(OauthClientId, Secret)>,
    ) -> Result<Token, Refusal> {
        if let Some(description) = &description {
            check_description(description)?;
        }
        let now = self.now();
        let update = self.store.write(move |tx| -> Result<Token, Refusal> {
            let found = tx.token_fetch(id).or_none()?;
            let found = found.filter(|token| token.account == account && token.stands(now));
            let mut token = found.ok_or_else(|| Refusal::not_found("authorization"))?;
            if let Some((client, secret)) = client {
                let known = tx.oauth_client_find_by_secret(&secret)?.filter(|known| known.id == client);
                token.client = Some(known.ok_or_else(|| Refusal::not_found("oauth client"))?.id);
            }
            token.description = description.unwrap_or(token.description);
            token.updated_at = now;
            tx.token_describe(id, &token.description, token.client, now)?;
            Ok(token)
        });
        update.await
    }

    /// The clients that these authorizations are of, by the authorizations' order.
    pub async fn clients_of(&self, tokens: &[Token]) -> Result<Vec<Option<OauthClient>>, Refusal> {
        let ids: Vec<_> = tokens.iter().map(|token| token.client).collect();
        let fetch = self.store.read(move |read| -> Result<_, Refusal> {
            let mut known = std::collections::BTreeMap::new();
            for id in ids.iter().flatten() {
                if !known.contains_key(id) {
                    known.insert(*id, read.oauth_client_fetch(*id).or_none()?);
                }
            }
            Ok(ids.iter().map(|id| id.and_then(|id| known.get(&id).cloned().flatten())).collect())
        });
        fetch.await
    }

    /// Ends a log-in, and everything that it holds.
    pub async fn session_end(&self, account: AccountId, session: SessionId) -> Result<Token, Refusal> {
        let end = self.store.write(move |tx| -> Result<Token, Refusal> {
            let tokens = tx.token_list_of_session(account, session)?;
            for token in &tokens {
                tx.token_delete(token.id)?;
            }
            tokens.into_iter().next().ok_or_else(|| Refusal::not_found("session"))
        });
        end.await
    }
}

fn fresh_value() -> TokenValue {
    TokenValue::generate(&mut rand::rng())
}

fn client_of(tx: &Tx<'_>, secret: &Secret) -> Result<OauthClient, Refusal> {
    tx.oauth_client_find_by_secret(secret)?.ok_or_else(Refusal::unauthorized)
}

/// Words of a scope as clients write it: with commas or blanks between them.
pub fn parse_scopes<'a>(words: impl Iterator<Item = &'a str>) -> Result<Vec<TokenScope>, Refusal> {
    let mut scopes = Vec::new();
    for word in words {
        let scope = TokenScope::parse(word);
        let scope = scope.ok_or_else(|| Refusal::invalid(format!("scope: there is no scope {word:?}.")))?;
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    Ok(if scopes.is_empty() { vec![TokenScope::Global] } else { scopes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_reached_in_private() {
        for good in [
            "https://example.com/auth/callback?x=1",
            "https://example.com",
            "http://localhost:3000/back",
            "http://127.0.0.1/",
            "http://localhost",
        ] {
            assert!(check_client("a client", good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "example.com",
            "http://example.com/",
            "http://localhost.example.com/",
            "http://localhost@example.com/",
            "http://localhost:1@example.com/",
            "https://example.com@example.org/",
            "https://",
            "https:///x",
            "https://example.com/#part",
            "https://example.com/a b",
            "https://example.com/\r\nx: y",
            "javascript://localhost",
            &format!("https://example.com/{}", "x".repeat(REDIRECT_URI_BYTES_MAX)),
        ] {
            assert!(check_client("a client", bad).is_err(), "{bad}");
        }
        assert!(
            check_client(" ", "https://x").is_err() && check_client(&"x".repeat(61), "https://x").is_err()
        );
    }

    #[test]
    fn scopes_are_words_of_the_list() {
        let parse = |text: &str| parse_scopes(text.split([',', ' ']).filter(|word| !word.is_empty()));
        assert_eq!(parse("").unwrap(), [TokenScope::Global]);
        assert_eq!(parse("identity, read").unwrap(), [TokenScope::Identity, TokenScope::Read]);
        assert!(parse("all").is_err());
    }
}
