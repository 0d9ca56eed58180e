//! What a function is told by its environment. The template sets these variables, nothing else does.
//!
//! | Variable | Meaning | When absent |
//! |---|---|---|
//! | `SIGILLO_TABLE_LETTERS` | table of [`Table::Letters`] | refused |
//! | `SIGILLO_TABLE_MAILBOXES` | table of [`Table::Mailboxes`] | refused |
//! | `SIGILLO_TABLE_REGISTRY` | table of [`Table::Registry`] | refused |
//! | `SIGILLO_TABLE_LOG` | the legal log | refused |
//! | `SIGILLO_BUCKET_DATA` | bucket of all blobs outside of the vault, of the SES drops and of the settings | refused |
//! | `SIGILLO_BUCKET_VAULT` | bucket under object lock: keys that begin with `vault/`, copies of log entries | refused |
//! | `SIGILLO_QUEUE_ACCEPT_URL`, `..._SEAL_URL`, `..._CERTIFY_URL`, `..._RECEIVE_URL`, `..._DELIVER_URL` (FIFO), `..._DISPATCH_URL`, `..._WATCH_URL` | one queue before each stage | refused |
//! | `SIGILLO_KMS_KEYS` | signing keys, see [`SigningKey`] | no key: nothing can be signed |
//! | `SIGILLO_INDEX_KEY` | provider index (LDIF) in the data bucket | `settings/index.ldif` |
//! | `SIGILLO_ANCHORS` | trust anchors (PEM) in the data bucket | `settings/anchors.pem` |
//! | `SIGILLO_RECIPIENTS_MAX` | recipients of one letter (spec 0.2 D3) | 500 |
//! | `SIGILLO_PRODUCT_BYTES_MAX` | octets times recipients of one letter (spec 0.2 D3) | 31457280 |
//! | `SIGILLO_TECHNICAL_BYTES_MAX` | octets above which a door refuses (spec 0.2 D3) | 104857600 |
//! | `SIGILLO_CONCURRENCY` | records of one batch that are worked at the same time | 8 |
//! | `SIGILLO_INCOMING_PREFIX` | where the receipt rule drops messages in the data bucket (`ingest`) | `ses/incoming/` |
//! | `SIGILLO_SUBMISSION_PREFIX` | where Mail Manager drops submissions in the data bucket: below it one folder per organisation id (`ingest`) | `ses/submission/` |
//! | `SIGILLO_SES_ORDINARY` | `true`: SES carries mail to ordinary recipients (`dispatch`; docs/divergences.md) | `false` |
//! | `SIGILLO_CLAMD` | ClamAV's daemon, `HOST:PORT` (`accept`, `receive`; docs/viruses.md) | the built-in scanner, which is no protection |
//! | `SIGILLO_DIRECTORY_URL` | where the signed provider index is (`directory`; docs/provider-index.md) | nothing is fetched |
//! | `SIGILLO_DIRECTORY_SECRET` | secret with the client certificate and its key | refused with a URL |
//! | `SIGILLO_REVOCATION` | `true`: revocation lists are asked (`receive`; docs/trust.md) | `false` |
//! | `SIGILLO_FUNCTION` | which function the multi-call binary is; else `_HANDLER`, which Lambda sets from `Handler` | |
//!
//! `AWS_REGION`, credentials and `AWS_ENDPOINT_URL` are read by the SDK. With an endpoint given, S3 is addressed by
//! path. `AWS_LAMBDA_LOG_FORMAT` and `AWS_LAMBDA_LOG_LEVEL`, which Lambda sets from `LoggingConfig`, form and filter the log
//! lines; `RUST_LOG` filters them where no level is set.

use std::collections::BTreeMap;

use machine::ClamdAddress;
use serde::{Deserialize, Serialize};
use stages::{jobs::QueueName, ports::Table};

/// The data bucket's folder for what operators put there.
pub const SETTINGS_PREFIX: &str = "settings/";

/// Everything that the environment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Names of the tables.
    pub tables: Tables,
    /// Names of the buckets.
    pub buckets: Buckets,
    /// Addresses of the queues.
    pub queues: BTreeMap<QueueName, String>,
    /// Signing keys.
    pub keys: Vec<SigningKey>,
    /// Key of the provider index in the data bucket.
    pub index_key: String,
    /// Key of the trust anchors in the data bucket.
    pub anchors_key: String,
    /// The provider's limits.
    pub limits: pec::check::Limits,
    /// Records of one batch that are worked at the same time.
    pub concurrency: usize,
    /// Where the receipt rule drops messages.
    pub incoming_prefix: String,
    /// Where Mail Manager drops submissions: below it, one folder for each organisation.
    pub submission_prefix: String,
    /// SES carries mail to ordinary recipients.
    pub ses_ordinary: bool,
    /// ClamAV's daemon.
    pub clamd: Option<ClamdAddress>,
    /// Revocation lists are asked.
    pub revocation: bool,
    /// Where the provider index is fetched.
    pub index_source: Option<IndexSource>,
    /// The authority whose timestamps the seals of the log get.
    pub timestamps_url: Option<String>,
}

