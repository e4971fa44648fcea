//! Names that the platform fetches certificates for, and its accounts with authorities. Keys are sealed.

use jiff::Timestamp;
use renga_model::{AcmName, AcmStep, AppId, Hostname, Secret};
use rusqlite::params;

use crate::{
    Read, StoreError, Tx,
    row::{Cells, bytes, corrupt, micros, to_json},
};

const SEALED_KEY: &str = "acm_name.sealed_key";
const SEALED_ACCOUNT: &str = "acme_account.sealed_key";

impl Read<'_> {
    pub fn acm_name_find(&self, hostname: &Hostname) -> Result<Option<AcmName>, StoreError> {
        let sql = "SELECT * FROM acm_name WHERE hostname = ?1";
        self.first("find an automatic certificate", sql, [hostname.as_str()], acm_name)
    }

    /// Of the domains that an app has now.
    pub fn acm_name_list(&self, app: AppId) -> Result<Vec<AcmName>, StoreError> {
        let sql = "SELECT acm_name.* FROM acm_name JOIN domain ON domain.id = acm_name.domain
             WHERE domain.app = ?1 ORDER BY acm_name.hostname";
        self.all("list an app's automatic certificates", sql, [bytes(app)], acm_name)
    }

    /// Those whose proof may be looked for. (In the words of the index.)
    pub fn acm_name_list_proving(&self) -> Result<Vec<AcmName>, StoreError> {
        let sql =
            "SELECT * FROM acm_name WHERE step IN ('proving', 'checking', 'verified') AND step <> 'verified'
             ORDER BY hostname";
        self.all("list names that are being proven", sql, [], acm_name)
    }

    /// How many orders stand with the authority.
    pub fn acm_name_count_under_way(&self) -> Result<usize, StoreError> {
        let sql = "SELECT count(*) AS names FROM acm_name WHERE step IN ('proving', 'checking', 'verified')";
        Ok(self.first("count orders", sql, [], |c| c.get("names"))?.unwrap_or_default())
    }

    /// Names to look at: those that are due, those that should have a row and have none, and those that have one and
    /// should not.
    pub fn acm_name_due(&self, now: Timestamp) -> Result<Vec<Hostname>, StoreError> {
        let sql = "WITH wanted AS (
                SELECT domain.hostname AS hostname, domain.id AS domain FROM domain
                JOIN app ON app.id = domain.app WHERE app.acm = 1 AND app.deleted = 0)
             SELECT hostname FROM acm_name
             WHERE due_at <= ?1 AND step <> 'failed'
                OR NOT EXISTS (SELECT 1 FROM wanted WHERE wanted.domain = acm_name.domain)
             UNION
             SELECT hostname FROM wanted
             WHERE NOT EXISTS (SELECT 1 FROM acm_name WHERE acm_name.hostname = wanted.hostname)";
        self.all("list certificates that are due", sql, [micros(now)], hostname)
    }

    /// The key of the certificate that is ordered, as PEM.
    pub fn acm_name_key(&self, name: &Hostname) -> Result<Option<Secret>, StoreError> {
        let sql = "SELECT sealed_key FROM acm_name WHERE hostname = ?1 AND sealed_key IS NOT NULL";
        let row = name.as_str().as_bytes();
        let open = |c: &Cells<'_>| c.sealed::<String>("sealed_key", SEALED_KEY, row);
        Ok(self.first("fetch a certificate's key", sql, [name.as_str()], open)?.map(Secret::new))
    }

    pub fn acme_account_find(&self, authority: &str) -> Result<Option<Secret>, StoreError> {
        let sql = "SELECT sealed_key FROM acme_account WHERE authority = ?1";
        let open = |c: &Cells<'_>| c.sealed::<String>("sealed_key", SEALED_ACCOUNT, authority.as_bytes());
        Ok(self.first("find an account with an authority", sql, [authority], open)?.map(Secret::new))
    }
}

