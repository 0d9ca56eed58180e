"""What operators do, done to a deployment that seed.py made: the commands of `sigillo` with --aws, and every command of
docs/data-model.md and docs/operations.md.

    AWS_ENDPOINT_URL=http://127.0.0.1:4566 operators.py SIGILLO AWS.JSON

SIGILLO is the program, built with its feature aws; AWS.JSON is the description of the stack.
"""

import datetime
import email.utils
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import uuid
import zoneinfo

import demo
import letter
import seed

SENDER, RECIPIENT = (f"{name}@{demo.DOMAIN}" for name in demo.ACCOUNTS)
# Kinds of messages by their value of X-Ricevuta or X-Trasporto.
RECEIPTS, ENVELOPE = ["accettazione", "avvenuta-consegna"], "posta-certificata"


def main():
    program, description = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
    aws, outputs = letter.deployment()
    with tempfile.TemporaryDirectory() as scratch:
        sigillo = Sigillo(program, description, pathlib.Path(scratch), environment(aws))
        sent = send(sigillo)
        read(sigillo, sent)
        audit(sigillo, sent)
        refuse(sigillo)
        provision(sigillo)
        request(sigillo, outputs)
        publish(sigillo)
    letter.until(lambda: not letter.missing(aws, outputs), lambda: letter.missing(aws, outputs))
    asked = queries(aws, outputs, sent)
    understood = operations(aws, outputs, sent)
    print(f"sigillo works with --aws; {asked} queries answer what they say, {understood} commands are understood")


