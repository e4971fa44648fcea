//! API tokens. The value itself is never here: rows are found by its hash and shown by its mask.

use renga_model::{Account, AccountId, Token, TokenId, TokenScope};
use rusqlite::params;

use crate::{
    Read, StoreError, Tx, ValueHash,
    row::{Cells, bytes, corrupt, micros, to_json},
};

impl Read<'_> {
    /// Whose request this is. Whether the token has expired is for the caller to see.
    pub fn token_find_by_hash(&self, hash: &ValueHash) -> Result<Option<(Token, Account)>, StoreError> {
        let sql = "SELECT * FROM token WHERE hash = ?1";
        let Some(token) = self.first("find a token", sql, [hash.bytes()], token)? else { return Ok(None) };
        let account = self.account_fetch(token.account)?;
        Ok(Some((token, account)))
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
        let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.as_str()).collect();
        self.change(
            "insert a token",
            "INSERT INTO token (id, account, hash, description, scopes, masked, created_at, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                bytes(token.id),
                bytes(token.account),
                hash.bytes(),
                token.description,
                to_json(&scopes),
                token.masked,
                micros(token.created_at),
                token.expires_at.map(micros)
            ],
        )
        .map(drop)
    }

    /// Whether there was one.
    pub fn token_delete(&self, id: TokenId) -> Result<bool, StoreError> {
        Ok(self.change("delete a token", "DELETE FROM token WHERE id = ?1", [bytes(id)])? > 0)
    }
}

fn token(c: &Cells<'_>) -> Result<Token, StoreError> {
    let words: Vec<String> = c.json("scopes")?;
    let scope = |word: &String| TokenScope::parse(word).ok_or_else(|| corrupt("scopes", "unknown word"));
    Ok(Token {
        id: c.id("id")?,
        account: c.id("account")?,
        description: c.get("description")?,
        scopes: words.iter().map(scope).collect::<Result<_, _>>()?,
        masked: c.get("masked")?,
        created_at: c.time("created_at")?,
        expires_at: c.time_opt("expires_at")?,
    })
}
