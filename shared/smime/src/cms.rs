//! SignedData (RFC 5652 §5) as slices of what came in, BER or DER.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5911;

use crate::ber::{self, Malformed, Reader, Tlv, tag};
use crate::verify::VerifyError;

/// Octets of a detached signature that are read at most.
pub const CMS_BYTES_MAX: usize = 1024 * 1024;
/// Octets of a SignedData with its content inside (the provider index, spec 9.4) that are read at most.
pub const ENCLOSED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Certificates inside one signature at most.
pub const CERTIFICATES_MAX: usize = 32;
/// Signers of one message at most.
pub const SIGNERS_MAX: usize = 8;
/// Attributes of one signer at most.
const ATTRIBUTES_MAX: usize = 64;

/// The fields of a SignedData that verification uses.
pub(crate) struct SignedData<'a> {
    pub(crate) content_type: ObjectIdentifier,
    /// The OCTET STRING eContent, if it is there.
    pub(crate) content: Option<Tlv<'a>>,
    /// Each certificate as received. Other formats (attribute certificates) are passed over.
    pub(crate) certificates: Vec<&'a [u8]>,
    pub(crate) signers: Vec<SignerInfo<'a>>,
}

/// Who signed, as the SignerInfo says.
pub(crate) enum SignerId<'a> {
    IssuerAndSerial { issuer: Tlv<'a>, serial: &'a [u8] },
    KeyId(Vec<u8>),
}

pub(crate) struct SignerInfo<'a> {
    pub(crate) id: SignerId<'a>,
    pub(crate) digest_oid: ObjectIdentifier,
    /// The `[0]` element, as received.
    pub(crate) signed_attributes: Option<Tlv<'a>>,
    pub(crate) signature_oid: ObjectIdentifier,
    pub(crate) signature: Vec<u8>,
}

/// One attribute: its type and its values.
pub(crate) struct Attribute<'a> {
    pub(crate) oid: ObjectIdentifier,
    pub(crate) values: Vec<Tlv<'a>>,
}

impl<'a> SignedData<'a> {
    pub(crate) fn parse(bytes: &'a [u8], bytes_max: usize) -> Result<Self, VerifyError> {
        if bytes.len() > bytes_max {
            return Err(VerifyError::TooLarge { found: bytes.len(), maximum: bytes_max });
        }
        let mut info = sequence(&ber::single(bytes, "ContentInfo")?, "ContentInfo")?;
        let content_type = oid(&mut info, "contentType")?;
        if content_type != rfc5911::ID_SIGNED_DATA {
            return Err(VerifyError::NotSignedData { found: content_type.to_string() });
        }
        let explicit = info.expect(tag::context_constructed(0), "content of ContentInfo")?;
        info.finish("end of ContentInfo")?;
        let signed_data = ber::single(explicit.content, "SignedData")?;
        Self::fields(sequence(&signed_data, "SignedData")?)
    }

    fn fields(mut fields: Reader<'a>) -> Result<Self, VerifyError> {
        fields.expect(tag::INTEGER, "version of SignedData")?;
        fields.expect(tag::SET, "digestAlgorithms")?;
        let encapsulated = fields.expect(tag::SEQUENCE, "encapContentInfo")?;
        let (content_type, content) = encapsulated_content(encapsulated.inside())?;
        let certificates = certificates(fields.optional(tag::context_constructed(0), "certificates")?)?;
        fields.optional(tag::context_constructed(1), "crls")?;
        let signers = signers(fields.expect(tag::SET, "signerInfos")?.inside())?;
        fields.finish("end of SignedData")?;
        Ok(Self { content_type, content, certificates, signers })
    }
}

impl<'a> SignerInfo<'a> {
    fn parse(info: &Tlv<'a>) -> Result<Self, Malformed> {
        let mut fields = sequence(info, "SignerInfo")?;
        fields.expect(tag::INTEGER, "version of SignerInfo")?;
        let id = signer_id(&mut fields)?;
        let digest_oid = algorithm(&mut fields, "digestAlgorithm")?;
        let signed_attributes = fields.optional(tag::context_constructed(0), "signedAttrs")?;
        let signature_oid = algorithm(&mut fields, "signatureAlgorithm")?;
        let signature = fields.string(tag::OCTET_STRING, "signature")?.octets()?.into_owned();
        fields.optional(tag::context_constructed(1), "unsignedAttrs")?;
        fields.finish("end of SignerInfo")?;
        Ok(Self { id, digest_oid, signed_attributes, signature_oid, signature })
    }
}

