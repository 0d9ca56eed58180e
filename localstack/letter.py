"""Sends a letter through a deployment that seed.py made, and waits for its receipts.

    AWS_ENDPOINT_URL=http://127.0.0.1:4566 letter.py

The letter enters as SES Mail Manager would bring it: an object below ses/submission/ORGANISATION/ in the data bucket.
From there on it is the template's wiring and the functions that carry it: S3's notification, queues, mappings, the
log's stream. It is there when the recipient has the envelope, the sender the acceptance and the delivery receipt, and
the vault a copy of every entry of the legal log.
"""

import collections
import email.utils
import json
import sys
import time
import tomllib
import uuid

from boto3.dynamodb.types import TypeDeserializer

import demo
import seed

WAIT_S_MAX = 120
QUEUES = ["Ingest", "Accept", "Seal", "Certify", "Receive", "Deliver", "Dispatch", "Watch"]
READ = {}

# What the two mailboxes must hold in the end, by kind and mailbox.
WANTED = {
    ("mittente", "acceptance"): 1,
    ("mittente", "delivery"): 1,
    ("destinatario", "transport-envelope"): 1,
}


def main():
    aws, outputs = deployment()
    begin = time.monotonic()
    before = filed(aws, outputs)
    submit(aws, outputs["DataBucket"])
    until(lambda: filed(aws, outputs) - before == collections.Counter(WANTED), lambda: filed(aws, outputs) - before)
    took_s = time.monotonic() - begin
    until(lambda: not missing(aws, outputs), lambda: missing(aws, outputs))
    entries = len(log(aws, outputs))
    print(f"envelope and receipts are filed after {took_s:.1f} s; {entries} entries of the log are in the vault")


def deployment():
    """Clients, and the outputs of the stack."""
    config = tomllib.loads((seed.ROOT / "samconfig.toml").read_text())
    aws = seed.Aws(config["local"]["global"]["parameters"]["region"])
    stack = config["local"]["deploy"]["parameters"]["stack_name"]
    described = aws.cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["Outputs"]
    return aws, {output["OutputKey"]: output["OutputValue"] for output in described}


def submit(aws, bucket, recipients=(f"{demo.ACCOUNTS[1]}@{demo.DOMAIN}",), text="Buongiorno."):
    """Stores a letter as Mail Manager would; gives where, and its Message-ID."""
    client_id = f"<{uuid.uuid4()}@client.example>"
    lines = [
        f"From: {demo.ACCOUNTS[0]}@{demo.DOMAIN}",
        f"To: {', '.join(recipients)}",
        "Subject: Prova",
        f"Date: {email.utils.formatdate()}",
        f"Message-ID: {client_id}",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=us-ascii",
        "",
        text,
        "",
    ]
    key = f"ses/submission/{demo.ORGANISATION}/{uuid.uuid4().hex}"
    aws.s3.put_object(Bucket=bucket, Key=key, Body="\r\n".join(lines).encode())
    return key, client_id


def filed(aws, outputs):
    """How many messages of each kind are in each of the two mailboxes."""
    mailboxes = {}
    for name in demo.ACCOUNTS:
        key = {"pk": {"S": f"address#{name}@{demo.DOMAIN}"}, "sk": {"S": "mailbox"}}
        row = aws.dynamodb.get_item(TableName=outputs["RegistryTable"], Key=key, ConsistentRead=True)["Item"]
        mailboxes[f"mailbox#{row['body']['M']['id']['S']}"] = name
    counted = collections.Counter()
    for item in scan(aws, outputs["MailboxesTable"]):
        if item["sk"]["S"].startswith("msg#") and item["pk"]["S"] in mailboxes:
            kind = item["body"]["M"]["summary"]["M"]["kind"].get("S", "none")
            counted[mailboxes[item["pk"]["S"]], kind] += 1
    return counted


def log(aws, outputs):
    return list(scan(aws, outputs["LegalLogTable"]))


def missing(aws, outputs):
    """Entries of the log that have no copy in the vault."""
    there = copies(aws, outputs)
    return [key_of(entry) for entry in log(aws, outputs) if key_of(entry) not in there]


def copies(aws, outputs):
    """The copies of each entry in the vault, by its key."""
    found = collections.defaultdict(list)
    for entry in (json.loads(line) for _, body in vault(aws, outputs, "vault/log/") for line in body.splitlines()):
        found[entry["pk"], entry["sk"]].append(entry)
    return found


def vault(aws, outputs, prefix):
    """Keys and contents of what is in the vault. What is there never changes, so it is read once."""
    pages = aws.s3.get_paginator("list_objects_v2").paginate(Bucket=outputs["VaultBucket"], Prefix=prefix)
    for key in [o["Key"] for page in pages for o in page.get("Contents", [])]:
        if (outputs["VaultBucket"], key) not in READ:
            READ[outputs["VaultBucket"], key] = aws.s3.get_object(Bucket=outputs["VaultBucket"], Key=key)["Body"].read()
        yield key, READ[outputs["VaultBucket"], key]


def key_of(item):
    return item["pk"]["S"], item["sk"]["S"]


def plain(item):
    """An item as it is, without DynamoDB's types."""
    deserializer = TypeDeserializer()
    return {name: deserializer.deserialize(value) for name, value in item.items()}


def scan(aws, table):
    for page in aws.dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        yield from page["Items"]


def rests(aws, outputs):
    """Nothing is in a queue or at work."""
    return all(depth(aws, outputs[f"{queue}QueueUrl"]) == 0 for queue in QUEUES)


def depth(aws, queue):
    """Messages in a queue, those at work included."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    got = aws.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)
    return sum(int(got["Attributes"][name]) for name in names)


def until(holds, told):
    end = time.monotonic() + WAIT_S_MAX
    while not holds():
        if time.monotonic() > end:
            sys.exit(f"failed to see it in {WAIT_S_MAX} s; seen so far: {str(told())[:2000]}")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
