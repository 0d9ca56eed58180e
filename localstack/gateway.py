"""The gateway on a deployment that seed.py made: `sigillo gateway` runs as its container would, with the environment of a
function, and mail programs use its doors.

    AWS_ENDPOINT_URL=http://127.0.0.1:4566 gateway.py SIGILLO

SIGILLO is the program, built with its feature aws. A letter goes by SMTPS to a mailbox of the provider and to ordinary
mail of another system, which is a server of this script that dnsmasq's MX record names; what comes of it is read by
IMAPS and POP3S. Between the gateway and the emulator stands a proxy, and every call must be one that its role allows.
"""

import contextlib
import datetime
import email
import imaplib
import json
import os
import pathlib
import poplib
import signal
import smtplib
import socket
import socketserver
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import demo
import least
import letter
import operators
import seed
from proxy import Proxies

SENDER, RECIPIENT = (f"{name}@{demo.DOMAIN}" for name in demo.ACCOUNTS)
ORDINARY = "qualcuno@ordinary.example"
SECRET = "sigillo/doors"
DOORS = ["https", "smtps", "submission", "smtp", "imaps", "pop3s"]
STOP_S_MAX = 30


def main():
    program = pathlib.Path(sys.argv[1]).resolve()
    aws, outputs = letter.deployment()
    stack = outputs["LettersTable"].removesuffix("-letters")
    passwords = json.loads(aws.s3.get_object(Bucket=outputs["DataBucket"], Key=demo.ABOUT)["Body"].read())["accounts"]
    asked, proxies = set(), Proxies(aws, stack)
    proxies.listeners.append(lambda call: asked.update((call.function, *asks) for asks in least.actions(call)))
    with contextlib.ExitStack() as ends:
        ends.enter_context(alone(aws, stack))
        scratch = pathlib.Path(ends.enter_context(tempfile.TemporaryDirectory()))
        trusted = certificate(aws)
        other = ends.enter_context(Other())
        gateway = Gateway(program, aws, stack, proxies.serve("gateway").server_port, other, scratch)
        with gateway.runs():
            refused(gateway, trusted, passwords)
            before = len(receipts(gateway, trusted, passwords[SENDER]))
            sent = submit(gateway, trusted, passwords[SENDER])
            read(gateway, trusted, passwords, before)
            published(gateway, trusted)
        letter.until(lambda: other.got, lambda: "nothing at the other system")
        handed_over(other, sent)
        # Another one goes on where this one ended.
        with gateway.runs():
            seed.require(len(receipts(gateway, trusted, passwords[SENDER])) == before + 2, "the same receipts again")
    letter.until(lambda: letter.rests(aws, outputs), lambda: "a queue that is not empty")
    calls = {action for _, action, _ in asked}
    not_allowed = sorted(call for call in asked if not least.allowed(stack, *call))
    seed.require(not not_allowed, f"calls that the role does not allow: {not_allowed}")
    print(f"a letter went in and out by the gateway's doors; {len(calls)} kinds of calls, all allowed by its role")


@contextlib.contextmanager
def alone(aws, stack):
    """The function dispatch is not fed, as with the parameter Gateway."""
    functions = aws.client("lambda")
    (mapping,) = seed.mappings(aws, f"{stack}-dispatch")
    functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    try:
        yield
    finally:
        functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)


