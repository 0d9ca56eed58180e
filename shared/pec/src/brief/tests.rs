use proptest::prelude::*;

use super::*;

fn brief_of(original: &str) -> String {
    let out = brief(&Bytes::copy_from_slice(original.as_bytes())).to_bytes();
    String::from_utf8(out.to_vec()).unwrap()
}

/// SHA-1 (RFC 3174) by a second hand.
fn sha1(message: &[u8]) -> String {
    let mut h: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    let mut padded = message.to_vec();
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(64) + if padded.len() % 64 > 56 { 64 } else { 0 }, 0);
    let end = padded.len() - 8;
    padded[end..].copy_from_slice(&(message.len() as u64 * 8).to_be_bytes());
    for block in padded.chunks(64) {
        let mut w: Vec<u32> = block.chunks(4).map(|c| u32::from_be_bytes(c.try_into().unwrap())).collect();
        for t in 16..80 {
            w.push((w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16]).rotate_left(1));
        }
        let [mut a, mut b, mut c, mut d, mut e] = h;
        for (t, word) in w.iter().enumerate() {
            let (f, k) = match t / 20 {
                0 => ((b & c) | (!b & d), 0x5a82_7999u32),
                1 => (b ^ c ^ d, 0x6ed9_eba1),
                2 => ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6),
            };
            let next = a.rotate_left(5).wrapping_add(f).wrapping_add(e).wrapping_add(*word).wrapping_add(k);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        }
        for (sum, add) in h.iter_mut().zip([a, b, c, d, e]) {
            *sum = sum.wrapping_add(add);
        }
    }
    h.iter().map(|word| format!("{word:08x}")).collect()
}

