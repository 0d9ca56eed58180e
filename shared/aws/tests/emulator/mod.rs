//! The emulator that these tests run against: the one that `SIGILLO_AWS_ENDPOINT` names, else one of our own, which
//! ends with the test program.
#![allow(dead_code, reason = "each test program uses its part")]
#![allow(clippy::expect_used, reason = "a part of tests: a panic is how a test fails")]

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use aws::{
    Clients,
    config::{Buckets, Tables},
};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use aws_sdk_s3::types::CreateBucketConfiguration;

/// Where `cargo xtask test` puts the emulator.
const VENV: &str = "target/localstack/venv";

const REGION: &str = "eu-south-1";

/// The emulator with what it lacks; it ends, with all that it started, when its standard input does: when the test
/// program is gone, however it went.
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/emulator/emulator.py");

/// The emulator's address.
pub fn endpoint() -> &'static str {
    static EMULATOR: OnceLock<(String, Option<Child>)> = OnceLock::new();
    let start = || match std::env::var("SIGILLO_AWS_ENDPOINT") {
        Ok(endpoint) => (endpoint, None),
        Err(_) => start(),
    };
    &EMULATOR.get_or_init(start).0
}

/// Starts one. Its standard input stays open until this process ends.
fn start() -> (String, Option<Child>) {
    let venv = root().join(VENV);
    let python = venv.join("bin/python");
    assert!(
        python.exists(),
        "these tests need an emulator of AWS: set SIGILLO_AWS_ENDPOINT, or run `cargo xtask test`, which \
         installs one in {VENV}"
    );
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    let endpoint = format!("http://127.0.0.1:{port}");
    let log = std::fs::File::create(std::env::temp_dir().join(format!("sigillo-emulator-{port}.log")))
        .expect("a log");
    let keeper = Command::new(python)
        .args([PROGRAM, "--keep"])
        .env("BIND_HOST", "127.0.0.1")
        .env("GATEWAY_PORT", port.to_string())
        .env("AWS_ENDPOINT_URL", &endpoint)
        .env("LAMBDA_EXECUTOR", "local")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("python starts");
    wait_until_healthy(port);
    (endpoint, Some(keeper))
}

fn wait_until_healthy(port: u16) {
    let begin = Instant::now();
    while !is_healthy(port) {
        assert!(begin.elapsed() < Duration::from_secs(60), "the emulator does not come up");
        std::thread::sleep(Duration::from_millis(50)); // waits for another program, no test depends on how long
    }
}

fn is_healthy(port: u16) -> bool {
    let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", port)) else { return false };
    let request = "GET /_ministack/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut line = String::new();
    stream.write_all(request.as_bytes()).is_ok()
        && BufReader::new(stream).read_line(&mut line).is_ok()
        && line.contains(" 200 ")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What clients of the emulator are made from.
pub fn shared() -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(endpoint())
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "test", "test", None, None, "test",
        )))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build()
}

/// Clients of the emulator.
pub fn clients() -> Clients {
    Clients::new(&shared())
}

/// A name that no other test has.
pub fn unique(what: &str) -> String {
    use stages::ports::Ids;
    format!("{what}-{:016x}", machine::RandomIds::new().fresh() >> 64)
}

/// Empty tables of this test's own.
pub async fn tables(clients: &Clients) -> Tables {
    let name = |what: &str| unique(&format!("test-{what}"));
    let tables = Tables {
        letters: name("letters"),
        mailboxes: name("mailboxes"),
        registry: name("registry"),
        log: name("log"),
    };
    aws::facts::schema::create(&clients.dynamodb, &tables).await.expect("tables are made");
    tables
}

/// Empty buckets of this test's own.
pub async fn buckets(clients: &Clients) -> Buckets {
    let buckets = Buckets { data: unique("test-data"), vault: unique("test-vault") };
    for bucket in [&buckets.data, &buckets.vault] {
        let region = CreateBucketConfiguration::builder().location_constraint(REGION.into()).build();
        let request = clients.s3.create_bucket().bucket(bucket).create_bucket_configuration(region);
        request.send().await.expect("a bucket is made");
    }
    buckets
}
