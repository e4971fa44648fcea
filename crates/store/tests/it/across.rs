//! Questions about all apps at once.

use renga_model::{App, Formation};
use renga_store::{Sleep, StoreError, Tx};

use crate::fixture::{Ledger, account, app_of, at, formation, release, slug};

/// An app whose current release has a slug with a web process, and the rows of its formation.
fn deployed(tx: &Tx<'_>, app: &App, rows: &[Formation]) -> Result<renga_model::ReleaseId, StoreError> {
    let code = slug(app, vec![]);
    tx.slug_insert(&code)?;
    let first = renga_model::Release { slug: Some(code.id), ..release(app, 1) };
    tx.release_insert(&first)?;
    tx.release_make_current(first.id, at(11))?;
    rows.iter().try_for_each(|row| tx.formation_put(row))?;
    Ok(first.id)
}

#[tokio::test]
async fn what_is_wanted_is_what_slugs_that_are_current_declare() {
    let (ledger, shop) = Ledger::with_app().await;
    let asked = ledger.store.write(move |tx| -> Result<(), StoreError> {
        let bob = account("bob@example.com");
        tx.account_insert(&bob, None)?;
        let (other, blank) = (app_of(bob.id, "other"), app_of(bob.id, "blank"));
        let gone = App { deleted: true, ..app_of(bob.id, "gone") };
        [&other, &blank, &gone].into_iter().try_for_each(|app| tx.app_insert(app))?;
        let web = formation(&shop, "web", 2);
        // The slug knows no worker any more, and nothing is wanted of a third.
        let rows = [web.clone(), formation(&shop, "worker", 3)];
        let current = deployed(tx, &shop, &rows)?;
        let others = formation(&other, "web", 1);
        deployed(tx, &other, std::slice::from_ref(&others))?;
        deployed(tx, &gone, &[formation(&gone, "web", 9)])?;
        tx.formation_put(&formation(&blank, "web", 4))?;

        assert_eq!(tx.formation_list_wanted(None)?, [others.clone(), web.clone()]);
        assert_eq!(tx.formation_list_wanted(Some(shop.owner))?, std::slice::from_ref(&web));
        tx.formation_put(&Formation { quantity: 0, ..web })?;
        assert_eq!(tx.formation_list_wanted(None)?, [others]);
        assert_eq!(tx.formation_list_web()?.len(), 4);

        assert_eq!(tx.release_list_current()?.get(&shop.id), Some(&current));
        assert_eq!(tx.release_list_current()?.len(), 3);
        assert_eq!((tx.app_count_of_owner(shop.owner)?, tx.app_count_of_owner(bob.id)?), (1, 2));

        assert!(tx.sleep_list_asleep()?.is_empty());
        tx.sleep_put(Sleep { app: shop.id, asleep: true, frozen_until: None, since: at(40) })?;
        tx.sleep_put(Sleep { app: other.id, asleep: false, frozen_until: None, since: at(40) })?;
        assert_eq!(tx.sleep_list_asleep()?, [shop.id]);
        Ok(())
    });
    asked.await.unwrap();
}