def environment(aws):
    """For the aws command line and for sigillo: who asks, and where; nothing of this machine's own."""
    bin_of_venv = pathlib.Path(sys.executable).parent
    return {
        "PATH": f"{bin_of_venv}:{os.environ['PATH']}",
        "HOME": "/nonexistent",
        "AWS_ENDPOINT_URL": aws.endpoint,
        "AWS_DEFAULT_REGION": aws.session.region_name,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


# ------------------------------------------------------------------------------------------------ The commands


class Sigillo:
    """The program, on the deployment."""

    def __init__(self, program, description, scratch, environment):
        self.program, self.description, self.scratch, self.environment = program, description, scratch, environment

    def run(self, *words, code=0):
        command = [self.program, *words, "--aws", self.description]
        done = subprocess.run(command, env=self.environment, capture_output=True, check=False)
        said = done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")
        seed.require(done.returncode == code, f"{words[0]} to end with {code}: it ended with {done.returncode}: {said}")
        return done.stdout

    def json(self, *words, code=0):
        return json.loads(self.run(*words, "--json", code=code))

    def file(self, name, text):
        path = self.scratch / name
        path.write_text(text)
        return path

    def list(self, account):
        return self.json("mailbox", "list", account)


def send(sigillo):
    """A letter, followed to its last receipt; the same again under its key; another under that key."""
    client_id = f"<{uuid.uuid4()}@client.example>"
    text = f"Subject: Prova\nMessage-ID: {client_id}\nDate: {email.utils.formatdate()}\n\nBuongiorno.\n"
    file = sigillo.file("letter.eml", text)
    words = ["send", "--from", SENDER, "--to", RECIPIENT, "--wait-s", "120", "--idempotency-key", client_id, file]
    sent = sigillo.json(*words)
    seed.require(sent["state"] == "delivered", f"a letter that was delivered: {sent}")
    seed.require(sorted(r["kind"] for r in sent["receipts"]) == RECEIPTS, f"its receipts: {sent}")
    seed.require(sigillo.json(*words)["pec_id"] == sent["pec_id"], "one letter under one key")
    file.write_text(text.replace("Buongiorno", "Buonasera"))
    sigillo.run(*words, code=1)
    return sent | {"client_id": client_id}


def read(sigillo, sent):
    """The mailboxes, and what others and we say of each message."""
    (envelope,) = [m for m in sigillo.list(RECIPIENT) if m["pec_id"] == sent["pec_id"]]
    seed.require(envelope["kind"] == ENVELOPE, f"the envelope: {envelope}")
    receipts = [m for m in sigillo.list(SENDER) if m["pec_id"] == sent["pec_id"]]
    for account, message in [(RECIPIENT, envelope), *[(SENDER, receipt) for receipt in receipts]]:
        raw = sigillo.run("mailbox", "show", account, str(message["uid"]), "--raw")
        seed.require(len(raw) == message["size_bytes"], f"the octets of {message}")
        file = sigillo.scratch / "message.eml"
        file.write_bytes(raw)
        verdict = sigillo.json("verify", file)
        seed.require((verdict["signature"], verdict["chain"]) == ("valid", "trusted"), f"a valid message: {verdict}")
        # A provider of the index signed it, for a domain of its own.
        seed.require(all(check["passed"] for check in verdict["checks"]), f"all checks passed: {verdict}")
        file.write_bytes(raw.replace(b"Prova", b"Provo"))
        sigillo.run("verify", file, code=1)
    out = sigillo.scratch / "out"
    written = sigillo.json("mailbox", "export", RECIPIENT, out)
    seed.require(len(written) == len(sigillo.list(RECIPIENT)), f"every message: {written}")
    sigillo.run("mailbox", "list", f"nessuno@{demo.DOMAIN}", code=64)


def audit(sigillo, sent):
    """The log of the letter."""
    events = [entry["event"] for entry in sigillo.json("audit", "letter", sent["pec_id"])]
    for event in ("accepted", "issued", "received", "taken-in-charge", "delivered", "filed"):
        seed.require(event in events, f"{event} in the log: {events}")
    seed.require(events[0] == "accepted", f"the order of the log: {events}")
    sigillo.run("audit", "letter", f"0@{demo.MAIL_DOMAIN}", code=1)
    # The figures of its four-month period, in Italian time; how long anything took is not what is looked at here.
    today = datetime.datetime.now(zoneinfo.ZoneInfo("Europe/Rome"))
    levels = sigillo.json("sla", "--period", f"{today.year}-{(today.month + 3) // 4}", "--agreed-s", "86400")
    seed.require(min(levels["accepted"], levels["receipt"]["count"]) >= 1, f"the letter in its period: {levels}")


def refuse(sigillo):
    """A letter that is not accepted, and a sender who is nobody's account."""
    file = sigillo.file("bcc.eml", f"Subject: Prova\nTo: {RECIPIENT}\nBcc: altri@gamma.example\n\nBuongiorno.\n")
    sent = sigillo.json("send", "--from", SENDER, "--to", RECIPIENT, "--wait-s", "120", file, code=1)
    seed.require(sent["state"] == "refused", f"a letter with Bcc: {sent}")
    sigillo.run("send", "--from", "mittente@altrove.example", "--to", RECIPIENT, file, code=64)


def provision(sigillo):
    """Environment, domains and accounts, on the tables; what they are then decides what becomes of letters."""
    made = sigillo.json("environment", "add", "--mail-domain", demo.MAIL_DOMAIN)
    seed.require((made["id"], made["address"]) == (demo.PROVIDER, demo.ADDRESS), f"the stack's environment: {made}")
    sigillo.run("environment", "add", "--mail-domain", "altrove.example", code=1)

    # 1. A domain waits for its MX records, which nobody publishes.
    name = f"{uuid.uuid4().hex}.example"
    (waits,) = sigillo.json("domain", "add", name, "--organisation", "altri", code=1)
    seed.require((waits["name"], waits["active"]) == (name, False), f"a domain that waits: {waits}")
    sigillo.run("account", "add", f"uno@{name}", code=1)
    seed.require(name in [domain["name"] for domain in sigillo.json("domain", "list")], "it in the list")
    sigillo.run("domain", "remove", name)
    history = [entry["event"] for entry in sigillo.json("domain", "history", name)]
    seed.require(sorted(history) == ["domain-added", "domain-removed"], f"what happened to it: {history}")
    sigillo.run("domain", "remove", demo.DOMAIN, code=1)

    # 2. An account, until it is disabled and after.
    account = f"{uuid.uuid4().hex}@{demo.DOMAIN}"
    sigillo.run("account", "add", account, "--alias", SENDER, code=1)
    seed.require(sigillo.json("account", "add", account, "--quota-mib", "64")["password"], "a password")
    seed.require(sigillo.json("account", "quota", account, "128")["quota_mib"] == 128, "its quota")
    for change, state, code in [("disable", "not-delivered", 1), ("enable", "delivered", 0)]:
        active = sigillo.json("account", change, account)["active"]
        seed.require(active == (change == "enable"), f"it to be as told: {change}")
        file = sigillo.file("letter.eml", f"Subject: {change}\nTo: {account}\n\nBuongiorno.\n")
        sent = sigillo.json("send", "--from", SENDER, "--to", account, "--wait-s", "120", file, code=code)
        seed.require(sent["state"] == state, f"what becomes of a letter after {change}: {sent}")
    seed.require(len(sigillo.list(account)) == 1, "one letter in it")

    # 3. Passwords and choices.
    password = sigillo.json("account", "password", account)["password"]
    app = sigillo.json("account", "app-password", "add", account, "ufficio")
    seed.require(app["password"] != password, "a password of its own")
    sigillo.run("account", "app-password", "revoke", account, app["id"])
    (listed,) = sigillo.json("account", "app-password", "list", account)
    seed.require(listed["id"] == app["id"] and listed["revoked"], f"it revoked: {listed}")
    chosen = sigillo.json("account", "settings", account, "--ordinary", "take", "--receipts", "folder")
    seed.require((chosen["ordinary"], chosen["receipts"]) == ("take", "folder"), f"what was chosen: {chosen}")
    events = {entry["event"] for entry in sigillo.json("account", "sign-ins", account)}
    wanted = {"account-added", "quota-set", "account-disabled", "account-enabled", "app-password-added", "password-set"}
    seed.require(wanted <= events, f"what happened to it: {events}")
    seed.require("last" in sigillo.json("clock", code=1), "a clock that was never compared")


def request(sigillo, outputs):
    """A certificate request for the stack's key, and for a key that is named; openssl verifies both."""
    name = ["--subject", "CN=Posta Certificata,O=Alfa,C=IT", "--mail", demo.ADDRESS]
    own = sigillo.run("keys", "csr", *name)
    named = sigillo.run("keys", "csr", *name, "--key", outputs["SigningKeyArn"])
    seed.require(own == named, "the stack's own key where none is named")
    verify = ["openssl", "req", "-verify", "-noout", "-text", "-nameopt", "RFC2253"]
    done = subprocess.run(verify, input=own, capture_output=True, check=False)
    text = (done.stdout + done.stderr).decode()
    seed.require(done.returncode == 0 and "verify OK" in text, f"openssl to verify the request: {text}")
    seed.require(name[1] in text and f"email:{demo.ADDRESS}" in text, f"subject and address in the request: {text}")
    sigillo.run("keys", "csr", "--subject", "nobody", "--mail", demo.ADDRESS, code=64)


def publish(sigillo):
    """Our own record of the provider index, signed by the stack's key."""
    file, url = sigillo.scratch / "index.ldif.p7m", "https://gestore.demo.example/index.ldif.p7m"
    sigillo.run("index", "publish", "--url", url, "--out", file)
    verify = ["openssl", "cms", "-verify", "-inform", "DER", "-noverify", "-in", file]
    done = subprocess.run(verify, capture_output=True, check=False)
    ldif = done.stdout.decode()
    seed.require(done.returncode == 0, f"openssl to verify the record: {done.stderr}")
    for line in (f"LDIFLocationURL: {url}", f"managedDomains: {demo.DOMAIN}"):
        seed.require(line in ldif, f"{line} in {ldif}")


# ------------------------------------------------------------------------------------------------ The documents


def blocks(page):
    """Commands of a page by the sentence that they begin with."""
    text = (seed.ROOT / page).read_text()
    found = [block for block in re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)]
    return [(block.partition("\n")[0].removeprefix("# "), block) for block in found]


