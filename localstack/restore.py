"""A loss, and the way back from it (docs/operations.md), on a deployment that seed.py made.

    AWS_ENDPOINT_URL=http://127.0.0.1:4566 restore.py SIGILLO AWS.JSON

The stages are stopped and a letter comes in; DynamoDB restores the tables beside the stack's own. Then all rows of an
older letter are lost, the whole mailbox that it lies in, and the provider index is overwritten. `sigillo restore` brings
the rows back as they were, and finds an altered receipt; the index comes back as an earlier version. What came in
meanwhile is delivered when the stages go on.
"""

import collections
import contextlib
import pathlib
import sys
import tempfile
import time

import demo
import letter
import operators
import seed

SUFFIX = "-restored"
TABLES = ["LettersTable", "MailboxesTable", "RegistryTable", "LegalLogTable"]


def main():
    program, description = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
    aws, outputs = letter.deployment()
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as ends:
        sigillo = operators.Sigillo(program, description, pathlib.Path(scratch), operators.environment(aws))

        # 1. A letter that is done; the stages stop; a letter that waits.
        done = operators.send(sigillo)
        letter.until(lambda: letter.rests(aws, outputs), lambda: "jobs")
        start = stop(aws, outputs)
        filed = letter.filed(aws, outputs)
        letter.submit(aws, outputs["DataBucket"])

        # 2. The tables as they are, beside those that are lost in part.
        before = {name: rows(aws, outputs[name]) for name in TABLES}
        for name in TABLES:
            ends.callback(aws.dynamodb.delete_table, TableName=outputs[name] + SUFFIX)
            aws.dynamodb.restore_table_to_point_in_time(
                SourceTableName=outputs[name], TargetTableName=outputs[name] + SUFFIX, UseLatestRestorableTime=True
            )
        lost = lose(aws, outputs, before, done["pec_id"])

        # 3. Back, row for row; what was removed from the registry on purpose stays away.
        said = sigillo.json("restore", f"--tables={SUFFIX}")
        seed.require({name: rows(aws, outputs[name]) for name in TABLES} == before, f"all rows as they were: {said}")
        copied = sum(table["copied"] for table in said["tables"])
        seed.require(copied == lost, f"{lost} rows to be copied: {said}")
        audit = said["audit"]
        seed.require(audit["faulty"] == 0 and audit["acts"] >= 4, f"evidence that is whole: {audit}")
        altered(aws, outputs, sigillo)
        index(aws, outputs["DataBucket"])

        # 4. The stages go on.
        start()
        wanted = collections.Counter(letter.WANTED)
        letter.until(
            lambda: letter.filed(aws, outputs) - filed == wanted, lambda: letter.filed(aws, outputs) - filed
        )
        letter.until(lambda: not letter.missing(aws, outputs), lambda: letter.missing(aws, outputs))
    print(f"{lost} lost rows came back as they were, {audit['acts']} acts are as the log says; the letter that waited went on")


def stop(aws, outputs):
    """No queue is read and no tick is made; gives what starts them again."""
    functions = aws.client("lambda")
    stack = outputs["LettersTable"].removesuffix("-letters")
    pages = functions.get_paginator("list_event_source_mappings").paginate()
    every = [mapping for page in pages for mapping in page["EventSourceMappings"]]
    # The log's stream goes on: what is in the log is copied to the vault.
    queues = [m["UUID"] for m in every if ":sqs:" in m["EventSourceArn"] and not m["FunctionArn"].endswith("-ingest")]

    def enable(enabled):
        for uuid in queues:
            functions.update_event_source_mapping(UUID=uuid, Enabled=enabled)

    enable(False)
    watch = f"{stack}-watch"
    functions.put_function_concurrency(FunctionName=watch, ReservedConcurrentExecutions=0)

    def start():
        enable(True)
        functions.delete_function_concurrency(FunctionName=watch)

    return start


def rows(aws, table):
    return {letter.key_of(item): item for item in letter.scan(aws, table)}


def lose(aws, outputs, before, pec_id):
    """All rows of a letter but those of the log, and the mailbox of its recipient; gives how many."""
    mine = [key for key in before["LettersTable"] if pec_id in key[0]]
    seed.require(any(sk.startswith("act#") for _, sk in mine), f"acts of {pec_id}: {mine}")
    address = {"pk": {"S": f"address#{operators.RECIPIENT}"}, "sk": {"S": "mailbox"}}
    row = aws.dynamodb.get_item(TableName=outputs["RegistryTable"], Key=address)["Item"]
    mailbox = f"mailbox#{row['body']['M']['id']['S']}"
    filed = [key for key in before["MailboxesTable"] if key[0] == mailbox]
    seed.require(len(filed) > 1, f"a mailbox with something in it: {filed}")
    for table, keys in (("LettersTable", mine), ("MailboxesTable", filed)):
        for pk, sk in keys:
            aws.dynamodb.delete_item(TableName=outputs[table], Key={"pk": {"S": pk}, "sk": {"S": sk}})
    return len(mine) + len(filed)


def altered(aws, outputs, sigillo):
    """An envelope that is not what was signed is told, and is no reason to stop."""
    acts = [i for i in letter.scan(aws, outputs["LettersTable"]) if i["sk"]["S"].startswith("act#")]
    key = next(i["body"]["M"]["target"]["S"] for i in acts if "issued" in i["body"]["M"])
    octets = aws.s3.get_object(Bucket=outputs["DataBucket"], Key=key)["Body"].read()
    demo.put(aws, outputs["DataBucket"], key, octets + b" ")
    try:
        audit = sigillo.json("restore", f"--tables={SUFFIX}", code=1)["audit"]
        seed.require(audit["faulty"] == 1 and key in audit["faults"][0], f"{key} to be found: {audit}")
    finally:
        demo.put(aws, outputs["DataBucket"], key, octets)


def index(aws, bucket):
    """An object that was overwritten comes back as its earlier version."""
    good = aws.s3.get_object(Bucket=bucket, Key=demo.INDEX)["Body"].read()
    time.sleep(1)  # versions are told apart by seconds
    demo.put(aws, bucket, demo.INDEX, b"rubbish")
    versions = aws.s3.list_object_versions(Bucket=bucket, Prefix=demo.INDEX)["Versions"]
    versions = [v for v in versions if v["Key"] == demo.INDEX]
    (now,) = [v for v in versions if v["IsLatest"]]
    earlier = max((v for v in versions if v is not now), key=lambda v: v["LastModified"])
    source = {"Bucket": bucket, "Key": demo.INDEX, "VersionId": earlier["VersionId"]}
    aws.s3.copy_object(Bucket=bucket, Key=demo.INDEX, CopySource=source)
    seed.require(aws.s3.get_object(Bucket=bucket, Key=demo.INDEX)["Body"].read() == good, "the index as it was")


if __name__ == "__main__":
    main()
