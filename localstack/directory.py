"""The provider index on a deployment that seed.py made: the function `directory` fetches it from an HTTPS server of this
script, which asks for a client certificate.

    AWS_ENDPOINT_URL=http://127.0.0.1:4566 directory.py

A signed index comes into force, and not again on the same day; and the revocation list that a certificate in it names is
there. Then whatever must not come into force is served: a signature that does not hold, a signer whom nobody trusts, an
index of nobody, to whom shows no certificate; each is an error of the function, and the good copy stays. At last a test
bed: the index is read from a slapd over LDAPS. Every call must be one that the function's role allows.
"""

import contextlib
import datetime
import functools
import http.server
import json
import pathlib
import ssl
import tempfile
import threading

from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID

import demo
import least
import letter
import seed
from proxy import Proxies
from slapd import Slapd

SECRET, FILE, LIST = "sigillo/directory", "index.ldif.p7m", "ca.crl"
SETTINGS = "settings/directory/"
SIGNED, READ = f"{demo.INDEX}.p7m", f"{demo.INDEX}.ldap"
PEM = serialization.Encoding.PEM
# One more provider than the demo's index has.
OTHER = "Altro"


def main():
    aws, outputs = letter.deployment()
    stack = outputs["LettersTable"].removesuffix("-letters")
    bucket, asked = outputs["DataBucket"], set()
    before, anchors = (aws.s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in (demo.INDEX, demo.ANCHORS))
    authority, signers, nobody = (Authority(name) for name in ("Test server CA", "Test signer CA", "Nobody"))
    with contextlib.ExitStack() as ends:
        folder = pathlib.Path(ends.enter_context(tempfile.TemporaryDirectory()))
        server = ends.enter_context(Server(folder, authority))
        lists = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
        ends.callback(lists.shutdown)
        threading.Thread(target=lists.serve_forever, daemon=True).start()
        settle(aws, bucket, authority, signers)
        variables = {"SIGILLO_DIRECTORY_URL": server.url, "SIGILLO_DIRECTORY_SECRET": SECRET}
        proxies = ends.enter_context(Proxies(aws, stack, variables))
        proxies.listeners.append(lambda call: asked.update((call.function, *asks) for asks in least.actions(call)))
        fetch = functools.partial(invoke, aws, f"{stack}-directory")

        # 1. A good one, once a day.
        others = Authority("Altro CA")
        index = before + other(others, f"http://127.0.0.1:{lists.server_port}/{LIST}")
        (folder / LIST).write_bytes(others.list())
        demo.put(aws, bucket, demo.ANCHORS, anchors + others.certificate.public_bytes(PEM))
        serve = (folder / FILE).write_bytes
        signer = signers.certify("Index", ExtendedKeyUsageOID.EMAIL_PROTECTION)
        good = signed(index, signer)
        serve(good)
        forget(aws, bucket)
        try:
            seed.require(fetch() == {"fetched": True}, "a new index to be fetched")
            in_force(aws, bucket, index, good)
            octets = [aws.s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in lists_of(aws, bucket)]
            seed.require(octets == [others.list()], f"the revocation list that the index leads to: {octets}")
            seed.require(fetch() == {"fetched": False}, "nothing to be fetched twice on a day")

            # 2. What does not hold.
            at = good.index(OTHER.encode())
            stranger = nobody.certify("Index", ExtendedKeyUsageOID.EMAIL_PROTECTION)
            bad = {
                "octets that changed": good[:at] + b"Oltra" + good[at + 5 :],
                "a signer whom nobody trusts": signed(index, stranger),
                "an index of nobody": signed(b"version: 1\n", signer),
                "no signature": index,
            }
            for what, octets in bad.items():
                serve(octets)
                refused(aws, bucket, fetch, index, what)
            serve(good)
            tell(aws, nobody)
            refused(aws, bucket, fetch, index, "a client certificate of another authority")
            tell(aws, authority)
            seed.require(fetch() == {"fetched": True}, "the next tick to mend it")

            # 3. A test bed, which nobody signs.
            certificate, key = authority.certify("localhost", ExtendedKeyUsageOID.SERVER_AUTH)
            (folder / "slapd").mkdir()
            pem = [authority.certificate.public_bytes(PEM), certificate.public_bytes(PEM), private(key)]
            slapd = ends.enter_context(Slapd(folder / "slapd", index, *pem))
            proxies.vary("directory", {"SIGILLO_DIRECTORY_URL": slapd.url})
            tell(aws, nobody)
            seed.require(fetch() is None, "a directory to refuse the certificate of another authority")
            tell(aws, authority)
            seed.require(fetch() == {"fetched": True}, "the index of a directory")
            found = [aws.s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in (demo.INDEX, READ)]
            seed.require(found[0] == found[1] and found[0].count(b"\ndn: ") == 2, "both records, and a copy of what was read")
            seed.require(fetch() == {"fetched": False}, "nothing to be read twice on a day")
        finally:
            for key in [READ, *lists_of(aws, bucket)]:
                aws.s3.delete_object(Bucket=bucket, Key=key)
            demo.put(aws, bucket, demo.INDEX, before)
            demo.put(aws, bucket, demo.ANCHORS, anchors)
    calls = [call for call in asked if call[0] == "directory"]
    not_allowed = sorted(call for call in calls if not least.allowed(stack, *call))
    seed.require(calls and not not_allowed, f"calls that the role does not allow: {not_allowed}")
    print(f"a signed index came into force, and a revocation list; {len(bad) + 1} others did not; a directory was read; {len(calls)} kinds of calls, all allowed by the role")


