//! What stands in the key of a row is not in its body, and bodies of the previous release, where it was, are read.

use serde_json::json;

use super::*;
use crate::rim;

const AT: &str = "2026-03-02T08:00:00Z";

fn key(sk: &str) -> RowKey {
    RowKey { table: Table::Letters, pk: "destination#1#2".to_owned(), sk: sk.to_owned() }
}

#[test]
fn a_filing_of_the_previous_release_is_understood() {
    let key = key("file#b@beta.example");
    let body = json!({
        "partition": key.pk, "discriminator": "b@beta.example", "mailbox": "m-1", "source": "letters/1/envelope.eml",
        "name": "n",
        "summary": {
            "kind": "transport-envelope", "from": "f", "subject": "s", "message_id": "<1@alfa.example>",
            "pec_id": "1@alfa.example", "size_bytes": 7, "at": AT,
        },
        "certifies": {
            "head": key.pk, "recipient": "b@beta.example", "form_due": "complete", "environment": "Beta PEC",
        },
        "address": "b@beta.example",
        "about": {"pec_id": "1@alfa.example", "sender": "a@alfa.example"},
        "filed": null,
    });
    let row: FilingRow = rim::body(&key, &body.to_string()).unwrap();
    assert_eq!(row.key(), key);
    assert_eq!((row.about.sender.as_str(), &row.filed), ("a@alfa.example", &None));
    let written = serde_json::to_value(&row).unwrap();
    for repeated in ["partition", "discriminator", "filed"] {
        assert!(written.get(repeated).is_none(), "{written}");
    }
    assert_eq!(rim::body::<FilingRow>(&key, &written.to_string()).unwrap(), row);
}

#[test]
fn a_head_of_the_previous_release_is_understood() {
    let key = key("head");
    let body = json!({
        "partition": key.pk,
        "origin": {
            "record": "Alfa PEC", "provider_name": "Alfa PEC", "mail_receipt": "r@alfa.example",
            "certificate_sha256": "c",
        },
        "letter": {
            "sender": "a@alfa.example", "recipients": [], "replies": "a@alfa.example", "subject": null,
            "subject_raw": null, "pec_id": "1@alfa.example", "client_id": null,
        },
        "form": "complete", "envelope": "letters/1/envelope.eml", "envelope_sha256": "d", "received_at": AT,
        "spread": true,
    });
    let head: DestinationHead = rim::body(&key, &body.to_string()).unwrap();
    assert_eq!(head.key(), key);
    let written = serde_json::to_value(&head).unwrap();
    assert!(written.get("partition").is_none(), "{written}");
    assert_eq!(rim::body::<DestinationHead>(&key, &written.to_string()).unwrap(), head);
}