def certificate(aws):
    """The doors' certificate into Secrets Manager; gives what trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    begin = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM).decode()
    form = serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
    said = json.dumps({"certificate": pem, "key": secret})
    try:
        aws.secretsmanager.create_secret(Name=SECRET, SecretString=said)
    except aws.secretsmanager.exceptions.ResourceExistsException:
        aws.secretsmanager.put_secret_value(SecretId=SECRET, SecretString=said)
    return ssl.create_default_context(cadata=pem)


# ------------------------------------------------------------------------------------------------ What is run


class Gateway:
    """The program, and where its doors are."""

    def __init__(self, program, aws, stack, proxy, other, scratch):
        said = aws.client("lambda").get_function_configuration(FunctionName=f"{stack}-dispatch")
        endpoints = {f"AWS_ENDPOINT_URL_{service}": f"http://127.0.0.1:{proxy}" for service in ("DYNAMODB", "S3", "SQS")}
        self.environment = operators.environment(aws) | said["Environment"]["Variables"] | endpoints
        self.environment |= {"AWS_ENDPOINT_URL": aws.endpoint, "AWS_REGION": aws.session.region_name}
        self.ports = dict(zip(DOORS, free_ports(len(DOORS))))
        self.log = scratch / "gateway.log"
        self.command = [program, "gateway", "--environment", demo.PROVIDER, "--host", "localhost"]
        self.command += ["--listen", "127.0.0.1", "--tls-secret", SECRET, "--scratch", scratch]
        self.command += ["--dns", f"127.0.0.1:{other.dns}", "--smtp-out-port", str(other.port)]
        for name, port in self.ports.items():
            self.command += ["--door", f"{name}=127.0.0.1:{port}"]

    @contextlib.contextmanager
    def runs(self):
        with self.log.open("ab") as log:
            child = subprocess.Popen(self.command, env=self.environment, stderr=log, stdout=log)
        try:
            letter.until(lambda: self.answers() or child.poll() is not None, self.said)
            seed.require(child.poll() is None, f"a gateway that runs: {self.said()}")
            yield
            child.send_signal(signal.SIGTERM)
            seed.require(child.wait(STOP_S_MAX) == 0, f"an end without an error: {self.said()}")
        finally:
            child.kill()
            child.wait()

    def answers(self):
        """The last door that opens."""
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.ports["https"]), 1).close()
            return True
        return False

    def said(self):
        return self.log.read_text(errors="replace")[-3000:]


class Other(socketserver.ThreadingTCPServer):
    """Another system's incoming point, without TLS, and the DNS that leads to it."""

    daemon_threads, allow_reuse_address = True, True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Incoming)
        self.got, self.port, (self.dns,) = [], self.server_address[1], free_ports(1)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        domain = ORDINARY.partition("@")[2]
        records = [f"--mx-host={domain},mx.{domain},10", f"--address=/mx.{domain}/127.0.0.1"]
        plain = ["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file"]
        here = ["--listen-address=127.0.0.1", "--bind-interfaces", f"--port={self.dns}"]
        self.names = subprocess.Popen(["dnsmasq", *plain, *here, *records])

    def __exit__(self, *_):
        self.names.terminate()
        self.names.wait()
        self.shutdown()
        self.server_close()


class Incoming(socketserver.StreamRequestHandler):
    """RFC 5321, as little of it as takes one message."""

    def handle(self):
        envelope = []
        self.say("220 other ESMTP")
        while line := self.rfile.readline().decode().strip():
            verb = line[:4].upper()
            if verb == "DATA":
                self.say("354 go on")
                lines = iter(self.rfile.readline, b".\r\n")
                octets = b"".join(line.removeprefix(b".") if line.startswith(b"..") else line for line in lines)
                self.server.got.append((envelope, octets))
            elif verb in ("MAIL", "RCPT"):
                envelope.append(line)
            self.say("221 bye" if verb == "QUIT" else "250 ok")
            if verb == "QUIT":
                return

    def say(self, text):
        self.wfile.write(f"{text}\r\n".encode())


def free_ports(number):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


# ------------------------------------------------------------------------------------------------ What mail programs do


def refused(gateway, trusted, passwords):
    """A wrong password, a sender of somebody else, a stranger's mail for a mailbox that takes certified mail only."""
    with smtplib.SMTP_SSL("localhost", gateway.ports["smtps"], context=trusted) as smtp:
        with expected(smtplib.SMTPAuthenticationError):
            smtp.login(SENDER, "wrong")
    with smtplib.SMTP("localhost", gateway.ports["submission"]) as smtp:
        smtp.starttls(context=trusted)
        smtp.login(SENDER, passwords[SENDER])
        with expected(smtplib.SMTPSenderRefused):
            smtp.sendmail(RECIPIENT, RECIPIENT, message(RECIPIENT))
    with smtplib.SMTP("localhost", gateway.ports["smtp"]) as smtp:
        with expected(smtplib.SMTPRecipientsRefused):
            smtp.sendmail(ORDINARY, "qualcuno@elsewhere.example", message(ORDINARY))
        with expected(smtplib.SMTPDataError):
            smtp.sendmail(ORDINARY, RECIPIENT, message(ORDINARY))


@contextlib.contextmanager
def expected(error):
    try:
        yield
    except error:
        return
    sys.exit(f"gateway.py: failed to see {error.__name__}")


