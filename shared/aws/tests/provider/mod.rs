//! A provider on the emulator: tables, buckets, queues, a key in KMS with its certificate, settings, registry.
#![allow(dead_code, reason = "each test program uses its part")]
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a part of tests: a panic is how a test fails")]

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws::{
    Clients, Config,
    config::SigningKey,
    function::{Function, Name, Parts},
    signer::KeyChain,
};
use aws_lambda_events::sqs::SqsEvent;
use aws_sdk_kms::types::{KeySpec, KeyUsageType};
use aws_sdk_sqs::types::{MessageSystemAttributeName, QueueAttributeName};
use lambda_runtime::Context;
use machine::NoCarrier;
use pec::{
    Index,
    index::{IndexCertificate, Record},
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SerialNumber, date_time_ymd,
};
use serde_json::{Value, json};
use sigillo_tests::world::{ALFA, ScannerKind, TestScanner};
use smime::Certificate;
use stages::{
    Rim,
    jobs::QueueName,
    ports::{Commit, Committed, Write},
};

use crate::emulator;

/// A test authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate in PEM.
    pub pem: String,
}

impl Authority {
    /// A new one.
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "Autorità di prova");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        (params.not_before, params.not_after) = (date_time_ymd(2025, 1, 1), date_time_ymd(2090, 1, 1));
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// The certificate that a request asks for, in PEM, valid from the first of a month.
    pub fn certify(&self, request: &str, serial: u64, from: (i32, u8)) -> String {
        let mut request =
            CertificateSigningRequestParams::from_pem(request).expect("a request that verifies");
        request.params.serial_number = Some(SerialNumber::from(serial));
        request.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection];
        (request.params.not_before, request.params.not_after) =
            (date_time_ymd(from.0, from.1, 1), date_time_ymd(2089, 1, 1));
        request.signed_by(&self.issuer).expect("a certificate").pem()
    }
}

/// A new RSA key in KMS: its id.
pub async fn kms_key(clients: &Clients) -> String {
    let request = clients.kms.create_key().key_spec(KeySpec::Rsa2048).key_usage(KeyUsageType::SignVerify);
    request.send().await.expect("a key is made").key_metadata.expect("its metadata").key_id
}

/// A key in KMS that the authority has certified for Alfa.
pub async fn certified_key(
    clients: &Clients,
    authority: &Authority,
    serial: u64,
    from: (i32, u8),
) -> KeyChain {
    let key = kms_key(clients).await;
    let subject = "CN=Posta Certificata,O=Alfa,C=IT";
    let request = aws::csr::request(&clients.kms, &key, subject, &ALFA.certified()).await.expect("a request");
    let chain = authority.certify(&request, serial, from).into_bytes();
    let chain_key = format!("settings/certificates/alfa-{serial}.pem");
    KeyChain { key: SigningKey { environment: ALFA.record.to_owned(), key, chain_key }, chain }
}

/// The provider index with Alfa alone.
pub fn index(chain: &[u8]) -> Index {
    let certificate = Certificate::from_pem(chain).expect("a chain").remove(0);
    Index::new(vec![Record {
        id: ALFA.record.to_owned(),
        provider_name: ALFA.name.to_owned(),
        provider_unit: None,
        mail_receipt: ALFA.mail_receipt(),
        managed_domains: vec![ALFA.domain.to_owned(), ALFA.mail_domain.to_owned()],
        certificates: vec![IndexCertificate::new(certificate.der().to_vec())],
        ldif_location: None,
    }])
}

/// The provider Alfa on AWS, its functions in this process.
pub struct Alfa {
    /// Clients of the emulator.
    pub clients: Clients,
    /// What the functions' environment says.
    pub config: Config,
    /// The function that stands for all stages.
    pub function: Function,
}

impl Alfa {
    /// A fresh one.
    pub async fn new() -> Self {
        let clients = emulator::clients();
        let (tables, buckets) = (emulator::tables(&clients).await, emulator::buckets(&clients).await);

        // 1. What an operator puts into the data bucket.
        let authority = Authority::new();
        let KeyChain { key, chain } = certified_key(&clients, &authority, 1, (2026, 1)).await;
        for (name, body) in [
            (key.chain_key.as_str(), chain.clone()),
            ("settings/anchors.pem", authority.pem.clone().into_bytes()),
            ("settings/index.ldif", index(&chain).to_ldif().into_bytes()),
        ] {
            put(&clients, &buckets.data, name, body).await;
        }

        // 2. What the template sets.
        let mut variables = BTreeMap::from([
            ("SIGILLO_TABLE_LETTERS".to_owned(), tables.letters.clone()),
            ("SIGILLO_TABLE_MAILBOXES".to_owned(), tables.mailboxes.clone()),
            ("SIGILLO_TABLE_REGISTRY".to_owned(), tables.registry.clone()),
            ("SIGILLO_TABLE_LOG".to_owned(), tables.log.clone()),
            ("SIGILLO_BUCKET_DATA".to_owned(), buckets.data.clone()),
            ("SIGILLO_BUCKET_VAULT".to_owned(), buckets.vault.clone()),
            ("SIGILLO_KMS_KEYS".to_owned(), serde_json::to_string(&key).expect("JSON")),
        ]);
        for name in QueueName::ALL {
            let variable = format!("SIGILLO_QUEUE_{}_URL", name.name().to_ascii_uppercase());
            variables.insert(variable, queue(&clients, name).await);
        }
        let config = Config::read(&|name| variables.get(name).cloned()).expect("an environment");

        // 3. The function, its key checked, and the registry.
        let function = open(Name::Certify, &config, &clients).await;
        let rows = ALFA.registry().into_iter().map(Write::Insert).collect();
        let commit = Commit { writes: rows, entries: Vec::new() };
        assert_eq!(function.rim().facts.commit(commit).await.expect("the store answers"), Committed::Now);
        Self { clients, config, function }
    }

