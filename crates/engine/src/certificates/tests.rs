use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::*;

struct Made {
    leaf: String,
    intermediate: String,
    root: String,
    key: String,
}

fn chain() -> Made {
    let authority = |name: &str| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let (root_key, middle_key, key) =
        (KeyPair::generate().unwrap(), KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let root = authority("Root").self_signed(&root_key).unwrap();
    let root_issuer = Issuer::new(authority("Root"), root_key);
    let middle = authority("Middle").signed_by(&middle_key, &root_issuer).unwrap();
    let middle_issuer = Issuer::new(authority("Middle"), middle_key);
    let names = vec!["www.example.com".to_owned(), "*.example.com".to_owned()];
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, "www.example.com");
    let leaf = params.signed_by(&key, &middle_issuer).unwrap();
    Made { leaf: leaf.pem(), intermediate: middle.pem(), root: root.pem(), key: key.serialize_pem() }
}

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn say(result: Result<Checked, Refusal>) -> String {
    result.err().unwrap().say
}

#[test]
fn a_chain_in_any_order_comes_out_in_the_right_one() {
    let made = chain();
    let shuffled = format!("{}{}{}", made.root, made.leaf, made.intermediate);
    let checked = check(&shuffled, Secret::new(made.key.as_str()), now()).unwrap();
    let unbroken = |pem: &str| pem.replace(['\r', '\n'], "");
    assert_eq!(
        unbroken(&checked.chain_pem),
        unbroken(&format!("{}{}{}", made.leaf, made.intermediate, made.root))
    );
    assert_eq!(checked.facts.names, ["www.example.com", "*.example.com"]);
    assert!(checked.facts.subject.ends_with("/CN=www.example.com"), "{}", checked.facts.subject);
    assert!(checked.facts.issuer.ends_with("/CN=Middle"), "{}", checked.facts.issuer);
    assert!(!checked.facts.self_signed && !checked.facts.ca_signed);
    assert!(checked.facts.starts_at < now() && now() < checked.facts.expires_at);
    // What was checked can be checked again.
    assert!(check(&checked.chain_pem, checked.key_pem, now()).is_ok());
}

#[test]
fn what_could_not_be_served_is_refused_without_quoting_it() {
    let made = chain();
    let other = KeyPair::generate().unwrap().serialize_pem();
    let with = |chain: &str, key: &str| say(check(chain, Secret::new(key), now()));
    assert!(with(&made.leaf, &other).contains("does not match"));
    assert!(with(&made.leaf, "").contains("private_key"));
    assert!(with(&made.leaf, &made.leaf).contains("private_key"));
    let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMII=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert!(with(&made.leaf, locked).contains("passphrase"));
    assert!(with("", &made.key).contains("certificate_chain"));
    assert!(with(&made.key, &made.key).contains("certificate_chain"));
    let broken = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    assert!(with(broken, &made.key).contains("certificate_chain"));
    assert!(with(&made.leaf.repeat(11), &made.key).contains("at most 10"));
    assert!(with(&"x".repeat(70_000), &made.key).contains("too long"));
    let late = "4500-01-01T00:00:00Z".parse().unwrap();
    assert!(say(check(&made.leaf, Secret::new(made.key), late)).contains("expired"));
}
