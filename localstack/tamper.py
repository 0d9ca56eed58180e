"""Overwrites and removes entries of the legal log, and sees that it is found; tries to remove evidence, and sees that it
is refused. After letter.py, against a deployment that seed.py made.

No emulator enforces policies, so this can do what the log's policy refuses to everybody on AWS.
"""

import json

from botocore.exceptions import ClientError

import letter
import seed


def main():
    aws, outputs = letter.deployment()
    copies = letter.copies(aws, outputs)
    untouched = [entry for entry in letter.log(aws, outputs) if letter.plain(entry) in copies[letter.key_of(entry)]]
    overwritten, removed = untouched[:2]
    changed = overwritten | {"at": {"S": "2001-01-01T00:00:00Z"}}
    aws.dynamodb.put_item(TableName=outputs["LegalLogTable"], Item=changed)
    key = {name: removed[name] for name in ("pk", "sk")}
    aws.dynamodb.delete_item(TableName=outputs["LegalLogTable"], Key=key)

    before, after, gone = map(letter.plain, (overwritten, changed, removed))
    wanted = [("MODIFY", before, after), ("REMOVE", gone, None)]
    letter.until(lambda: all(a in found(aws, outputs) for a in wanted), lambda: found(aws, outputs))
    for entry in (overwritten, removed):
        copies = letter.copies(aws, outputs)[letter.key_of(entry)]
        seed.require(letter.plain(entry) in copies, f"the copy of {letter.key_of(entry)} as it was")
    for prefix in ("vault/log/", "vault/alarms/"):  # copies by CopyObject the emulator does not lock
        for name, _ in letter.vault(aws, outputs, prefix):
            seed.require(refuses_removal(aws, outputs["VaultBucket"], name), f"a lock on {name}")
    print("an entry that was overwritten and one that was removed were found; their copies cannot be removed")


def found(aws, outputs):
    """What was found altered: how, and what it was and became."""
    alarms = [json.loads(body) for _, body in letter.vault(aws, outputs, "vault/alarms/")]
    return [(alarm["event"], alarm["old"], alarm["new"]) for alarm in alarms]


def refuses_removal(aws, bucket, key):
    version = aws.s3.list_object_versions(Bucket=bucket, Prefix=key)["Versions"][0]["VersionId"]
    try:
        aws.s3.delete_object(Bucket=bucket, Key=key, VersionId=version)
        return False
    except ClientError as error:
        return error.response["Error"]["Code"] == "AccessDenied"


if __name__ == "__main__":
    main()