/// Where the provider index is fetched, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexSource {
    /// HTTPS, or LDAPS for a test bed ([`directory::Form`]).
    pub url: String,
    /// Name or ARN of the secret with the client certificate.
    pub secret: String,
}

/// Names of the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    /// [`Table::Letters`]
    pub letters: String,
    /// [`Table::Mailboxes`]
    pub mailboxes: String,
    /// [`Table::Registry`]
    pub registry: String,
    /// The legal log.
    pub log: String,
}

impl Tables {
    /// The name of a table of rows.
    #[must_use]
    pub fn rows(&self, table: Table) -> &str {
        match table {
            Table::Letters => &self.letters,
            Table::Mailboxes => &self.mailboxes,
            Table::Registry => &self.registry,
        }
    }
}

/// Names of the buckets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buckets {
    /// All blobs outside of the vault.
    pub data: String,
    /// Under object lock.
    pub vault: String,
}

/// A signing key: which provider environment it signs for, the KMS key, and where its certificate chain lies in the
/// data bucket (PEM, the signer's certificate first).
///
/// In `SIGILLO_KMS_KEYS` each is a JSON object; they stand one after another, without anything but white space
/// between:
/// `{"environment":"Alfa","key":"arn:aws:kms:eu-south-1:111122223333:key/1234","chain":"settings/certificates/a.pem"}`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SigningKey {
    /// Id of the provider environment.
    pub environment: String,
    /// Id, ARN or alias of the KMS key (RSA, sign and verify).
    pub key: String,
    /// Key of the certificate chain in the data bucket.
    #[serde(rename = "chain")]
    pub chain_key: String,
}

/// Why the environment does not make sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A variable that must be there.
    #[error("read the environment: {0} is not set")]
    Missing(String),
    /// A variable with a value that is not understood.
    #[error("read the environment: {variable} is {found:?}, expected {expected}")]
    Value {
        /// Its name.
        variable: &'static str,
        /// Its value.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
}

impl Config {
    /// From the environment of this process.
    ///
    /// # Errors
    /// [`ConfigError`]
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::read(&|name| std::env::var(name).ok())
    }

    /// From variables by name. A variable that is empty counts as absent.
    ///
    /// # Errors
    /// [`ConfigError`]
    pub fn read(get: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let read = |name: &str| get(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
        let must = |name: &str| read(name).ok_or_else(|| ConfigError::Missing(name.to_owned()));
        let or = |name: &str, default: &str| read(name).unwrap_or_else(|| default.to_owned());
        let queue = |name: QueueName| {
            must(&format!("SIGILLO_QUEUE_{}_URL", name.name().to_ascii_uppercase())).map(|url| (name, url))
        };
        let limits = pec::check::Limits::default();
        Ok(Self {
            tables: Tables {
                letters: must("SIGILLO_TABLE_LETTERS")?,
                mailboxes: must("SIGILLO_TABLE_MAILBOXES")?,
                registry: must("SIGILLO_TABLE_REGISTRY")?,
                log: must("SIGILLO_TABLE_LOG")?,
            },
            buckets: Buckets { data: must("SIGILLO_BUCKET_DATA")?, vault: must("SIGILLO_BUCKET_VAULT")? },
            queues: QueueName::ALL.into_iter().map(queue).collect::<Result<_, _>>()?,
            keys: signing_keys(&or("SIGILLO_KMS_KEYS", ""))?,
            index_key: or("SIGILLO_INDEX_KEY", "settings/index.ldif"),
            anchors_key: or("SIGILLO_ANCHORS", "settings/anchors.pem"),
            limits: pec::check::Limits {
                recipients_max: number("SIGILLO_RECIPIENTS_MAX", read, limits.recipients_max)?,
                product_bytes_max: number("SIGILLO_PRODUCT_BYTES_MAX", read, limits.product_bytes_max)?,
                technical_bytes_max: number("SIGILLO_TECHNICAL_BYTES_MAX", read, limits.technical_bytes_max)?,
            },
            concurrency: number("SIGILLO_CONCURRENCY", read, 8)?.max(1),
            incoming_prefix: or("SIGILLO_INCOMING_PREFIX", "ses/incoming/"),
            submission_prefix: or("SIGILLO_SUBMISSION_PREFIX", "ses/submission/"),
            ses_ordinary: truth("SIGILLO_SES_ORDINARY", read)?,
            clamd: clamd("SIGILLO_CLAMD", read)?,
            revocation: truth("SIGILLO_REVOCATION", read)?,
            index_source: match read("SIGILLO_DIRECTORY_URL") {
                Some(url) => Some(IndexSource { url, secret: must("SIGILLO_DIRECTORY_SECRET")? }),
                None => None,
            },
            timestamps_url: read("SIGILLO_TIMESTAMPS_URL"),
        })
    }
}

fn number<N: std::str::FromStr>(
    variable: &'static str,
    read: impl Fn(&str) -> Option<String>,
    default: N,
) -> Result<N, ConfigError> {
    let Some(found) = read(variable) else { return Ok(default) };
    found.parse().map_err(|_| ConfigError::Value { variable, found, expected: "a whole number" })
}