def bash(aws, variables, script):
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], env=environment(aws) | variables, capture_output=True, check=False
    )
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def named(outputs, sent):
    """The names that the pages use, of this deployment and of the letter that was sent."""
    return {
        "STACK": outputs["LettersTable"].removesuffix("-letters"),
        "ID": sent["pec_id"],
        "CLIENT_ID": sent["client_id"],
        "SENDER": SENDER,
        "RECIPIENT": RECIPIENT,
        "DAY": sent["progress"]["accepted_at"][:10],
    }


def queries(aws, outputs, sent):
    """Each query of the data model answers what it says."""
    names = named(outputs, sent)
    identifier, lines = sent["pec_id"], str.splitlines
    at = sent["progress"]["accepted_at"]
    expected = {
        "The entries of a letter, in the order of their commits": lambda out: (
            lines(out)[0].split("\t") == [at, "origin#accepted#"] and len(lines(out)) > 8
        ),
        "The same in PartiQL, for one event: who, what, to whom": lambda out: (
            json.loads(out)["Items"]
            == [{"sender": {"S": SENDER}, "subject": {"S": "Prova"}, "recipients": {"L": [{"S": RECIPIENT}]}}]
        ),
        "Letters under the Message-ID that a client gave": lambda out: lines(out) == [identifier],
        "Letters that a sender had accepted in a month": lambda out: f"{at}\t{identifier}" in lines(out),
        "What began on a day: letters accepted, refused or received; their other entries are found by the PEC id": (
            lambda out: (
                f"{at}\t{identifier}\torigin#accepted#" in lines(out)
                and out.count(f"\t{identifier}\t") == 1  # what we received of ourselves began with its acceptance
            )
        ),
        "The copy of an entry in the vault: this, not the table, is evidence": lambda out: (
            json.loads(out)["pk"] == identifier and json.loads(out)["subject"] == "Prova"
        ),
        "What became of a letter, by recipient; no outcome: still under way": lambda out: (
            [item["outcome"] for item in json.loads(out)["Items"]] == [{"M": {"outcome": {"S": "delivered"}}}]
        ),
        "Its acts, and the digests of those that are issued": lambda out: (
            sorted(line.split("#")[1] for line in lines(out)) == ["acceptance", "transport-envelope"]
            and all(re.search(r"\t[0-9a-f]{64}$", line) for line in lines(out))
        ),
        "Letters of our users to an address, newest first": lambda out: f"{at}#{identifier}" in out.split(),
        "Letters that were filed for an address of ours, newest first": lambda out: "#destination#" in out,
        # The demo's deadline of a letter is hours away; what was paid is not owed.
        "What is owed and overdue: the job that pays it is in the row": lambda out: identifier not in out,
        "The transport envelope, octet for octet": lambda out: "X-Trasporto: posta-certificata" in out,
        "The mailbox behind an address": lambda out: (
            json.loads(out)["Items"][0]["organisation"] == {"S": demo.ORGANISATION}
        ),
        "Its messages: place, kind and PEC id": lambda out: (
            [line.split("\t")[1] for line in lines(out) if line.endswith(identifier)] == ["transport-envelope"]
        ),
        "Octets and messages of a mailbox, as its quota counts them": lambda out: (
            all(int(number) > 0 for number in out.split()) and len(out.split()) == 2
        ),
        "Close a mailbox: letters to it are answered with 5.2.1 (state: active, disabled or revoked)": lambda out: (
            out.split()[0] == "disabled" and int(out.split()[1]) > 1
        ),
    }
    # Names are set by the page for readers, and by us here.
    asked = [block for block in blocks("docs/data-model.md") if not block[1].startswith("STACK=")]
    seed.require({title for title, _ in asked} == set(expected), "an expectation for each query of the page")
    for title, script in asked:
        code, out, err = bash(aws, names, script)
        seed.require(code == 0, f"an answer to {title!r}: {err}")
        seed.require(holds(expected[title], out), f"what {title!r} says: {out}{err}")
    reopen(aws, outputs)
    return len(asked)


