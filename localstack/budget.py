"""Counts what functions ask of AWS for a letter, and what that costs: prints a table, and fails when a letter costs more
than it may. Against a deployment that seed.py made.

    AWS_ENDPOINT_URL=http://127.0.0.1:4566 budget.py

Counted are the calls of functions that have started, each message of a queue taken alone; for the mappings, which the
emulator works by itself, one receive and one delete for each message. Prices are in prices.json. Not counted: what the
doors of SES cost, storage, and the time that functions run.
"""

import collections
import json
import math
import pathlib
import secrets
import sys

import demo
import letter
from proxy import Proxies

PRICES = json.loads((pathlib.Path(__file__).parent / "prices.json").read_text())
KIB, MIB = 1024, 1024 * 1024
UNIT = {"write": KIB, "read": 4 * KIB}
# So large letters to so many are over the default limit (30 MB for the product).
LIMITS = {"SIGILLO_PRODUCT_BYTES_MAX": str(128 * MIB)}

CASES = {
    "10 KB to 1": (10 * KIB, 1),
    "100 KB to 1": (100 * KIB, 1),
    "10 MB to 1": (10 * MIB, 1),
    "10 KB to 10": (10 * KIB, 10),
    "10 MB to 10": (10 * MIB, 10),
}
ROWS = {
    "KMS signatures": lambda c: c["kms", "Sign"],
    "S3 writes": lambda c: c["s3", "PutObject"] + c["s3", "CopyObject"],
    "S3 reads": lambda c: c["s3", "GetObject"] + c["s3", "HeadObject"],
    "DynamoDB requests": lambda c: sum(number for (service, _), number in c.items() if service == "dynamodb"),
    "DynamoDB write units": lambda c: c["units", "write"],
    "DynamoDB read units": lambda c: c["units", "read"],
    "SQS requests": lambda c: c["queue", "standard"] + c["queue", "fifo"],
    "invocations": lambda c: c["lambda", "invoke"],
    "USD per 1,000 letters": lambda c: price(c),
}

# Two stages may want one row at the same moment: the one that is late reads again and commits again, which is no cost of
# the letter. And rows of the registry are remembered for half a minute (shared/aws/src/facts/remembered.rs): a letter
# that finds them forgotten reads them for those that come after it. Such letters are measured anew, so often at most; if
# each try had a late commit, the best may cost FURTHER for each.
TRIES = 5

# What a letter of 100 KB to one own recipient may cost.
BUDGET = {
    "KMS signatures": 4,
    "S3 writes": 8,
    "S3 reads": 7,
    "DynamoDB requests": 20,
    "DynamoDB write units": 89,
    "SQS requests": 30,
    "USD per 1,000 letters": 0.12,
}
# What each further recipient may add, and each commit that was late.
FURTHER = {
    "KMS signatures": 1,
    "S3 writes": 1,
    "S3 reads": 1,
    "DynamoDB requests": 7,
    "DynamoDB write units": 50,
    "SQS requests": 9,
    "USD per 1,000 letters": 0.05,
}


def main():
    aws, outputs = letter.deployment()
    settle(aws, outputs)
    stack = outputs["LettersTable"].removesuffix("-letters")
    with Proxies(aws, stack, LIMITS) as proxies:
        meter = Meter(aws, outputs, stack)
        proxies.listeners.append(meter)
        meter.one(KIB, 10)  # functions start, and read their settings
        values, late = {}, {}
        for name in CASES:
            late[name], values[name] = meter.best(name)
    show(values, late)
    over = [what for name in CASES for what in exceeded(name, values[name], late[name])]
    if over:
        sys.exit("\n".join(["budget.py: failed to keep the budget of a letter", *over]))


def exceeded(name, values, late):
    """What is over its bound."""
    _, recipients = CASES[name]
    for row, most in BUDGET.items():
        bound = most + FURTHER[row] * (recipients - 1 + late)
        if values[row] > bound + 0.0005:
            yield f"{name}: {values[row]:.3g} {row}, at most {bound:.3g}"


def show(values, late):
    print(f"prices: {PRICES['region']}, {PRICES['as_of']}")
    print("| | " + " | ".join(values) + " |")
    print("|---|" + "---|" * len(values))
    for row in ROWS:
        numbers = [f"{v[row]:.3f}" if isinstance(v[row], float) else str(v[row]) for v in values.values()]
        print(f"| {row} | " + " | ".join(numbers) + " |")
    print("| of which late commits | " + " | ".join(str(late[name]) for name in values) + " |")


def addresses(number):
    return [f"budget-{n}@{demo.DOMAIN}" for n in range(number)]


def settle(aws, outputs):
    """Mailboxes for ten."""
    for row in demo.registry({address: secrets.token_urlsafe(15) for address in addresses(10)}):
        demo.insert(aws, outputs["RegistryTable"], *row)


