"""What a provider needs before its first letter, made for a demo: a test CA, the certificate of the signing key, a
provider index, an environment, a domain and two mailboxes. What is there already stays as it is.
"""

import base64
import datetime
import hashlib
import json
import os
import secrets

from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PROVIDER = "Sigillo"
MAIL_DOMAIN = "gestore.demo.example"
DOMAIN = "pec.demo.example"
ADDRESS = f"posta-certificata@{MAIL_DOMAIN}"
ORGANISATION = "demo"
# One mailbox for postmaster@ all domains of an environment (Mailbox::postmaster in shared/stages/src/registry.rs).
POSTMASTER = hashlib.sha256(f"postmaster\0{PROVIDER}".encode()).hexdigest()[:32]
ACCOUNTS = ["mittente", "destinatario"]

CHAIN = "settings/certificates/main.pem"
ANCHORS = "settings/anchors.pem"
INDEX = "settings/index.ldif"
ABOUT = "settings/demo.json"  # the last that is written


def settle(aws, outputs):
    bucket = outputs["DataBucket"]
    if is_there(aws, bucket):
        return
    public = aws.kms.get_public_key(KeyId=outputs["SigningKeyArn"])["PublicKey"]
    ca, certificate = certify(serialization.load_der_public_key(public))
    pem = serialization.Encoding.PEM
    der = certificate.public_bytes(serialization.Encoding.DER)
    passwords = {f"{name}@{DOMAIN}": secrets.token_urlsafe(15) for name in ACCOUNTS}
    put(aws, bucket, CHAIN, certificate.public_bytes(pem))
    put(aws, bucket, ANCHORS, ca.public_bytes(pem))
    put(aws, bucket, INDEX, index(der))
    for row in registry(passwords):
        insert(aws, outputs["RegistryTable"], *row)
    put(aws, bucket, ABOUT, json.dumps({"accounts": passwords}, indent=2).encode())


def is_there(aws, bucket):
    try:
        aws.s3.head_object(Bucket=bucket, Key=ABOUT)
        return True
    except ClientError:
        return False


def put(aws, bucket, key, body):
    aws.s3.put_object(Bucket=bucket, Key=key, Body=body)


# ------------------------------------------------------------------------------------------------ Certificates


def certify(public):
    """A test CA and its certificate for the signing key: the profile of RFC 6109 §5.5."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    usage = dict.fromkeys(
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign "
        "crl_sign encipher_only decipher_only".split(),
        False,
    )
    ca = (
        builder("Test CA", "Test CA", key.public_key(), 3652)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(**usage | {"key_cert_sign": True, "crl_sign": True}), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate = (
        builder(PROVIDER, "Test CA", public, 1096)
        .add_extension(x509.KeyUsage(**usage | {"digital_signature": True}), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.RFC822Name(ADDRESS)]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return ca, certificate


def builder(subject, issuer, public, days):
    def name(common):
        parts = [(NameOID.COUNTRY_NAME, "IT"), (NameOID.ORGANIZATION_NAME, PROVIDER), (NameOID.COMMON_NAME, common)]
        return x509.Name([x509.NameAttribute(oid, text) for oid, text in parts])

    begin = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)
    return (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=days))
    )


def index(der):
    """The provider index with one record (RFC 6109 §4.5)."""
    lines = [
        "version: 1",
        "",
        "dn: o=postacert",
        "objectClass: top",
        "objectClass: organization",
        "o: postacert",
        "",
        f"dn: providerName={PROVIDER},o=postacert",
        "objectClass: top",
        "objectClass: provider",
        f"providerName: {PROVIDER}",
        f"providerCertificateHash: {hashlib.sha1(der).hexdigest()}",
        f"providerCertificate;binary:: {base64.b64encode(der).decode()}",
        f"mailReceipt: {ADDRESS}",
        *[f"managedDomains: {domain}" for domain in (MAIL_DOMAIN, DOMAIN)],
    ]
    return ("\n".join(lines) + "\n").encode()


# ------------------------------------------------------------------------------------------------ Registry


def registry(passwords):
    """Rows of the registry (registry.rs, domains.rs and accounts/password.rs in shared/stages/src): pk, sk, body."""
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    environment = {
        "id": PROVIDER,
        "provider_name": PROVIDER,
        "address": ADDRESS,
        "mail_receipt": ADDRESS,
        "mail_domain": MAIL_DOMAIN,
    }
    yield f"environment#{PROVIDER}", "environment", environment
    for name in (MAIL_DOMAIN, DOMAIN):
        domain = {"name": name, "environment": PROVIDER, "organisation": ORGANISATION}
        yield f"domain#{name}", "domain", domain
        yield f"address#postmaster@{name}", "mailbox", mailbox(POSTMASTER, f"postmaster@{name}", takes_ordinary=True)
    for address, password in passwords.items():
        identifier = secrets.token_hex(16)
        yield f"address#{address}", "mailbox", mailbox(identifier, address, takes_ordinary=False)
        local, name = address.split("@")
        yield f"domain#{name}", f"mailbox#{local}", {"address": address, "mailbox": identifier}
        credentials = {"mailbox": identifier, "password_hash": hashed(password), "changed": now}
        yield f"account#{identifier}", "credentials", credentials


def mailbox(identifier, address, takes_ordinary):
    return {
        "id": identifier,
        "address": address,
        "organisation": ORGANISATION,
        "state": "active",
        "quota_bytes": 2 << 30,
        "receipts_in_inbox": True,
        "takes_ordinary": takes_ordinary,
    }


def hashed(password):
    argon2 = Argon2id(salt=os.urandom(16), length=32, iterations=2, lanes=1, memory_cost=19456)
    return argon2.derive_phc_encoded(password.encode())


def insert(aws, table, pk, sk, body):
    item = {"pk": {"S": pk}, "sk": {"S": sk}, "version": {"N": "1"}, "body": {"M": {k: typed(v) for k, v in body.items()}}}
    try:
        aws.dynamodb.put_item(TableName=table, Item=item, ConditionExpression="attribute_not_exists(pk)")
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise


def typed(value):
    if isinstance(value, bool):
        return {"BOOL": value}
    return {"N": str(value)} if isinstance(value, int) else {"S": value}