def holds(check, out):
    try:
        return check(out)
    except (IndexError, KeyError, ValueError):
        return False


def reopen(aws, outputs):
    """Other scripts send to the mailbox that a query closed."""
    aws.dynamodb.update_item(
        TableName=outputs["RegistryTable"],
        Key={"pk": {"S": f"address#{RECIPIENT}"}, "sk": {"S": "mailbox"}},
        UpdateExpression="SET body.#state = :state, version = version + :one",
        ExpressionAttributeNames={"#state": "state"},
        ExpressionAttributeValues={":state": {"S": "active"}, ":one": {"N": "1"}},
    )


def operations(aws, outputs, sent):
    """Each command of the operations is one that the aws command line understands; no emulator does all of them, so
    they are sent to nobody."""
    nobody = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}
    understood = 0
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("chain.pem", "index.ldif"):
            (pathlib.Path(scratch) / name).touch()
        (pathlib.Path(scratch) / "infra").symlink_to(seed.ROOT / "infra")
        for title, block in blocks("docs/operations.md"):
            for command in re.sub(r"\\\n\s*", "", block).splitlines():
                if command.startswith("aws "):
                    _, _, err = bash(aws, named(outputs, sent) | example() | nobody, f"cd {scratch}; {command}")
                    seed.require("Could not connect to the endpoint" in err, f"{title!r} to be understood: {err}")
                    understood += 1
    return understood


def example():
    """Names that the operations use."""
    return {
        "KEY_ARN": "arn:aws:kms:eu-south-1:111122223333:key/1234",
        "QUEUE": "accept",
        "ARN": "arn:aws:sqs:eu-south-1:111122223333:sigillo-accept-dead-letters",
        "URL": "https://sqs.eu-south-1.amazonaws.com/111122223333/sigillo-accept-dead-letters",
        "DATA": "sigillo-data-111122223333-eu-south-1",
        "VAULT": "sigillo-vault-111122223333-eu-south-1",
        "SHARD": "0",
        "WHEN": "2026-03-02T08:00:00Z",
    }


if __name__ == "__main__":
    main()
