//! Letters arrive, whatever the mail server does meanwhile, and never without an account to write to.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use renga_model::{OneTimeKind, Secret};
use renga_ports::{Letter, Mail, MailError};
use renga_testkit::world::Faults;

use crate::plane::{Bench, until};

/// Takes letters after it has refused some.
#[derive(Default)]
struct Postbox {
    refusals: AtomicU32,
    permanent: bool,
    taken: Mutex<Vec<Letter>>,
}

#[async_trait]
impl Mail for Postbox {
    async fn send(&self, letter: &Letter) -> Result<(), MailError> {
        let left = self.refusals.load(Ordering::Relaxed);
        if left > 0 {
            self.refusals.store(left - 1, Ordering::Relaxed);
            let (server, cause) = ("mail.example.com:25".into(), "busy".into());
            return Err(MailError { server, cause, permanent: self.permanent });
        }
        self.taken.lock().unwrap().push(letter.clone());
        Ok(())
    }
}

async fn bench(refusals: u32, permanent: bool) -> (Bench, Arc<Postbox>) {
    let postbox = Arc::new(Postbox { refusals: refusals.into(), permanent, ..Postbox::default() });
    let mut bench = Bench::new().await;
    bench.mail = Some(postbox.clone());
    (bench, postbox)
}

#[tokio::test(start_paused = true)]
async fn an_invitation_arrives_although_the_mail_server_is_busy_and_we_die() {
    let (bench, postbox) = bench(3, false).await;
    let plane = bench.start(&Faults::none()).await;
    let link = plane.engine.invitation_create("ada@example.com".into()).await.unwrap();
    assert!(link.mailed);
    until("a refusal", async || postbox.refusals.load(Ordering::Relaxed) < 3).await;
    plane.kill().await;
    let plane = bench.start(&Faults::none()).await;
    until("the letter", async || !postbox.taken.lock().unwrap().is_empty()).await;
    let letter = postbox.taken.lock().unwrap()[0].clone();
    assert_eq!(letter.to, "ada@example.com");
    assert!(letter.text.expose().contains(link.url.expose()));
    let value = link.url.expose().rsplit_once('/').unwrap().1;
    let found = plane.engine.link_find(OneTimeKind::Invitation, &Secret::new(value)).await.unwrap();
    assert_eq!(found.subject, "ada@example.com");
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(postbox.taken.lock().unwrap().len(), 1);
    plane.kill().await;
}

#[tokio::test(start_paused = true)]
async fn only_accounts_get_letters_and_few() {
    let (bench, postbox) = bench(0, false).await;
    let plane = bench.start(&Faults::none()).await;
    plane.engine.reset_ask("nobody@example.com").await.unwrap();
    for _ in 0..20 {
        plane.engine.reset_ask(&bench.account.email).await.unwrap();
    }
    until("the letters", async || postbox.taken.lock().unwrap().len() == 5).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    let taken = postbox.taken.lock().unwrap().clone();
    assert!(taken.len() == 5 && taken.iter().all(|letter| letter.to == bench.account.email));
    plane.kill().await;
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_is_refused_for_good_is_given_up() {
    let (bench, postbox) = bench(1, true).await;
    let plane = bench.start(&Faults::none()).await;
    plane.engine.reset_ask(&bench.account.email).await.unwrap();
    until("the refusal", async || postbox.refusals.load(Ordering::Relaxed) == 0).await;
    let none_wait = async || plane.engine.store.read(|read| read.letter_ids()).await.unwrap().is_empty();
    until("the letter to be dropped", none_wait).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(postbox.taken.lock().unwrap().is_empty());
    plane.kill().await;
}
