//! The clock of a provider beside a time server of the test's own (RFC 5905).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::{
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use common::{Provider, code, stdout, until};
use serde_json::Value;

/// Answers on 127.0.0.1 with a clock that is ahead by so many seconds; ends with the test.
fn time_server(ahead_s: Arc<AtomicI64>) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let mut question = [0; 100];
        while let Ok((len, peer)) = socket.recv_from(&mut question) {
            assert_eq!((len, question[0]), (48, 0x23), "a question of version 4, mode 3");
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            let seconds = now.as_secs().wrapping_add_signed(ahead_s.load(Ordering::SeqCst)) + 2_208_988_800;
            let now = (seconds << 32) | ((u64::from(now.subsec_nanos()) << 32) / 1_000_000_000);
            let mut answer = [0; 48];
            (answer[0], answer[1]) = (0x24, 1);
            answer[24..32].copy_from_slice(&question[40..48]);
            answer[32..40].copy_from_slice(&now.to_be_bytes());
            answer[40..48].copy_from_slice(&now.to_be_bytes());
            socket.send_to(&answer, peer).unwrap();
        }
    });
    address
}

/// What was measured since the last look.
fn measured(provider: &Provider, seen: &Value) -> (i32, Value) {
    until("a measurement", || {
        let output = provider.sigillo(&["clock", "--json"]);
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        let is_new = !said["last"].is_null() && said["last"]["offset_ms"] != *seen;
        is_new.then(|| (code(&output), said))
    })
}

#[test]
fn a_clock_that_is_off_is_told_and_told_when_it_is_right_again() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let ahead_s = Arc::new(AtomicI64::new(5));
    let server = time_server(Arc::clone(&ahead_s));

    // Five seconds behind UTC.
    let provider = Provider::start_with(&data, &["--time-server", &server]);
    let (code_off, said) = measured(&provider, &Value::Null);
    let offset_ms = said["last"]["offset_ms"].as_i64().unwrap();
    assert!((4000..6000).contains(&offset_ms), "{said}");
    assert_eq!((code_off, &said["last"]["is_off"]), (1, &true.into()));
    assert_eq!(said["history"][0]["event"], "clock-off", "{said}");
    provider.stop();

    // Somebody has set it; the next start compares it again.
    ahead_s.store(0, Ordering::SeqCst);
    let provider = Provider::start_with(&data, &["--time-server", &server]);
    let (code_right, said) = measured(&provider, &offset_ms.into());
    assert_eq!((code_right, &said["last"]["is_off"]), (0, &false.into()), "{said}");
    let events: Vec<_> = said["history"].as_array().unwrap().iter().map(|e| e["event"].clone()).collect();
    assert_eq!(events, ["clock-off", "clock-right"], "{said}");
    provider.stop();

    // Nobody is asked: what was measured stays to be seen, also without a provider.
    let output = common::sigillo(&["clock", "--data", data.to_str().unwrap()]);
    assert_eq!(code(&output), 0);
    assert!(stdout(&output).starts_with("clock     right since "), "{}", stdout(&output));
}
