//! What must hold of the tree itself: the direction of its dependencies, and that its documents speak of what is there.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::run::{self, output, root};

/// Which of our crates each of ours may stand on (design: `mime ← smime ← pec ← stages ← machine ← {embedded, aws} ← {server, functions}`).
const MAY_USE: [(&str, &[&str]); 12] = [
    ("sigillo-mime", &[]),
    ("sigillo-net", &[]),
    ("sigillo-smime", &["sigillo-mime"]),
    ("sigillo-pec", &["sigillo-mime", "sigillo-smime"]),
    ("sigillo-stages", &["sigillo-mime", "sigillo-smime", "sigillo-pec"]),
    ("sigillo-machine", &["sigillo-directory", "sigillo-mime", "sigillo-pec", "sigillo-stages"]),
    ("sigillo-directory", &["sigillo-smime", "sigillo-pec"]),
    ("sigillo-carrier", &["sigillo-pec", "sigillo-stages", "sigillo-smtp"]),
    ("sigillo-imap", &["sigillo-mime", "sigillo-pec", "sigillo-stages", "sigillo-net"]),
    ("sigillo-pop3", &["sigillo-stages", "sigillo-net"]),
    (
        "sigillo-embedded",
        &["sigillo-mime", "sigillo-smime", "sigillo-pec", "sigillo-stages", "sigillo-machine"],
    ),
    (
        "sigillo-aws",
        &[
            "sigillo-mime",
            "sigillo-smime",
            "sigillo-pec",
            "sigillo-stages",
            "sigillo-machine",
            "sigillo-directory",
        ],
    ),
];

/// Crates that know nothing of AWS, nor does anything that they stand on.
const FREE_OF_AWS: [&str; 8] = [
    "sigillo-mime",
    "sigillo-smime",
    "sigillo-pec",
    "sigillo-stages",
    "sigillo-machine",
    "sigillo-imap",
    "sigillo-pop3",
    "sigillo-embedded",
];

/// Every step.
const ALL: &str = "99";

/// What a crate of ours really stands on when it is built here, by name: everything, or the first step only.
fn below(name: &str, depth: &str) -> BTreeSet<String> {
    let mut command = run::cargo();
    command.args(["tree", "--locked", "--offline", "--prefix", "none", "--edges", "normal,build"]);
    command.args(["--package", name, "--depth", depth]);
    let tree = output(&mut command).unwrap();
    let names = tree.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned);
    names.filter(|n| n != name).collect()
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            if name != "target" && !name.to_string_lossy().starts_with('.') {
                files(&path, found);
            }
        } else {
            found.push(path);
        }
    }
}

fn sources() -> String {
    let mut all = Vec::new();
    files(&root(), &mut all);
    all.retain(|p| p.extension().is_some_and(|e| e == "rs"));
    all.iter().map(|p| fs::read_to_string(p).unwrap()).collect()
}

#[test]
fn our_crates_stand_on_each_other_in_one_direction() {
    for (name, may) in MAY_USE {
        let direct = below(name, "1");
        let ours = direct.iter().filter(|d| d.starts_with("sigillo"));
        let wrong: Vec<&String> = ours.filter(|d| !may.contains(&d.as_str())).collect();
        assert!(wrong.is_empty(), "{name} must not use {wrong:?}");
    }
}

#[test]
fn the_rules_and_the_embedded_form_know_nothing_of_aws() {
    for name in FREE_OF_AWS {
        let aws: Vec<String> = below(name, ALL)
            .into_iter()
            .filter(|d| (d.starts_with("aws-") && !d.starts_with("aws-lc-")) || d.starts_with("lambda"))
            .collect();
        assert!(aws.is_empty(), "{name} stands on {aws:?}");
    }
}

#[test]
fn the_functions_carry_nothing_of_the_embedded_form() {
    for function in fs::read_dir(root().join("functions")).unwrap().flatten() {
        // Beside the functions lies how they are built.
        let Ok(manifest) = fs::read_to_string(function.path().join("Cargo.toml")) else { continue };
        let name = manifest.lines().find_map(|line| line.strip_prefix("name = ")).unwrap().trim_matches('"');
        let below = below(name, ALL);
        assert!(below.contains("sigillo-aws"), "{name} is no function");
        for other in ["sigillo-embedded", "rusqlite"] {
            assert!(!below.contains(other), "{name} stands on {other}");
        }
    }
}

#[test]
fn there_is_one_cryptographic_provider() {
    for name in ["sigillo", "sigillo-carrier", "sigillo-embedded", "sigillo-aws"] {
        let below = below(name, ALL);
        for other in ["ring", "openssl", "native-tls"] {
            assert!(!below.contains(other), "{name} stands on {other}");
        }
    }
}

#[test]
fn the_rules_are_never_async_and_read_no_clock() {
    for room in ["shared/mime/src", "shared/smime/src", "shared/pec/src"] {
        let mut all = Vec::new();
        files(&root().join(room), &mut all);
        for path in all.iter().filter(|p| !p.to_string_lossy().contains("tests")) {
            let text = fs::read_to_string(path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for word in ["async fn", "SystemTime::now", "Instant::now", "Timestamp::now", "rand::fill"] {
                assert!(!code.contains(word), "{} says {word}", path.display());
            }
        }
    }
}

#[test]
fn the_conformance_page_names_tests_that_exist() {
    let page = fs::read_to_string(root().join("docs/conformance.md")).unwrap();
    let sources = sources();
    let mut named = 0;
    for row in page.lines().filter(|l| l.starts_with('|')) {
        for test in row.split('`').skip(1).step_by(2).filter(|w| w.contains("::")) {
            let name = test.rsplit("::").next().unwrap_or_default();
            assert!(sources.contains(&format!("fn {name}(")), "{test}: no such test");
            named += 1;
        }
    }
    assert!(named > 50, "only {named} tests are named");
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut all = Vec::new();
    files(&root(), &mut all);
    for path in all.iter().filter(|p| p.extension().is_some_and(|e| e == "md")) {
        let text = fs::read_to_string(path).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") {
                let there = path.parent().unwrap().join(target);
                assert!(there.exists(), "{}: {link}", path.display());
            }
        }
    }
}

#[test]
fn every_command_of_the_readme_is_one_that_the_tests_run() {
    // `cargo xtask test` runs the first itself; CI runs the second; the others are run by the tests named here.
    let known = [
        "cargo xtask up",
        "cargo xtask test",
        "cargo xtask bench pipeline",
        "cargo xtask bench smime",
        "cargo xtask bench smtp",
        "cargo xtask bench imap",
        "openssl cms -verify",
    ];
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for line in readme.lines().filter_map(|l| l.strip_prefix("    ")) {
        assert!(known.iter().any(|k| line.starts_with(k)), "nobody runs `{line}`");
    }
}