def message(sender, *recipients):
    made = email.message.EmailMessage()
    made["From"], made["To"] = sender, ", ".join(recipients or [RECIPIENT])
    made["Subject"], made["Date"] = "Prova", email.utils.localtime()
    made["Message-ID"] = email.utils.make_msgid(domain="client.example")
    made.set_content("Buongiorno.\n")
    return made.as_bytes(policy=email.policy.SMTP)


def submit(gateway, trusted, password):
    sent = message(SENDER, RECIPIENT, ORDINARY)
    with smtplib.SMTP_SSL("localhost", gateway.ports["smtps"], context=trusted) as smtp:
        smtp.login(SENDER, password)
        smtp.sendmail(SENDER, [RECIPIENT, ORDINARY], sent)
    return sent


def receipts(gateway, trusted, password):
    """Every message of the sender's INBOX, by IMAPS."""
    with imaplib.IMAP4_SSL("localhost", gateway.ports["imaps"], ssl_context=trusted) as imap:
        imap.login(SENDER, password)
        imap.select("INBOX", readonly=True)
        uids = imap.uid("SEARCH", "ALL")[1][0].split()
        return [imap.uid("FETCH", uid, "(BODY.PEEK[])")[1][0][1] for uid in uids]


def read(gateway, trusted, passwords, before):
    """The sender has acceptance and delivery receipt; the recipient's envelope is the same by POP3S and IMAPS."""
    got = lambda: receipts(gateway, trusted, passwords[SENDER])[before:]
    letter.until(lambda: len(got()) == 2, lambda: (len(got()), gateway.said()))
    kinds = sorted(email.message_from_bytes(octets)["X-Ricevuta"] for octets in got())
    seed.require(kinds == ["accettazione", "avvenuta-consegna"], f"receipts: {kinds}")
    pop = poplib.POP3_SSL("localhost", gateway.ports["pop3s"], context=trusted)
    pop.user(RECIPIENT)
    pop.pass_(passwords[RECIPIENT])
    newest = pop.stat()[0]
    envelope = b"".join(line + b"\r\n" for line in pop.retr(newest)[1])
    pop.quit()
    seed.require(email.message_from_bytes(envelope)["X-Trasporto"] == "posta-certificata", "an envelope")
    with imaplib.IMAP4_SSL("localhost", gateway.ports["imaps"], ssl_context=trusted) as imap:
        imap.login(RECIPIENT, passwords[RECIPIENT])
        imap.select("INBOX")
        seed.require(imap.fetch(str(newest), "(BODY.PEEK[])")[1][0][1] == envelope, "the same octets by IMAP and POP3")
        # What a mail program keeps of what it sent, and a message that it removes.
        imap.append("Sent", r"(\Seen)", None, message(RECIPIENT, SENDER))
        imap.store(str(newest), "+FLAGS", r"(\Seen)")
        seed.require(rb"\Seen" in imap.fetch(str(newest), "(FLAGS)")[1][0], "a flag that stays")
        imap.select("Sent")
        imap.store("1:*", "+FLAGS", r"(\Deleted)")
        imap.expunge()
        seed.require(imap.search(None, "ALL")[1] == [b""], "a folder that is empty")


def published(gateway, trusted):
    """What a mail program that sets itself up is told."""
    url = f"https://localhost:{gateway.ports['https']}/.well-known/autoconfig/mail/config-v1.1.xml?emailaddress={SENDER}"
    with urllib.request.urlopen(url, context=trusted) as answer:
        text = answer.read().decode()
    seed.require("<port>993</port>" in text and "<port>465</port>" in text, f"autoconfig: {text}")


def handed_over(other, sent):
    """The envelope went to the other system once, with the original in it as it was sent."""
    ((envelope, octets),) = other.got
    seed.require(envelope[1].upper() == f"RCPT TO:<{ORDINARY}>".upper(), f"recipients: {envelope}")
    whole = email.message_from_bytes(octets)
    seed.require(whole["X-Trasporto"] == "posta-certificata", f"an envelope: {whole.items()}")
    (inside,) = [part.get_payload(0) for part in whole.walk() if part.get_content_type() == "message/rfc822"]
    original = email.message_from_bytes(sent)
    seed.require(inside["X-Riferimento-Message-ID"] == original["Message-ID"], f"the original: {inside.items()}")
    seed.require(inside.get_payload() == original.get_payload(), "the text of the original")


if __name__ == "__main__":
    main()
