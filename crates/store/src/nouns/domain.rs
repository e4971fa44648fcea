//! Custom domains, and the certificates that are served for them. A private key is sealed, and read by nobody but the
//! one that serves it.

use renga_model::{AppId, Domain, DomainId, Secret, SniEndpoint, SniEndpointId};
use rusqlite::params;

use crate::{
    Read, StoreError, Tx,
    row::{Cells, bytes, corrupt, micros, to_json},
};

const SEALED_KEY: &str = "sni_endpoint.sealed_key";

impl Read<'_> {
    /// Whoever's it is.
    pub fn domain_find(&self, hostname: &str) -> Result<Option<Domain>, StoreError> {
        self.first("find a domain", "SELECT * FROM domain WHERE hostname = ?1", [hostname], domain)
    }

    /// By host name.
    pub fn domain_list(&self, app: AppId) -> Result<Vec<Domain>, StoreError> {
        let sql = "SELECT * FROM domain WHERE app = ?1 ORDER BY hostname";
        self.all("list an app's domains", sql, [bytes(app)], domain)
    }

    /// Of all apps, by host name.
    pub fn domain_list_all(&self) -> Result<Vec<Domain>, StoreError> {
        self.all("list domains", "SELECT * FROM domain ORDER BY hostname", [], domain)
    }

    /// Those whose names end with `.parent`, at whatever depth, whoever's they are.
    pub fn domain_list_below(&self, parent: &str) -> Result<Vec<Domain>, StoreError> {
        let sql = "SELECT * FROM domain WHERE substr(hostname, -length(?1)) = ?1 ORDER BY hostname";
        self.all("list domains below another", sql, [format!(".{parent}")], domain)
    }

    pub fn sni_endpoint_fetch(&self, id: SniEndpointId) -> Result<SniEndpoint, StoreError> {
        let sql = "SELECT * FROM sni_endpoint WHERE id = ?1";
        self.first("fetch a certificate", sql, [bytes(id)], sni_endpoint)?
            .ok_or(StoreError::not_found("sni_endpoint"))
    }

    /// Oldest first.
    pub fn sni_endpoint_list(&self, app: AppId) -> Result<Vec<SniEndpoint>, StoreError> {
        let sql = "SELECT * FROM sni_endpoint WHERE app = ?1 ORDER BY created_at, id";
        self.all("list an app's certificates", sql, [bytes(app)], sni_endpoint)
    }

    /// The private key, as PEM.
    pub fn sni_endpoint_key(&self, id: SniEndpointId) -> Result<Secret, StoreError> {
        let sql = "SELECT sealed_key FROM sni_endpoint WHERE id = ?1";
        let open = |c: &Cells<'_>| c.sealed::<String>("sealed_key", SEALED_KEY, &bytes(id));
        let key = self.first("fetch a certificate's key", sql, [bytes(id)], open)?;
        key.map(Secret::new).ok_or(StoreError::not_found("sni_endpoint"))
    }
}

impl Tx<'_> {
    pub fn domain_insert(&self, domain: &Domain) -> Result<(), StoreError> {
        self.change(
            "insert a domain",
            "INSERT INTO domain (id, app, hostname, sni_endpoint, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                bytes(domain.id),
                bytes(domain.app),
                domain.hostname.as_str(),
                domain.sni_endpoint.map(bytes),
                micros(domain.created_at),
                micros(domain.updated_at)
            ],
        )
        .map(drop)
    }

    /// Another certificate.
    pub fn domain_update(&self, domain: &Domain) -> Result<(), StoreError> {
        self.change_one(
            "update a domain",
            "domain",
            "UPDATE domain SET sni_endpoint = ?2, updated_at = ?3 WHERE id = ?1",
            params![bytes(domain.id), domain.sni_endpoint.map(bytes), micros(domain.updated_at)],
        )
    }

    /// Whether there was one.
    pub fn domain_delete(&self, id: DomainId) -> Result<bool, StoreError> {
        Ok(self.change("delete a domain", "DELETE FROM domain WHERE id = ?1", [bytes(id)])? > 0)
    }

    /// All of an app's: their names are free again.
    pub fn domain_delete_of_app(&self, app: AppId) -> Result<(), StoreError> {
        self.change("delete an app's domains", "DELETE FROM domain WHERE app = ?1", [bytes(app)]).map(drop)
    }

    /// Inserts it with its key, or replaces chain, key and facts of the one with this id.
    pub fn sni_endpoint_put(&self, endpoint: &SniEndpoint, key_pem: &Secret) -> Result<(), StoreError> {
        let id = bytes(endpoint.id);
        let sealed = self.key.seal(SEALED_KEY, &id, to_json(&key_pem.expose()).as_bytes());
        self.change(
            "put a certificate",
            "INSERT INTO sni_endpoint (id, app, name, chain_pem, sealed_key, facts, created_at, updated_at, acm)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (id) DO UPDATE SET chain_pem = excluded.chain_pem, sealed_key = excluded.sealed_key,
                facts = excluded.facts, updated_at = excluded.updated_at, acm = excluded.acm",
            params![
                id,
                bytes(endpoint.app),
                endpoint.name.as_str(),
                endpoint.chain_pem,
                sealed,
                to_json(&endpoint.facts),
                micros(endpoint.created_at),
                micros(endpoint.updated_at),
                endpoint.acm
            ],
        )
        .map(drop)
    }

    /// Its domains stay, without it. Whether there was one.
    pub fn sni_endpoint_delete(&self, id: SniEndpointId) -> Result<bool, StoreError> {
        let sql = "DELETE FROM sni_endpoint WHERE id = ?1";
        Ok(self.change("delete a certificate", sql, [bytes(id)])? > 0)
    }
}

fn domain(c: &Cells<'_>) -> Result<Domain, StoreError> {
    let hostname: String = c.get("hostname")?;
    Ok(Domain {
        id: c.id("id")?,
        app: c.id("app")?,
        hostname: hostname.parse().map_err(|error| corrupt("hostname", error))?,
        sni_endpoint: c.id_opt("sni_endpoint")?,
        created_at: c.time("created_at")?,
        updated_at: c.time("updated_at")?,
    })
}

fn sni_endpoint(c: &Cells<'_>) -> Result<SniEndpoint, StoreError> {
    Ok(SniEndpoint {
        id: c.id("id")?,
        app: c.id("app")?,
        name: c.name("name")?,
        chain_pem: c.get("chain_pem")?,
        acm: c.get("acm")?,
        facts: c.json("facts")?,
        created_at: c.time("created_at")?,
        updated_at: c.time("updated_at")?,
    })
}
