//! Programs that act for accounts.

use renga_model::{AccountId, OauthClient, OauthClientId, Secret};
use rusqlite::params;

use crate::{
    Read, StoreError, Tx, ValueHash,
    row::{Cells, bytes, micros, to_json},
};

const SEALED_SECRET: &str = "oauth_client.sealed_secret";

impl Read<'_> {
    pub fn oauth_client_fetch(&self, id: OauthClientId) -> Result<OauthClient, StoreError> {
        let sql = "SELECT * FROM oauth_client WHERE id = ?1";
        self.first("fetch an OAuth client", sql, [bytes(id)], client)?
            .ok_or(StoreError::not_found("oauth client"))
    }

    /// By name.
    pub fn oauth_client_list(&self, account: AccountId) -> Result<Vec<OauthClient>, StoreError> {
        let sql = "SELECT * FROM oauth_client WHERE account = ?1 ORDER BY name, created_at, id";
        self.all("list OAuth clients", sql, [bytes(account)], client)
    }

    pub fn oauth_client_find_by_secret(&self, secret: &Secret) -> Result<Option<OauthClient>, StoreError> {
        let sql = "SELECT * FROM oauth_client WHERE secret_hash = ?1";
        self.first("find an OAuth client", sql, [ValueHash::of(secret.expose()).bytes()], client)
    }
}

impl Tx<'_> {
    pub fn oauth_client_insert(&self, client: &OauthClient) -> Result<(), StoreError> {
        self.change(
            "insert an OAuth client",
            "INSERT INTO oauth_client (id, account, name, redirect_uri, secret_hash, sealed_secret, created_at,
                 updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                bytes(client.id),
                bytes(client.account),
                client.name,
                client.redirect_uri,
                ValueHash::of(client.secret.expose()).bytes(),
                self.sealed(client),
                micros(client.created_at),
                micros(client.updated_at)
            ],
        )
        .map(drop)
    }

    pub fn oauth_client_update(&self, client: &OauthClient) -> Result<(), StoreError> {
        self.change_one(
            "update an OAuth client",
            "oauth client",
            "UPDATE oauth_client SET name = ?2, redirect_uri = ?3, secret_hash = ?4, sealed_secret = ?5,
                 updated_at = ?6
             WHERE id = ?1",
            params![
                bytes(client.id),
                client.name,
                client.redirect_uri,
                ValueHash::of(client.secret.expose()).bytes(),
                self.sealed(client),
                micros(client.updated_at)
            ],
        )
    }

    /// With every authorization that it was given. Whether there was one.
    pub fn oauth_client_delete(&self, id: OauthClientId) -> Result<bool, StoreError> {
        let sql = "DELETE FROM oauth_client WHERE id = ?1";
        Ok(self.change("delete an OAuth client", sql, [bytes(id)])? > 0)
    }

    fn sealed(&self, client: &OauthClient) -> Vec<u8> {
        self.read.key.seal(SEALED_SECRET, &bytes(client.id), to_json(&client.secret).as_bytes())
    }
}

fn client(c: &Cells<'_>) -> Result<OauthClient, StoreError> {
    let id: OauthClientId = c.id("id")?;
    Ok(OauthClient {
        id,
        account: c.id("account")?,
        name: c.get("name")?,
        redirect_uri: c.get("redirect_uri")?,
        secret: c.sealed("sealed_secret", SEALED_SECRET, &bytes(id))?,
        created_at: c.time("created_at")?,
        updated_at: c.time("updated_at")?,
    })
}