    /// All ports together.
    pub fn rim(&self) -> &Rim {
        self.function.rim()
    }

    /// Stores a message as SES would.
    pub async fn drop(&self, key: &str, message: impl Into<Vec<u8>>) {
        put(&self.clients, &self.config.buckets.data, key, message.into()).await;
    }

    /// The notification of S3 about a stored object.
    pub fn stored(&self, key: &str) -> String {
        let s3 = json!({ "bucket": { "name": self.config.buckets.data }, "object": { "key": key } });
        json!({ "Records": [{ "eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": s3 }] })
            .to_string()
    }

    /// The notification of SES about a message that a receipt rule stored.
    pub fn arrived(&self, key: &str, source: &str, recipients: &[&str]) -> String {
        let action = json!({ "type": "S3", "bucketName": self.config.buckets.data, "objectKey": key });
        let receipt =
            json!({ "recipients": recipients, "virusVerdict": { "status": "PASS" }, "action": action });
        let message =
            json!({ "notificationType": "Received", "receipt": receipt, "mail": { "source": source } });
        json!({ "Type": "Notification", "Message": message.to_string() }).to_string()
    }

    /// Hands events to `ingest`, each as a queue message; answers the numbers of those that failed.
    pub async fn ingest(&self, bodies: &[String]) -> Vec<usize> {
        let ingest = open(Name::Ingest, &self.config, &self.clients).await;
        let messages =
            bodies.iter().enumerate().map(|(n, body)| json!({ "messageId": n.to_string(), "body": body }));
        let response = ingest.events(event(messages.collect()), &context()).await;
        response.batch_item_failures.iter().map(|f| f.item_identifier.parse().expect("a number")).collect()
    }

    /// Works all queues until they are empty, as Lambda's event source mappings would.
    pub async fn settle(&self) {
        while self.round().await > 0 {}
    }

    async fn round(&self) -> usize {
        let mut worked = 0;
        for url in self.config.queues.values() {
            let request = self
                .clients
                .sqs
                .receive_message()
                .queue_url(url)
                .max_number_of_messages(10)
                .message_system_attribute_names(MessageSystemAttributeName::All);
            let messages = request.send().await.expect("the queue answers").messages.unwrap_or_default();
            if messages.is_empty() {
                continue;
            }
            worked += messages.len();
            let records = messages.iter().map(|m| {
                let attributes: HashMap<&str, &String> =
                    m.attributes.iter().flatten().map(|(k, v)| (k.as_str(), v)).collect();
                json!({ "messageId": m.message_id, "body": m.body, "attributes": attributes })
            });
            let response = self.function.jobs(event(records.collect()), &context()).await;
            assert!(response.batch_item_failures.is_empty(), "{url}: {:?}", response.batch_item_failures);
            for message in messages {
                let delete = self.clients.sqs.delete_message().queue_url(url);
                let delete = delete.receipt_handle(message.receipt_handle.expect("a handle"));
                delete.send().await.expect("the queue answers");
            }
        }
        worked
    }

    /// Every object in the vault with the lines in it.
    pub async fn vault(&self) -> BTreeMap<String, Vec<Value>> {
        let blobs = &self.rim().blobs;
        let mut all = BTreeMap::new();
        for key in blobs.list("vault/", None, 1000).await.expect("the store answers") {
            let body = blobs.get(&key).await.expect("the store answers").expect("the blob");
            let lines = serde_json::Deserializer::from_slice(&body).into_iter();
            all.insert(key.as_str().to_owned(), lines.collect::<Result<_, _>>().expect("JSON"));
        }
        all
    }
}

/// A function of this provider.
pub async fn open(name: Name, config: &Config, clients: &Clients) -> Function {
    let scanner = Arc::new(TestScanner(ScannerKind::Eicar));
    let parts = Parts { scanner, carrier: Arc::new(NoCarrier::default()) };
    Function::open(name, config.clone(), clients.clone(), parts).await.expect("it starts")
}

/// Puts an object, whatever was there.
pub async fn put(clients: &Clients, bucket: &str, key: &str, body: Vec<u8>) {
    let request = clients.s3.put_object().bucket(bucket).key(key).body(body.into());
    request.send().await.expect("the object is stored");
}

async fn queue(clients: &Clients, name: QueueName) -> String {
    let unique = emulator::unique(name.name());
    let request = match name {
        QueueName::Deliver => clients
            .sqs
            .create_queue()
            .queue_name(format!("{unique}.fifo"))
            .attributes(QueueAttributeName::FifoQueue, "true"),
        _ => clients.sqs.create_queue().queue_name(unique),
    };
    request.send().await.expect("a queue is made").queue_url.expect("its address")
}

fn event(records: Vec<Value>) -> SqsEvent {
    serde_json::from_value(json!({ "Records": records })).expect("an event")
}

/// An invocation with a minute of time.
fn context() -> Context {
    let end = SystemTime::now() + Duration::from_secs(60);
    let mut context = Context::default();
    context.deadline = end.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_millis() as u64;
    context
}
