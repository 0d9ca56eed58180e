//! `sigillo domain` and `sigillo account` as an operator uses them: a domain is taken, its MX records decide, accounts
//! are made in it, disabled and measured; beside a running provider and without one.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::process::Output;

use common::{Dns, Provider, code, count, stderr, until};
use serde_json::Value;

const HOST: &str = "mx.demo.example";
const DOMAIN: &str = "pec.beta.example";
const OFFICE: &str = "ufficio@pec.beta.example";

fn mx(host: &str) -> Vec<String> {
    vec![format!("--mx-host={DOMAIN},{host},10")]
}

fn refused(provider: &Provider, args: &[&str], why: &str) {
    let output = provider.sigillo(args);
    assert_eq!((code(&output), stderr(&output).contains(why)), (1, true), "{args:?}: {}", stderr(&output));
}

fn shown(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

fn check(provider: &Provider) -> (i32, Value) {
    let output = provider.sigillo(&["domain", "check", DOMAIN, "--json"]);
    (code(&output), shown(&output)[0].clone())
}

#[test]
fn a_domain_is_active_when_its_mx_records_are_ours_and_has_accounts_then() {
    let dir = tempfile::tempdir().unwrap();
    let dns = Dns::start(&mx("mx.altri.example"));
    let server = format!("127.0.0.1:{}", dns.port);
    let provider = Provider::start_with(&dir.path().join("data"), &["--dns", &server, "--host", HOST]);
    let [sender, _] = provider.accounts();

    // 1. Taken, and not active: somebody else's records.
    let added = provider.sigillo(&["domain", "add", DOMAIN, "--organisation", "beta", "--json"]);
    let domain = &shown(&added)[0];
    assert_eq!((code(&added), &domain["active"], &domain["verdict"]), (1, &false.into(), &"others".into()));
    refused(&provider, &["account", "add", OFFICE], "its domain is not active here");
    refused(
        &provider,
        &["domain", "add", "posta.beta.example", "--ordinary"],
        "certified or ordinary, never both",
    );

    // 2. They change: it is active with the next look.
    let port = dns.port;
    drop(dns);
    let dns = Dns::start_at(port, &mx(HOST));
    let (done, domain) = check(&provider);
    assert_eq!(
        (done, &domain["active"], &domain["exchangers"][0]),
        (0, &true.into(), &HOST.into()),
        "{domain}"
    );

    // 3. An account, and nothing that a certified mailbox never is.
    for (wish, why) in [
        (["--alias", "altro@pec.beta.example"].as_slice(), "an alias"),
        (&["--forward", "altro@posta.example"], "forward from"),
        (&["--auto-reply", "sono in ferie"], "by a program"),
        (&["--catch-all"], "catch all"),
    ] {
        refused(&provider, &[&["account", "add", OFFICE], wish].concat(), why);
    }
    for reserved in ["postmaster@pec.beta.example", "posta-certificata@pec.beta.example"] {
        refused(&provider, &["account", "add", reserved], "the provider's own");
    }
    let made = provider.json(&["account", "add", OFFICE, "--quota-mib", "100"]);
    assert_eq!((&made["active"], &made["quota_mib"]), (&true.into(), &100.into()));
    assert!(made["password"].as_str().unwrap().len() > 20, "{made}");
    refused(&provider, &["account", "add", OFFICE], "the address is taken");
    refused(&provider, &["account", "quota", OFFICE, "1"], "at least 64 MiB");
    assert_eq!(provider.json(&["account", "quota", OFFICE, "200"])["quota_mib"], 200);
    refused(&provider, &["domain", "remove", DOMAIN], "1 mailboxes are in it");

    // 4. A letter reaches it; while it is disabled there is a notice of non-delivery (spec 12: 5.2.1).
    let letter = dir.path().join("letter.eml");
    std::fs::write(&letter, "Subject: prova\n\nBuongiorno.\n").unwrap();
    let send = || {
        let args = ["send", "--from", &sender, "--to", OFFICE, letter.to_str().unwrap()];
        let sent = provider.sigillo(&args);
        assert!([0, 1].contains(&code(&sent)), "{sent:?}");
    };
    send();
    until("a delivery", || (count(&provider.list(&sender), "avvenuta-consegna") == 1).then_some(()));
    assert_eq!(provider.json(&["account", "disable", OFFICE])["active"], false);
    send();
    until("a non-delivery", || (count(&provider.list(&sender), "errore-consegna") == 1).then_some(()));
    assert_eq!(provider.json(&["account", "enable", OFFICE])["active"], true);

    // 5. The records go elsewhere: it stays active, and whoever looks is told.
    drop(dns);
    let dns = Dns::start_at(port, &mx("mx.altri.example"));
    let (done, domain) = check(&provider);
    assert_eq!((done, &domain["active"], &domain["verdict"]), (1, &true.into(), &"others".into()));
    drop(dns);

    // 6. Every change is on record.
    let events = |entries: &Value| -> Vec<String> {
        let entries = entries.as_array().unwrap();
        entries.iter().map(|entry| entry["event"].as_str().unwrap().to_owned()).collect()
    };
    let history = events(&provider.json(&["domain", "history", DOMAIN]));
    for event in ["domain-added", "domain-activated", "domain-changed"] {
        assert!(history.iter().any(|e| e == event), "{event}: {history:?}");
    }
    let history = events(&provider.json(&["account", "sign-ins", OFFICE]));
    for event in ["account-added", "quota-set", "account-disabled", "account-enabled"] {
        assert!(history.iter().any(|e| e == event), "{event}: {history:?}");
    }

    // 7. Without a provider that runs, the same commands work on its folder.
    let data = provider.data().to_owned();
    provider.stop();
    let at = |args: &[&str]| common::sigillo(&[args, &["--json", "--data", data.to_str().unwrap()]].concat());
    assert_eq!(shown(&at(&["account", "disable", OFFICE]))["active"], false);
    let listed = at(&["domain", "list"]);
    assert_eq!((code(&listed), shown(&listed)[0]["name"].as_str()), (0, Some(DOMAIN)));
}
