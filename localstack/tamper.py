"""Overwrites and removes entries of the legal log, and sees that it is found; tries to remove evidence, and sees that it
is refused. After letter.py, against a deployment that seed.py made.

No emulator enforces policies, so this can do what the log's policy refuses to everybody on AWS.
"""

import hashlib
import json

from botocore.exceptions import ClientError

import letter
import seed


def main():
    aws, outputs = letter.deployment()
    entries = letter.log(aws, outputs)
    overwritten, removed = entries[0], entries[1]
    kept = {copy(entry): read(aws, outputs, copy(entry)) for entry in (overwritten, removed)}

    changed = overwritten | {"at": {"S": "2001-01-01T00:00:00Z"}}
    aws.dynamodb.put_item(TableName=outputs["LegalLogTable"], Item=changed)
    key = {name: removed[name] for name in ("pk", "sk")}
    aws.dynamodb.delete_item(TableName=outputs["LegalLogTable"], Key=key)

    wanted = {("MODIFY", copy(overwritten)), ("REMOVE", copy(removed))}
    letter.until(lambda: found(aws, outputs) >= wanted, lambda: found(aws, outputs))
    for name, text in kept.items():
        seed.require(read(aws, outputs, name) == text, f"the copy {name} as it was")
    for name in kept:
        seed.require(refuses_removal(aws, outputs["VaultBucket"], name), f"a lock on {name}")
    print("an entry that was overwritten and one that was removed were found; their copies cannot be removed")


def copy(entry):
    """Where the copy of an entry lies (shared/aws/src/notarize.rs)."""
    name = hashlib.sha256(f"{entry['pk']['S']}\0{entry['sk']['S']}".encode()).hexdigest()
    return f"vault/log/{entry['at']['S'][:10]}/{name}.json"


def read(aws, outputs, key):
    return aws.s3.get_object(Bucket=outputs["VaultBucket"], Key=key)["Body"].read()


def found(aws, outputs):
    """What was found altered: how, and which copy is the evidence."""
    pages = aws.s3.get_paginator("list_objects_v2").paginate(Bucket=outputs["VaultBucket"], Prefix="vault/alarms/")
    alarms = [json.loads(read(aws, outputs, o["Key"])) for page in pages for o in page.get("Contents", [])]
    return {(alarm["event"], alarm["copy"]) for alarm in alarms}


def refuses_removal(aws, bucket, key):
    version = aws.s3.list_object_versions(Bucket=bucket, Prefix=key)["Versions"][0]["VersionId"]
    try:
        aws.s3.delete_object(Bucket=bucket, Key=key, VersionId=version)
        return False
    except ClientError as error:
        return error.response["Error"]["Code"] == "AccessDenied"


if __name__ == "__main__":
    main()