impl Tx<'_> {
    pub fn acm_name_insert(&self, name: &AcmName) -> Result<(), StoreError> {
        let sql =
            "INSERT INTO acm_name (hostname, domain, step, acme_order, failures, reason, due_at, expires_at,
                generation, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
        let cells = params![
            name.hostname.as_str(),
            bytes(name.domain),
            name.step.as_str(),
            name.order.as_ref().map(to_json),
            name.failures,
            name.reason,
            micros(name.due_at),
            name.expires_at.map(micros),
            name.generation,
            micros(name.created_at),
            micros(name.updated_at)
        ];
        self.change("insert an automatic certificate", sql, cells).map(drop)
    }

    /// If the row is still of the generation that `name` has, which the row leaves; `key_pem` is the key of what is
    /// ordered now. Whether it was.
    pub fn acm_name_move(&self, name: &AcmName, key_pem: Option<&Secret>) -> Result<bool, StoreError> {
        let row = name.hostname.as_str().as_bytes();
        let sealed = key_pem.map(|key| self.key.seal(SEALED_KEY, row, to_json(&key.expose()).as_bytes()));
        let sql =
            "UPDATE acm_name SET step = ?3, acme_order = ?4, sealed_key = ?5, failures = ?6, reason = ?7,
                due_at = ?8, expires_at = ?9, updated_at = ?10, generation = generation + 1
             WHERE hostname = ?1 AND generation = ?2";
        let cells = params![
            name.hostname.as_str(),
            name.generation,
            name.step.as_str(),
            name.order.as_ref().map(to_json),
            sealed,
            name.failures,
            name.reason,
            micros(name.due_at),
            name.expires_at.map(micros),
            micros(name.updated_at)
        ];
        Ok(self.change("move an automatic certificate", sql, cells)? > 0)
    }

    /// If it is still of this generation. Whether it was.
    pub fn acm_name_delete(&self, name: &Hostname, generation: u64) -> Result<bool, StoreError> {
        let sql = "DELETE FROM acm_name WHERE hostname = ?1 AND generation = ?2";
        Ok(self.change("delete an automatic certificate", sql, params![name.as_str(), generation])? > 0)
    }

    /// Those of an app's domains are no longer served.
    pub fn sni_endpoint_delete_acm(&self, app: AppId) -> Result<(), StoreError> {
        let sql = "DELETE FROM sni_endpoint WHERE app = ?1 AND acm = 1";
        self.change("delete an app's automatic certificates", sql, [bytes(app)]).map(drop)
    }

    pub fn acme_account_put(&self, authority: &str, key: &Secret, now: Timestamp) -> Result<(), StoreError> {
        let sealed = self.key.seal(SEALED_ACCOUNT, authority.as_bytes(), to_json(&key.expose()).as_bytes());
        let sql = "INSERT INTO acme_account (authority, sealed_key, created_at) VALUES (?1, ?2, ?3)
             ON CONFLICT (authority) DO UPDATE SET sealed_key = excluded.sealed_key, created_at = excluded.created_at";
        self.change("put an account with an authority", sql, params![authority, sealed, micros(now)])
            .map(drop)
    }

    /// Whether there was one.
    pub fn acme_account_delete(&self, authority: &str) -> Result<bool, StoreError> {
        let sql = "DELETE FROM acme_account WHERE authority = ?1";
        Ok(self.change("delete an account with an authority", sql, [authority])? > 0)
    }
}

fn hostname(c: &Cells<'_>) -> Result<Hostname, StoreError> {
    c.get::<String>("hostname")?.parse().map_err(|error| corrupt("hostname", error))
}

fn acm_name(c: &Cells<'_>) -> Result<AcmName, StoreError> {
    Ok(AcmName {
        hostname: hostname(c)?,
        domain: c.id("domain")?,
        step: c.state("step", AcmStep::parse)?,
        order: c.json_opt("acme_order")?,
        failures: c.get("failures")?,
        reason: c.get("reason")?,
        due_at: c.time("due_at")?,
        expires_at: c.time_opt("expires_at")?,
        generation: c.get("generation")?,
        created_at: c.time("created_at")?,
        updated_at: c.time("updated_at")?,
    })
}
