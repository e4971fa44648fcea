//! Orders from their beginning to a chain, or to a reason.

use std::time::{Duration, Instant};

use renga_acme::{AcmeClient, Config};
use renga_model::{AcmProof, Hostname, Secret};
use renga_ports::{Acme as _, AcmeError, DnsAction, OrderSeen, ProofKind};

use crate::pebble::Pebble;

/// Far longer than an order takes.
const ORDER_MAX: Duration = Duration::from_secs(60);

/// Every call may be repeated, so what comes of an authority that is in trouble for a moment is not the end.
async fn insist<T>(mut call: impl AsyncFnMut() -> Result<T, AcmeError>) -> Result<T, AcmeError> {
    for _ in 0..50 {
        match call().await {
            Err(AcmeError::Away(_)) => {}
            done => return done,
        }
    }
    call().await
}

/// All steps, as the engine takes them. `answered`: whether the name leads here.
async fn fetch(
    pebble: &Pebble,
    client: &AcmeClient,
    account: &Secret,
    name: &Hostname,
    by: ProofKind,
    answered: bool,
) -> Result<(String, Secret), AcmeError> {
    let order = insist(async || client.order(account, name, by).await).await?;
    match order.proof.as_ref().expect("nothing is proven before") {
        AcmProof::Http { token, answer } if answered => {
            pebble.answers.lock().unwrap().insert(token.clone(), answer.clone());
        }
        AcmProof::Http { .. } => {}
        AcmProof::Dns { record, value } => client.dns(DnsAction::Present, record, value).await?,
    }
    insist(async || client.tell(account, &order).await).await?;
    // Telling again is fine.
    insist(async || client.tell(account, &order).await).await?;
    let seen = async |wanted: OrderSeen| {
        let begin = Instant::now();
        while insist(async || client.look(account, &order).await).await? != wanted {
            assert!(begin.elapsed() < ORDER_MAX, "the order is never {wanted:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok::<_, AcmeError>(())
    };
    seen(OrderSeen::Ready).await?;
    let key = client.new_key()?;
    insist(async || client.finish(account, &order, name, &key).await).await?;
    seen(OrderSeen::Valid).await?;
    if let Some(AcmProof::Dns { record, value }) = &order.proof {
        client.dns(DnsAction::Cleanup, record, value).await?;
    }
    Ok((insist(async || client.chain(account, &order).await).await?, key))
}

fn client(config: &Config) -> AcmeClient {
    AcmeClient::new(config.clone()).unwrap()
}

fn certificates(chain: &str) -> usize {
    chain.matches("BEGIN CERTIFICATE").count()
}

#[tokio::test]
async fn a_certificate_comes_although_half_of_all_nonces_are_called_bad() {
    let pebble = Pebble::start(50);
    let first = client(&pebble.config);
    let account = insist(async || first.register().await).await.unwrap();
    let name: Hostname = "www.example.com".parse().unwrap();
    let (chain, _) = fetch(&pebble, &first, &account, &name, ProofKind::Http, true).await.unwrap();
    assert_eq!(certificates(&chain), 2, "{chain}");
    // The next life has the account's key only; and a renewal is an order like the first.
    let second = client(&pebble.config);
    let (next, key) = fetch(&pebble, &second, &account, &name, ProofKind::Http, true).await.unwrap();
    assert!(next != chain && key.expose().contains("PRIVATE KEY"));
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_is_refused_in_words_and_may_be_tried_again() {
    let pebble = Pebble::start(0);
    let client = client(&pebble.config);
    let account = client.register().await.unwrap();
    let name: Hostname = "www.example.com".parse().unwrap();
    let failed = fetch(&pebble, &client, &account, &name, ProofKind::Http, false).await;
    let Err(AcmeError::Refused(say)) = failed else { panic!("{failed:?}") };
    assert!(say.starts_with("Something else answered for www.example.com. Check that its DNS"), "{say}");
    let (chain, _) = fetch(&pebble, &client, &account, &name, ProofKind::Http, true).await.unwrap();
    assert_eq!(certificates(&chain), 2, "{chain}");
}

#[tokio::test]
async fn a_wildcard_is_proven_by_the_operators_program() {
    let pebble = Pebble::start(0);
    let mut config = pebble.config.clone();
    config.dns_hook = pebble.hook();
    let client = client(&config);
    let account = client.register().await.unwrap();
    let name: Hostname = "*.example.com".parse().unwrap();
    let (chain, _) = fetch(&pebble, &client, &account, &name, ProofKind::Dns, true).await.unwrap();
    assert_eq!(certificates(&chain), 2, "{chain}");
}

#[tokio::test]
async fn an_account_of_another_authority_is_unknown_and_a_stranger_is_not_trusted() {
    let (here, there) = (Pebble::start(0), Pebble::start(0));
    let account = client(&there.config).register().await.unwrap();
    // As one that has lost its memory.
    let moved = account.expose().replace(&there.config.directory, &here.config.directory);
    let port = |config: &Config| config.directory.rsplit(':').next().unwrap().replace("/dir", "");
    let moved = Secret::new(moved.replace(&port(&there.config), &port(&here.config)));
    let name: Hostname = "www.example.com".parse().unwrap();
    let unknown = client(&here.config).order(&moved, &name, ProofKind::Http).await;
    assert_eq!(unknown, Err(AcmeError::UnknownAccount));
    let mut stranger = here.config.clone();
    stranger.ca_pem.clone_from(&there.config.ca_pem);
    assert!(matches!(client(&stranger).register().await, Err(AcmeError::Away(_))));
}
