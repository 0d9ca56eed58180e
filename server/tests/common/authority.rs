//! Certificates made by openssl: authorities, servers, clients, signers.

use std::path::Path;

use super::run;

/// An authority, or a certificate of one: `DIR/NAME.pem` and `DIR/NAME.key`.
pub fn certificate(dir: &Path, name: &str, issuer: Option<&str>, extensions: &[&str]) {
    let path = |suffix: &str| dir.join(format!("{name}.{suffix}")).to_str().unwrap().to_owned();
    let mut args = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-batch"]
        .map(str::to_owned)
        .to_vec();
    args.extend(["-subj".to_owned(), format!("/CN={name}"), "-keyout".to_owned(), path("key")]);
    args.extend(["-out".to_owned(), path("pem")]);
    if let Some(issuer) = issuer {
        let issuer = |suffix: &str| dir.join(format!("{issuer}.{suffix}")).to_str().unwrap().to_owned();
        args.extend(["-CA".to_owned(), issuer("pem"), "-CAkey".to_owned(), issuer("key")]);
    }
    for extension in extensions {
        args.extend(["-addext".to_owned(), (*extension).to_owned()]);
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    run("openssl", &args);
}