/// The attributes inside the `[0]` element.
pub(crate) fn attributes<'a>(set: &Tlv<'a>) -> Result<Vec<Attribute<'a>>, Malformed> {
    let mut attributes = Vec::new();
    let mut inside = set.inside();
    while !inside.is_empty() {
        let mut fields = inside.expect(tag::SEQUENCE, "signed attribute")?.inside();
        let oid = oid(&mut fields, "type of a signed attribute")?;
        let mut values_inside = fields.expect(tag::SET, "values of a signed attribute")?.inside();
        fields.finish("end of a signed attribute")?;
        let mut values = Vec::new();
        while !values_inside.is_empty() {
            values.push(values_inside.next("value of a signed attribute")?);
            if values.len() > ATTRIBUTES_MAX {
                return Err(Malformed("number of values of a signed attribute"));
            }
        }
        attributes.push(Attribute { oid, values });
        if attributes.len() > ATTRIBUTES_MAX {
            return Err(Malformed("number of signed attributes"));
        }
    }
    Ok(attributes)
}

pub(crate) fn sequence<'a>(tlv: &Tlv<'a>, what: &'static str) -> Result<Reader<'a>, Malformed> {
    if tlv.tag == tag::SEQUENCE { Ok(tlv.inside()) } else { Err(Malformed(what)) }
}

pub(crate) fn oid(fields: &mut Reader<'_>, what: &'static str) -> Result<ObjectIdentifier, Malformed> {
    let content = fields.expect(tag::OID, what)?.content;
    ObjectIdentifier::from_bytes(content).map_err(|_| Malformed(what))
}

/// The identifier of an AlgorithmIdentifier. Its parameters are absent or NULL in all that we accept.
pub(crate) fn algorithm(fields: &mut Reader<'_>, what: &'static str) -> Result<ObjectIdentifier, Malformed> {
    oid(&mut fields.expect(tag::SEQUENCE, what)?.inside(), what)
}

fn encapsulated_content(mut fields: Reader<'_>) -> Result<(ObjectIdentifier, Option<Tlv<'_>>), Malformed> {
    let content_type = oid(&mut fields, "eContentType")?;
    let content = match fields.optional(tag::context_constructed(0), "eContent")? {
        None => None,
        Some(explicit) => {
            let mut inside = explicit.inside();
            let string = inside.string(tag::OCTET_STRING, "eContent")?;
            inside.finish("end of eContent")?;
            Some(string)
        }
    };
    fields.finish("end of encapContentInfo")?;
    Ok((content_type, content))
}

fn certificates(set: Option<Tlv<'_>>) -> Result<Vec<&[u8]>, VerifyError> {
    let mut certificates = Vec::new();
    let mut choices = 0;
    let mut inside = set.as_ref().map_or(Reader::new(&[]), Tlv::inside);
    while !inside.is_empty() {
        let choice = inside.next("certificate")?;
        choices += 1;
        if choices > CERTIFICATES_MAX {
            return Err(VerifyError::TooManyCertificates { maximum: CERTIFICATES_MAX });
        }
        if choice.tag == tag::SEQUENCE {
            certificates.push(choice.whole);
        }
    }
    Ok(certificates)
}

fn signers(mut inside: Reader<'_>) -> Result<Vec<SignerInfo<'_>>, VerifyError> {
    let mut signers = Vec::new();
    while !inside.is_empty() {
        if signers.len() >= SIGNERS_MAX {
            return Err(VerifyError::TooManySigners { maximum: SIGNERS_MAX });
        }
        signers.push(SignerInfo::parse(&inside.next("SignerInfo")?)?);
    }
    if signers.is_empty() { Err(VerifyError::NoSigner) } else { Ok(signers) }
}

fn signer_id<'a>(fields: &mut Reader<'a>) -> Result<SignerId<'a>, Malformed> {
    const WHAT: &str = "signer identifier";
    if let Some(pair) = fields.optional(tag::SEQUENCE, WHAT)? {
        let mut inside = pair.inside();
        let issuer = inside.expect(tag::SEQUENCE, WHAT)?;
        let serial = inside.expect(tag::INTEGER, WHAT)?.content;
        inside.finish(WHAT)?;
        return Ok(SignerId::IssuerAndSerial { issuer, serial });
    }
    Ok(SignerId::KeyId(fields.string(tag::context(0), WHAT)?.octets()?.into_owned()))
}