# ------------------------------------------------------------------------------------------------ The function


def invoke(aws, function):
    answer = aws.client("lambda").invoke(FunctionName=function, Payload=b"{}")
    said = json.loads(answer["Payload"].read())
    return None if "FunctionError" in answer else said


def in_force(aws, bucket, index, octets):
    found = [aws.s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in (demo.INDEX, SIGNED)]
    seed.require(found == [index, octets], "the index in force, and the file that it was taken from")


def refused(aws, bucket, fetch, index, what):
    """With the signed file forgotten, lest the copy counts as fresh."""
    forget(aws, bucket)
    seed.require(fetch() is None, f"{what} to be an error")
    now = aws.s3.get_object(Bucket=bucket, Key=demo.INDEX)["Body"].read()
    seed.require(now == index, f"the good copy to stay after {what}")


def lists_of(aws, bucket):
    """The keys of the revocation lists that are kept."""
    return [o["Key"] for o in aws.s3.list_objects_v2(Bucket=bucket, Prefix="settings/crl/").get("Contents", [])]


def forget(aws, bucket):
    aws.s3.delete_object(Bucket=bucket, Key=SIGNED)


# ------------------------------------------------------------------------------------------------ What is served


class Authority:
    """A certification authority of this script."""

    def __init__(self, name):
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.name, self.published = name, None
        builder = demo.builder(name, name, self.key.public_key(), 2)
        basic = x509.BasicConstraints(ca=True, path_length=0)
        self.certificate = builder.add_extension(basic, critical=True).sign(self.key, hashes.SHA256())

    def list(self):
        """Its revocation list, on which nobody is; the same each time."""
        if self.published is None:
            begin = self.certificate.not_valid_before_utc
            builder = x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject)
            builder = builder.last_update(begin).next_update(begin + datetime.timedelta(days=2))
            self.published = builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
        return self.published

    def certify(self, name, usage, url=None):
        """A certificate and its key."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        builder = demo.builder(name, self.name, key.public_key(), 2)
        names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
        made = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False).add_extension(names, critical=False)
        if url:
            point = x509.DistributionPoint([x509.UniformResourceIdentifier(url)], None, None, None)
            made = made.add_extension(x509.CRLDistributionPoints([point]), critical=False)
        return made.sign(self.key, hashes.SHA256()), key


def private(key):
    return key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def signed(index, signer):
    """The LDIF inside a signature (RFC 6109 §4.5.6)."""
    certificate, key = signer
    builder = pkcs7.PKCS7SignatureBuilder().set_data(index).add_signer(certificate, key, hashes.SHA256())
    return builder.sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary])


def other(authority, url):
    """A record more, whose certificate names a revocation list."""
    certificate, _ = authority.certify(OTHER, ExtendedKeyUsageOID.EMAIL_PROTECTION, url)
    der = certificate.public_bytes(serialization.Encoding.DER)
    record = demo.index(der).decode().partition("dn: providerName")[2]
    record = record.replace(demo.PROVIDER, OTHER).replace("demo.example", "altro.example")
    return f"\ndn: providerName{record}".encode()


class Server:
    """Serves a folder over HTTPS to whoever shows a certificate of the authority."""

    def __init__(self, folder, authority):
        certificate, key = authority.certify("localhost", ExtendedKeyUsageOID.SERVER_AUTH)
        handler = functools.partial(Quiet, directory=folder)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        with tempfile.NamedTemporaryFile() as pem:
            pem.write(certificate.public_bytes(PEM) + private(key))
            pem.flush()
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pem.name)
        context.load_verify_locations(cadata=authority.certificate.public_bytes(PEM).decode())
        context.verify_mode = ssl.CERT_REQUIRED
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://localhost:{self.server.server_port}/{FILE}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def settle(aws, bucket, authority, signers):
    """Whom the function trusts, and as whom it asks."""
    for name, of in (("server-ca.pem", authority), ("signer-ca.pem", signers)):
        demo.put(aws, bucket, SETTINGS + name, of.certificate.public_bytes(PEM))
    tell(aws, authority)


def tell(aws, authority):
    certificate, key = authority.certify("client", ExtendedKeyUsageOID.CLIENT_AUTH)
    said = json.dumps({"certificate": certificate.public_bytes(PEM).decode(), "key": private(key).decode()})
    try:
        aws.secretsmanager.create_secret(Name=SECRET, SecretString=said)
    except ClientError:
        aws.secretsmanager.put_secret_value(SecretId=SECRET, SecretString=said)


if __name__ == "__main__":
    main()