fn truth(variable: &'static str, read: impl Fn(&str) -> Option<String>) -> Result<bool, ConfigError> {
    match read(variable).as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => {
            Err(ConfigError::Value { variable, found: other.to_owned(), expected: "true or false" })
        }
    }
}

fn clamd(
    variable: &'static str,
    read: impl Fn(&str) -> Option<String>,
) -> Result<Option<ClamdAddress>, ConfigError> {
    let Some(found) = read(variable) else { return Ok(None) };
    found.parse().map(Some).map_err(|_| ConfigError::Value { variable, found, expected: "HOST:PORT" })
}

fn signing_keys(text: &str) -> Result<Vec<SigningKey>, ConfigError> {
    let whole = |key: SigningKey| {
        let filled = [&key.environment, &key.key, &key.chain_key].iter().all(|text| !text.trim().is_empty());
        filled.then_some(key)
    };
    let keys = serde_json::Deserializer::from_str(text).into_iter::<SigningKey>();
    keys.map(|key| key.ok().and_then(whole)).collect::<Option<_>>().ok_or_else(|| ConfigError::Value {
        variable: "SIGILLO_KMS_KEYS",
        found: text.to_owned(),
        expected: "JSON objects with environment, key and chain",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the template must set at least.
    fn least() -> BTreeMap<String, String> {
        let mut all: BTreeMap<String, String> = [
            "TABLE_LETTERS",
            "TABLE_MAILBOXES",
            "TABLE_REGISTRY",
            "TABLE_LOG",
            "BUCKET_DATA",
            "BUCKET_VAULT",
        ]
        .map(|n| (format!("SIGILLO_{n}"), n.to_ascii_lowercase()))
        .into();
        for queue in QueueName::ALL {
            let name = queue.name().to_ascii_uppercase();
            all.insert(format!("SIGILLO_QUEUE_{name}_URL"), format!("https://sqs.example/1/{name}"));
        }
        all
    }

    fn config(with: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let mut all = least();
        all.extend(with.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        Config::read(&|name| all.get(name).cloned())
    }

    #[test]
    fn the_least_environment_gives_the_documented_defaults() {
        let config = config(&[]).unwrap();
        assert_eq!(config.tables.rows(Table::Mailboxes), "table_mailboxes");
        assert_eq!(config.queues[&QueueName::Seal], "https://sqs.example/1/SEAL");
        assert_eq!(config.limits, pec::check::Limits::default());
        assert_eq!((config.index_key.as_str(), config.concurrency), ("settings/index.ldif", 8));
        assert!(config.keys.is_empty());
        assert!(!config.ses_ordinary);
        assert_eq!(config.clamd, None);
    }

    #[test]
    fn every_variable_that_must_be_there_is_missed_by_name() {
        for name in least().into_keys() {
            assert_eq!(config(&[(&name, " ")]), Err(ConfigError::Missing(name)));
        }
    }

    #[test]
    fn keys_of_any_environment_are_read() {
        let arn = "arn:aws:kms:eu-south-1:111122223333:key/1234";
        let named = |environment: &str, key: &str| SigningKey {
            environment: environment.to_owned(),
            key: key.to_owned(),
            chain_key: "settings/a.pem".to_owned(),
        };
        let both = [named("Unità 2,Alfa | \"PEC\"", arn), named("Alfa", "alias/b")];
        let text = both.iter().map(|k| serde_json::to_string(k).unwrap()).collect::<Vec<_>>().join(" ");
        assert_eq!(config(&[("SIGILLO_KMS_KEYS", &format!(" {text}\n"))]).unwrap().keys, both);
        // As the template makes it without a certificate.
        assert!(config(&[("SIGILLO_KMS_KEYS", " ")]).unwrap().keys.is_empty());
        for wrong in [
            "main|key|chain",
            "[]",
            "{}",
            r#"{"environment":"a","key":"b"}"#,
            r#"{"environment":"a","key":" ","chain":"c"}"#,
            r#"{"environment":"a","key":"b","chain":"c","more":"d"}"#,
            r#"{"environment":"a","key":"b","chain":"c"},"#,
        ] {
            assert!(config(&[("SIGILLO_KMS_KEYS", wrong)]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn values_that_make_no_sense_are_refused() {
        for (name, value) in [
            ("SIGILLO_CONCURRENCY", "many"),
            ("SIGILLO_RECIPIENTS_MAX", "-1"),
            ("SIGILLO_SES_ORDINARY", "yes"),
            ("SIGILLO_CLAMD", "clamd.example"),
        ] {
            assert!(matches!(config(&[(name, value)]), Err(ConfigError::Value { .. })), "{name}");
        }
        assert_eq!(config(&[("SIGILLO_CONCURRENCY", "0")]).unwrap().concurrency, 1);
        let clamd = config(&[("SIGILLO_CLAMD", "clamd.internal:3310")]).unwrap().clamd;
        assert_eq!(clamd, Some(ClamdAddress::Tcp("clamd.internal:3310".to_owned())));
    }
}