#[test]
fn the_second_hand_is_right() {
    assert_eq!(sha1(b"abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
    let text = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    assert_eq!(sha1(text.as_bytes()), "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
}

/// The part that takes the place of an attachment.
fn replacement(name: &str, disposition: &str, body: &str) -> String {
    format!(
        "Content-Type: text/plain; name={name}.hash\r\nContent-Transfer-Encoding: 7bit\r\n\
         Content-Disposition: {disposition}; filename={name}.hash\r\n\r\n{}",
        sha1(body.as_bytes())
    )
}

fn mixed(parts: &[&str]) -> String {
    multipart("multipart/mixed", "B", parts)
}

fn multipart(kind: &str, boundary: &str, parts: &[&str]) -> String {
    let mut out = format!("Content-Type: {kind}; boundary={boundary}\r\n\r\npreambolo\r\n");
    for part in parts {
        out.push_str(&format!("--{boundary}\r\n{part}\r\n"));
    }
    out + &format!("--{boundary}--\r\nepilogo\r\n")
}

const TEXT: &str = "Content-Type: text/plain\r\n\r\ncorpo";
const BODY: &str = "JVBERi0xLjQ=\r\nAAAA\r\n";

/// RFC 6109 §3.3.2.2, spec 6.4, 2 and 5; D21: over the octets as transported, without the delimiter's CRLF.
#[test]
fn named_parts_become_hashes() {
    let by_name = format!(
        "Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n{BODY}"
    );
    let by_filename = format!(
        "content-type: image/png\r\ncontent-disposition: inline;\r\n filename=\"b.png\"\r\n\r\n{BODY}"
    );
    let by_both = format!(
        "Content-Type: x/y; name=no.bin\r\nContent-Disposition: ATTACHMENT; filename=c.bin; size=9\r\n\r\n{BODY}"
    );
    let eight_bit = "Content-Type: text/plain; name=d.txt\r\nContent-Transfer-Encoding: 8bit\r\n\r\nsì";
    let expected = mixed(&[
        TEXT,
        &replacement("a.pdf", "attachment", BODY),
        &replacement("b.png", "inline", BODY),
        &replacement("c.bin", "attachment", BODY),
        &replacement("d.txt", "attachment", "sì"),
    ]);
    assert_eq!(brief_of(&mixed(&[TEXT, &by_name, &by_filename, &by_both, eight_bit])), expected);
}

#[test]
fn other_fields_of_an_attachment_stay() {
    let part =
        "Content-ID: <1@x>\r\nContent-Type: image/png; name=b.png\r\nX-Y: z\r\nContent-MD5: q\r\n\r\nAAAA";
    let expected = replacement("b.png", "attachment", "AAAA").replacen("\r\n\r\n", "\r\nX-Y: z\r\n\r\n", 1);
    assert_eq!(brief_of(&mixed(&[part])), mixed(&[&format!("Content-ID: <1@x>\r\n{expected}")]));
}

/// Spec 6.4, 3; D21: attached messages as a whole, those without a name numbered.
#[test]
fn attached_messages_become_one_hash() {
    let inner =
        multipart("multipart/mixed", "I", &["Content-Type: application/pdf; name=in.pdf\r\n\r\nAAAA"]);
    let nameless = format!("Content-Type: message/rfc822\r\n\r\n{inner}");
    let named = format!("Content-Type: message/rfc822; name=m.eml\r\n\r\n{inner}");
    let expected = mixed(&[
        &replacement("messaggio-1.eml", "attachment", &inner),
        &replacement("m.eml", "attachment", &inner),
        &replacement("messaggio-2.eml", "attachment", &inner),
    ]);
    assert_eq!(brief_of(&mixed(&[&nameless, &named, &nameless])), expected);
}

/// Spec 6.4, 7; D21: multiparts are walked, with a name or without; what has no name stays.
#[test]
fn multiparts_are_walked_and_nameless_parts_stay() {
    let part = "Content-Type: application/pdf; name=a.pdf\r\n\r\nAAAA";
    let hashed = replacement("a.pdf", "attachment", "AAAA");
    let html = "Content-Type: text/html\r\n\r\n<p>";
    let tree = |leaf: &str| {
        let inner = multipart("multipart/alternative; name=x", "C", &[TEXT, leaf]);
        mixed(&[&inner, html, "Content-Type: image/png\r\n\r\nAAAA"])
    };
    assert_eq!(brief_of(&tree(part)), tree(&hashed));
    for untouched in [TEXT, &mixed(&[TEXT, html]), "Content-Type: multipart/mixed; name=x\r\n\r\n--B\r\n", ""]
    {
        assert_eq!(brief_of(untouched), untouched);
    }
}

/// Spec 6.4, 6; D21: the parts inside the first part, never the second, S/MIME or PGP, at top level or below.
#[test]
fn signed_originals_keep_their_signature() {
    let part = "Content-Type: application/pdf; name=a.pdf\r\n\r\nAAAA";
    let hashed = replacement("a.pdf", "attachment", "AAAA");
    for kind in
        ["application/pkcs7-signature; name=smime.p7s", "application/pgp-signature; name=signature.asc"]
    {
        let signature =
            format!("Content-Type: {kind}\r\nContent-Disposition: attachment; filename=x\r\n\r\nMIAG");
        let signed = |leaf: &str| {
            let first = multipart("multipart/mixed", "C", &[TEXT, leaf]);
            multipart("multipart/signed; protocol=p", "S", &[&first, &signature])
        };
        assert_eq!(brief_of(&signed(part)), signed(&hashed), "{kind}");
        assert_eq!(brief_of(&mixed(&[&signed(part)])), mixed(&[&signed(&hashed)]), "{kind}");
        let alone = |leaf: &str| multipart("multipart/signed", "S", &[leaf, &signature]);
        assert_eq!(brief_of(&alone(part)), alone(&hashed), "{kind}");
    }
}

/// Spec 6.4, 6: one CMS object stays whole at top level; below it is an attachment like others.
#[test]
fn opaque_originals_stay_whole() {
    for kind in ["application/pkcs7-mime", "APPLICATION/x-PKCS7-mime"] {
        let opaque = format!("Content-Type: {kind}; name=smime.p7m\r\n\r\nMIAG");
        assert_eq!(brief_of(&opaque), opaque);
        assert_eq!(brief_of(&mixed(&[&opaque])), mixed(&[&replacement("smime.p7m", "attachment", "MIAG")]));
    }
}

#[test]
fn a_message_that_is_one_attachment_keeps_its_header() {
    let original =
        "From: a@b.example\r\nContent-Type: application/pdf; name=a.pdf\r\nSubject: s\r\n\r\nAAAA\r\n";
    let fields =
        replacement("a.pdf", "attachment", "AAAA\r\n").replacen("\r\n\r\n", "\r\nSubject: s\r\n\r\n", 1);
    assert_eq!(brief_of(original), format!("From: a@b.example\r\n{fields}"));
}

#[test]
fn names_outside_ascii_are_encoded() {
    let part = "Content-Type: application/pdf; name=\"=?UTF-8?Q?perch=C3=A9_no.pdf?=\"\r\n\r\nAAAA";
    let out = brief_of(&mixed(&[part]));
    assert!(out.is_ascii());
    let entity = Entity::parse(&Bytes::from(out), &Limits::default()).unwrap();
    assert_eq!(entity.children()[0].name().as_deref(), Some("perché no.pdf.hash"));
}

#[test]
fn a_parameter_without_value_is_a_name() {
    let out = brief_of(&mixed(&["Content-Type: x/y; name=\"\"\r\n\r\nAAAA"]));
    assert_eq!(out, mixed(&[&replacement("", "attachment", "AAAA")]));
}

#[test]
fn parts_without_body_or_blank_line_get_one() {
    let entity_of = |part: &str| {
        let out = Bytes::from(brief_of(&mixed(&[part])));
        Entity::parse(&out, &Limits::default()).unwrap().children()[0].clone()
    };
    for part in [
        "Content-Type: x/y; name=a",
        "Content-Type: x/y; name=a\r\n",
        "Content-Type: x/y; name=a\r\nX: y",
        "Content-Type: x/y; name=a\r\n\r\n",
    ] {
        assert_eq!(entity_of(part).body(), sha1(b"").as_bytes(), "{part:?}");
    }
    let digest = multipart("multipart/digest", "B", &["\r\nSubject: x\r\n\r\ny", ""]);
    let out = Bytes::from(brief_of(&digest));
    let digest = Entity::parse(&out, &Limits::default()).unwrap();
    assert_eq!(digest.children()[0].body(), sha1(b"Subject: x\r\n\r\ny").as_bytes());
    assert_eq!(digest.children()[1].body(), sha1(b"").as_bytes());
    assert_eq!(digest.children()[1].name().as_deref(), Some("messaggio-2.eml.hash"));
}

#[test]
fn what_cannot_be_walked_comes_back_whole_and_shared() {
    let mut deep = String::new();
    for level in 0..40 {
        deep.push_str(&format!("Content-Type: multipart/mixed; boundary=L{level}\r\n\r\n--L{level}\r\n"));
    }
    deep.push_str("Content-Type: x/y; name=a\r\n\r\nAAAA");
    assert_eq!(brief_of(&deep), deep);
}

#[test]
fn what_stays_is_shared() {
    let text = format!("Content-Type: text/plain\r\n\r\n{}", "x\r\n".repeat(1 << 18));
    let original = Bytes::from(mixed(&[&text, "Content-Type: x/y; name=a\r\n\r\nAAAA"]));
    let out = brief(&original);
    let copied: usize =
        out.chunks().filter(|c| !original.as_ptr_range().contains(&c.as_ptr())).map(Bytes::len).sum();
    assert!(copied < 400, "{copied} octets copied");
}

proptest! {
    #[test]
    fn any_bytes_pass_without_panic(raw in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = brief(&Bytes::from(raw));
    }

    /// Whatever is damaged, what comes out can be read and has as many parts.
    #[test]
    fn damage_keeps_the_structure(at in 0usize..500, byte in any::<u8>()) {
        let attached = "Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA";
        let message = mixed(&[TEXT, attached, &format!("Content-Type: message/rfc822\r\n\r\n{TEXT}")]);
        let mut message = message.into_bytes();
        let at = at % message.len();
        message[at] = byte;
        let message = Bytes::from(message);
        let parts = |bytes: &Bytes| Entity::parse(bytes, &Limits::default()).unwrap().walk().count();
        prop_assert_eq!(parts(&brief(&message).to_bytes()), parts(&message));
    }
}
