//! Questions about all apps at once. Whoever asked app by app would read, and open the seals of, a thousand rows to add
//! up a handful.

use std::collections::BTreeMap;

use renga_model::{AccountId, AppId, Formation, ProcessType, ReleaseId};

use crate::{
    Read, StoreError,
    nouns::formation::formation,
    row::{Cells, bytes},
};

impl Read<'_> {
    /// Types of which dynos are wanted and that their app's current slug declares: of one owner's apps, or of all.
    pub fn formation_list_wanted(&self, owner: Option<AccountId>) -> Result<Vec<Formation>, StoreError> {
        let sql = "SELECT formation.*, slug.process_types FROM formation
             JOIN app ON app.id = formation.app AND app.deleted = 0
             JOIN release ON release.app = app.id AND release.current = 1
             JOIN slug ON slug.id = release.slug
             WHERE formation.quantity > 0 AND (?1 IS NULL OR app.owner = ?1)
             ORDER BY app.name, formation.process_type";
        let declared = |c: &Cells<'_>| {
            let row = formation(c)?;
            let types: BTreeMap<ProcessType, String> = c.json("process_types")?;
            Ok(types.contains_key(&row.process_type).then_some(row))
        };
        let rows = self.all("list what formations want", sql, [owner.map(bytes)], declared)?;
        Ok(rows.into_iter().flatten().collect())
    }

    /// The web rows of all formations.
    pub fn formation_list_web(&self) -> Result<Vec<Formation>, StoreError> {
        let sql = "SELECT * FROM formation WHERE process_type = ?1 ORDER BY app";
        self.all("list web formations", sql, [ProcessType::web().as_str()], formation)
    }

    /// Which release each app runs, for those who know the releases already.
    pub fn release_list_current(&self) -> Result<BTreeMap<AppId, ReleaseId>, StoreError> {
        let sql = "SELECT app, id FROM release WHERE current = 1";
        let rows = self.all("list current releases", sql, [], |c| Ok((c.id("app")?, c.id("id")?)))?;
        Ok(rows.into_iter().collect())
    }

    /// Apps that sleep.
    pub fn sleep_list_asleep(&self) -> Result<Vec<AppId>, StoreError> {
        let sql = "SELECT app FROM sleep WHERE asleep = 1 ORDER BY app";
        self.all("list apps that sleep", sql, [], |c| c.id("app"))
    }
}