class Meter:
    """Counts the calls of one letter."""

    def __init__(self, aws, outputs, stack):
        self.aws, self.outputs = aws, outputs
        self.mapping = aws.client("lambda").list_event_source_mappings(FunctionName=f"{stack}-notarize")
        self.mapping = self.mapping["EventSourceMappings"][0]["UUID"]
        self.units, self.count, self.late = Units(aws), collections.Counter(), 0

    def __call__(self, call):
        settings = call.service == "s3" and call.place()[1].startswith("settings/")
        if call.function == "watch" or settings:  # these come with time, not with letters
            return
        self.late += call.operation == "TransactWriteItems" and call.status >= 400
        self.count[call.service, call.operation] += 1
        if call.service == "dynamodb":
            for kind, units in self.units.of(call):
                self.count["units", kind] += units
        if call.operation == "SendMessageBatch":
            queue = "fifo" if call.said["QueueUrl"].endswith(".fifo") else "standard"
            messages = len(call.said["Entries"])
            self.count["queue", queue] += 1 + 2 * messages
            self.count["lambda", "invoke"] += messages

    def best(self, name):
        """How many commits were late, and what it costs: of the first letter of this case that is within its bounds and
        had none late, or of the best."""
        tries = []
        while len(tries) < TRIES and (not tries or tries[-1][0] != (0, 0)):
            count = self.one(*CASES[name])
            values = {row: value(count) for row, value in ROWS.items()}
            tries.append(((len([*exceeded(name, values, self.late)]), self.late), values))
        (_, late), values = min(tries, key=lambda t: t[0])
        return late, values

    def one(self, size, recipients):
        """Sends a letter and counts until all is done. Its entries of the log go to the vault in one batch, as with a
        batching window."""
        self.count, self.late = collections.Counter(), 0
        line = "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod.\r\n"
        before = done(self.aws, self.outputs)
        is_done = lambda: done(self.aws, self.outputs) - before == 1 + 2 * recipients and letter.rests(self.aws, self.outputs)
        self.enable(False)
        try:
            letter.submit(self.aws, self.outputs["DataBucket"], addresses(recipients), line * (size // len(line)))
            letter.until(is_done, lambda: done(self.aws, self.outputs) - before)
        finally:
            self.enable(True)
        letter.until(lambda: not letter.missing(self.aws, self.outputs), lambda: letter.missing(self.aws, self.outputs))
        # S3's event: sent, received, deleted; and the batch of the log's stream.
        self.count["queue", "standard"] += 3
        self.count["lambda", "invoke"] += 2
        return self.count

    def enable(self, on):
        self.aws.client("lambda").update_event_source_mapping(UUID=self.mapping, Enabled=on)


def done(aws, outputs):
    """How many messages are in all mailboxes."""
    return sum(i["sk"]["S"].startswith("msg#") for i in letter.scan(aws, outputs["MailboxesTable"]))


def price(count):
    """Of a thousand letters."""
    asked = {
        "dynamodb_write_units": count["units", "write"],
        "dynamodb_read_units": count["units", "read"],
        "s3_writes": ROWS["S3 writes"](count),
        "s3_reads": ROWS["S3 reads"](count),
        "sqs_requests": count["queue", "standard"],
        "sqs_fifo_requests": count["queue", "fifo"],
        "kms_rsa_2048_requests": count["kms", "Sign"],
        "lambda_requests": count["lambda", "invoke"],
    }
    return sum(number * PRICES["per_million"][what] for what, number in asked.items()) / 1000


# ------------------------------------------------------------------------------------------------ Units of DynamoDB


class Units:
    """Request units as DynamoDB counts them, from what is asked and answered: a write is a unit for each KB of the
    item, before or after, whichever is larger, and twice that in a transaction; each entry of an index that comes or
    goes is one more. A read is a unit for each 4 KB, half of that when it need not be consistent."""

    def __init__(self, aws):
        self.aws, self.indexes, self.items = aws, {}, {}

    def of(self, call):
        said, answer = call.said, json.loads(call.answer or b"{}")
        if call.operation == "TransactWriteItems":
            for item in said["TransactItems"]:
                ((kind, of),) = item.items()
                yield "write", self.write(of, kind, 2, call.status < 400)
        elif call.operation == "GetItem":
            yield "read", units("read", answer.get("Item", {}))
        elif call.operation == "BatchGetItem":
            found = sum(len(items) for items in answer["Responses"].values())
            for items in answer["Responses"].values():
                yield from (("read", units("read", item)) for item in items)
            yield "read", sum(len(of["Keys"]) for of in said["RequestItems"].values()) - found
        elif call.operation == "Query":
            read = sum(size(item) for item in answer["Items"])
            yield "read", max(1, math.ceil(read / UNIT["read"])) * (1 if said.get("ConsistentRead") else 0.5)
        else:
            sys.exit(f"budget.py: failed to count a {call.operation}")

    def write(self, of, kind, factor, kept):
        item = of.get("Item") or of["Key"]
        key = (of["TableName"], item["pk"]["S"], item["sk"]["S"])
        before, after = self.items.get(key, {}), of.get("Item", {})
        if kind == "Put" and kept:
            self.items[key] = after
        indexed = 0
        for index in self.indexes_of(of["TableName"]):
            was, will = ([i.get(name) for name in index] for i in (before, after))
            if was != will:
                indexed += (None not in was) + (None not in will)
        return factor * max(units("write", before), units("write", after)) + indexed

    def indexes_of(self, table):
        """The attributes of each index."""
        if table not in self.indexes:
            described = self.aws.dynamodb.describe_table(TableName=table)["Table"]
            schemas = [index["KeySchema"] for index in described.get("GlobalSecondaryIndexes", [])]
            self.indexes[table] = [[key["AttributeName"] for key in schema] for schema in schemas]
        return self.indexes[table]


def units(kind, item):
    return max(1, math.ceil(size(item) / UNIT[kind]))


def size(item):
    """Octets of an item: names and values (DynamoDB's developer guide, "item sizes and formats")."""
    return sum(len(name.encode()) + value_size(value) for name, value in item.items())


def value_size(value):
    ((kind, of),) = value.items()
    if kind == "S":
        return len(of.encode())
    if kind == "N":
        return math.ceil(len(of.strip("-0.")) / 2) + 1
    if kind == "L":
        return 3 + sum(1 + value_size(v) for v in of)
    if kind == "M":
        return 3 + sum(1 + len(name.encode()) + value_size(v) for name, v in of.items())
    return 1  # BOOL, NULL


if __name__ == "__main__":
    main()
