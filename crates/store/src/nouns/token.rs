//! Authorizations and their tokens. The values themselves are never here: rows are found by their hashes and shown by
//! their masks.

use jiff::Timestamp;
use renga_model::{
    AccessTokenId, Account, AccountId, OauthClientId, Refresh, SessionId, Token, TokenId, TokenScope,
};
use rusqlite::params;

use crate::{
    Read, StoreError, Tx, ValueHash,
    row::{Cells, bytes, corrupt, limit, micros, to_json},
};

impl Read<'_> {
    /// Whose request this is. Whether the token has expired is for the caller to see. A value that was followed by a
    /// newer one is found with its own id, mask and end.
    pub fn token_find_by_hash(&self, hash: &ValueHash) -> Result<Option<(Token, Account)>, StoreError> {
        let sql = "SELECT * FROM token WHERE hash = ?1";
        let found = match self.first("find a token", sql, [hash.bytes()], token)? {
            None => self.token_find_earlier(hash)?,
            found => found,
        };
        let Some(token) = found else { return Ok(None) };
        let account = self.account_fetch(token.account)?;
        Ok(Some((token, account)))
    }

    fn token_find_earlier(&self, hash: &ValueHash) -> Result<Option<Token>, StoreError> {
        let sql = "SELECT token, id, masked, expires_at FROM token_earlier WHERE hash = ?1";
        let earlier = self.first("find an earlier token", sql, [hash.bytes()], |c| {
            Ok((c.id("token")?, c.id("id")?, c.get("masked")?, c.time("expires_at")?))
        })?;
        let Some((id, access, masked, expires_at)) = earlier else { return Ok(None) };
        Ok(Some(Token { access, masked, expires_at: Some(expires_at), ..self.token_fetch(id)? }))
    }

    pub fn token_find_by_refresh(&self, hash: &ValueHash) -> Result<Option<Token>, StoreError> {
        let sql = "SELECT * FROM token WHERE refresh_hash = ?1";
        self.first("find a token by its refresh token", sql, [hash.bytes()], token)
    }

    pub fn token_fetch(&self, id: TokenId) -> Result<Token, StoreError> {
        self.first("fetch a token", "SELECT * FROM token WHERE id = ?1", [bytes(id)], token)?
            .ok_or(StoreError::not_found("authorization"))
    }

    /// Oldest first.
    pub fn token_list(&self, account: AccountId) -> Result<Vec<Token>, StoreError> {
        let sql = "SELECT * FROM token WHERE account = ?1 ORDER BY created_at, id";
        self.all("list tokens", sql, [bytes(account)], token)
    }
}

