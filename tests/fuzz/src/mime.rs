//! Splitting messages.

use bytes::Bytes;
use mime::{Entity, Limits};

/// Any octets are a message or an error; parts lie inside of what they are parts of.
pub(crate) fn entity(octets: &[u8]) {
    if let Ok(entity) = Entity::parse(&Bytes::copy_from_slice(octets), &Limits::default()) {
        look_into(&entity);
    }
}

fn look_into(entity: &Entity) {
    let body = entity.body_range();
    assert!(entity.raw_range().start <= body.start && body.end <= entity.raw_range().end);
    assert_eq!(entity.body().len(), body.len());
    // Whether it can be decoded is its own affair.
    let _ = entity.decoded_body();
    for part in entity.children() {
        let part_range = part.raw_range();
        assert!(body.start <= part_range.start && part_range.end <= body.end, "{part_range:?} in {body:?}");
        look_into(part);
    }
}