impl Tx<'_> {
    pub fn token_insert(&self, token: &Token, hash: &ValueHash) -> Result<(), StoreError> {
        self.change(
            "insert a token",
            "INSERT INTO token (id, account, hash, description, scopes, masked, created_at, expires_at, client,
                 session, access, pending, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            params![
                bytes(token.id),
                bytes(token.account),
                hash.bytes(),
                token.description,
                scopes_text(&token.scopes),
                token.masked,
                micros(token.created_at),
                token.expires_at.map(micros),
                token.client.map(bytes),
                token.session.map(bytes),
                bytes(token.access),
                token.pending,
                micros(token.updated_at)
            ],
        )
        .map(drop)
    }

    /// What its owner may change: description and client.
    pub fn token_describe(
        &self,
        id: TokenId,
        description: &str,
        client: Option<OauthClientId>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.change_one(
            "describe a token",
            "authorization",
            "UPDATE token SET description = ?2, client = ?3, updated_at = ?4 WHERE id = ?1",
            params![bytes(id), description, client.map(bytes), micros(now)],
        )
    }

    /// A new access token for the authorization, which is pending no more.
    pub fn token_set_access(&self, token: &Token, hash: &ValueHash) -> Result<(), StoreError> {
        self.change_one(
            "set an access token",
            "authorization",
            "UPDATE token SET access = ?2, hash = ?3, masked = ?4, expires_at = ?5, updated_at = ?6, pending = 0
             WHERE id = ?1",
            params![
                bytes(token.id),
                bytes(token.access),
                hash.bytes(),
                token.masked,
                token.expires_at.map(micros),
                micros(token.updated_at)
            ],
        )
    }

    pub fn token_set_refresh(
        &self,
        id: TokenId,
        refresh: &Refresh,
        hash: &ValueHash,
    ) -> Result<(), StoreError> {
        self.change_one(
            "set a refresh token",
            "authorization",
            "UPDATE token SET refresh = ?2, refresh_hash = ?3, refresh_masked = ?4 WHERE id = ?1",
            params![bytes(id), bytes(refresh.id), hash.bytes(), refresh.masked],
        )
    }

    /// The access token of now stays valid until its end beside the one that follows it; of those, `keep` stay.
    pub fn token_keep_earlier(&self, id: TokenId, keep: usize, now: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO token_earlier (id, token, hash, masked, expires_at)
             SELECT access, id, hash, masked, expires_at FROM token WHERE id = ?1 AND expires_at > ?2";
        self.change("keep an earlier token", sql, params![bytes(id), micros(now)])?;
        let sql = "DELETE FROM token_earlier WHERE token = ?1 AND (expires_at <= ?2 OR id NOT IN (
                 SELECT id FROM token_earlier WHERE token = ?1 ORDER BY expires_at DESC LIMIT ?3))";
        self.change("drop earlier tokens", sql, params![bytes(id), micros(now), limit(keep)]).map(drop)
    }

    /// Ends one access token of an authorization, the newest or an earlier one. Whether there was one.
    pub fn token_end_access(
        &self,
        id: TokenId,
        access: AccessTokenId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let sql = "DELETE FROM token_earlier WHERE id = ?1 AND token = ?2";
        let earlier = self.change("end an earlier token", sql, params![bytes(access), bytes(id)])?;
        let sql = "UPDATE token SET expires_at = ?3, updated_at = ?3 WHERE access = ?1 AND id = ?2";
        let newest =
            self.change("end an access token", sql, params![bytes(access), bytes(id), micros(now)])?;
        Ok(earlier + newest > 0)
    }

    /// Whether there was one.
    pub fn token_delete(&self, id: TokenId) -> Result<bool, StoreError> {
        Ok(self.change("delete a token", "DELETE FROM token WHERE id = ?1", [bytes(id)])? > 0)
    }
}

impl Read<'_> {
    /// The authorization that this access token is of.
    pub fn token_find_by_access(&self, access: AccessTokenId) -> Result<Option<Token>, StoreError> {
        let sql = "SELECT * FROM token WHERE access = ?1
             OR id = (SELECT token FROM token_earlier WHERE token_earlier.id = ?1)";
        self.first("find a token by its access token", sql, [bytes(access)], token)
    }

    pub fn token_list_of_session(
        &self,
        account: AccountId,
        session: SessionId,
    ) -> Result<Vec<Token>, StoreError> {
        let sql = "SELECT * FROM token WHERE account = ?1 AND session = ?2";
        self.all("list a session's tokens", sql, [bytes(account), bytes(session)], token)
    }
}

fn scopes_text(scopes: &[TokenScope]) -> String {
    to_json(&scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>())
}

fn token(c: &Cells<'_>) -> Result<Token, StoreError> {
    let words: Vec<String> = c.json("scopes")?;
    let scope = |word: &String| TokenScope::parse(word).ok_or_else(|| corrupt("scopes", "unknown word"));
    let refresh = match c.id_opt("refresh")? {
        Some(id) => Some(Refresh { id, masked: c.get("refresh_masked")? }),
        None => None,
    };
    Ok(Token {
        id: c.id("id")?,
        account: c.id("account")?,
        description: c.get("description")?,
        scopes: words.iter().map(scope).collect::<Result<_, _>>()?,
        client: c.id_opt("client")?,
        session: c.id_opt("session")?,
        access: c.id("access")?,
        masked: c.get("masked")?,
        refresh,
        pending: c.get("pending")?,
        created_at: c.time("created_at")?,
        updated_at: c.time("updated_at")?,
        expires_at: c.time_opt("expires_at")?,
    })
}
