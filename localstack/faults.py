"""What can go wrong between a function and AWS, as faults of one exchange (proxy.py), and plans of faults by a seed.

Errors have the shape that each service gives them; what is retried, and how, is the functions' own matter
(shared/aws/src/clients.rs).
"""

import collections
import json
import os
import pathlib
import random
import signal
import threading
import time
import email.utils
import uuid

from proxy import Answer

TABLES = "com.amazonaws.dynamodb.v20120810#"


class Plan:
    """Breaks a share of the calls that its faults fit. Which ones, the seed says: by function, operation and number of
    the call, so that the order in which functions run does not matter."""

    def __init__(self, seed, faults, rate, fits=lambda call: True):
        self.seed, self.faults, self.rate, self.fits = seed, faults, rate, fits
        self.numbers, self.made, self.lock = collections.Counter(), collections.Counter(), threading.Lock()

    def __call__(self, call):
        faults = [fault for fault in self.faults if fault.fits(call)] if self.fits(call) else []
        if not faults:
            return None
        with self.lock:
            of = (call.function, call.service, call.operation)
            self.numbers[of] += 1
            chance = random.Random(f"{self.seed} {of} {self.numbers[of]}")
            if chance.random() >= self.rate:
                return None
            fault = chance.choice(faults)
            self.made[fault.__name__, call.service] += 1
        return fault


def fault(fits):
    """Marks a fault with the calls that it fits."""

    def marked(function):
        function.fits = fits
        return function

    return marked


def operation(*names):
    return lambda call: call.operation in names


def every(call):
    return True


# ------------------------------------------------------------------------------------------------ Errors


def refuse(exchange, status, code, **more):
    """An error as the service words it."""
    exchange.discard()
    if exchange.call.service == "s3":
        text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>as planned</Message></Error>'
        return exchange.reply(Answer(status, [("Content-Type", "application/xml")], text.encode()))
    kind = {"dynamodb": TABLES, "sqs": "com.amazonaws.sqs#", "kms": ""}[exchange.call.service] + code
    headers = [("Content-Type", "application/x-amz-json-1.0")]
    if exchange.call.service == "sqs":
        headers.append(("x-amzn-query-error", f"{code};{'Sender' if status < 500 else 'Receiver'}"))
    exchange.reply(Answer(status, headers, json.dumps({"__type": kind, "message": "as planned", **more}).encode()))


@fault(every)
def throttled(exchange):
    """Too many requests."""
    codes = {
        "dynamodb": (400, "ThrottlingException"),
        "sqs": (403, "RequestThrottled"),
        "kms": (400, "ThrottlingException"),
        "s3": (503, "SlowDown"),
    }
    refuse(exchange, *codes[exchange.call.service])


@fault(every)
def failed(exchange):
    """A failure of the service."""
    codes = {
        "dynamodb": (500, "InternalServerError"),
        "sqs": (500, "InternalFailure"),
        "kms": (500, "KMSInternalException"),
        "s3": (500, "InternalError"),
    }
    refuse(exchange, *codes[exchange.call.service])


def cancelled(exchange, code):
    reasons = [{"Code": "None"} for _ in exchange.call.said["TransactItems"]]
    reasons[-1] = {"Code": code, "Message": "as planned"}
    refuse(exchange, 400, "TransactionCanceledException", CancellationReasons=reasons)


@fault(operation("TransactWriteItems"))
def conflicting(exchange):
    """Another transaction is at one of the rows."""
    cancelled(exchange, "TransactionConflict")


@fault(operation("TransactWriteItems"))
def throttled_inside(exchange):
    """One of the rows takes no more for the moment."""
    cancelled(exchange, "ThrottlingError")


@fault(operation("TransactWriteItems"))
def in_progress(exchange):
    """The same transaction is still being worked on."""
    refuse(exchange, 400, "TransactionInProgressException")


@fault(lambda call: call.service == "s3" and "If-None-Match" in call.headers and call.method == "PUT")
def racing(exchange):
    """Another conditional write of the same object is under way."""
    refuse(exchange, 409, "ConditionalRequestConflict")


# ------------------------------------------------------------------------------------------------ Connections


@fault(every)
def not_made(exchange):
    """The call does not arrive."""
    exchange.discard()
    exchange.hang_up()


@fault(every)
def lost(exchange):
    """The call is made, its answer does not arrive."""
    answer = exchange.forward()
    if not isinstance(answer.body, bytes):
        answer.body.read()
    exchange.hang_up()


@fault(lambda call: call.method != "HEAD")
def cut(exchange):
    """The call is made, its answer breaks off in the middle."""
    answer = exchange.forward()
    body = answer.body if isinstance(answer.body, bytes) else answer.body.read()
    exchange.reply(Answer(answer.status, answer.headers, body), body[: len(body) // 2])


# ------------------------------------------------------------------------------------------------ Answers in part


@fault(operation("SendMessageBatch"))
def taken_in_part(exchange):
    """The queue takes all but the last message."""
    *taken, last = exchange.call.said["Entries"]
    answer = {"Successful": [], "Failed": []}
    if taken:
        answer |= json.loads(exchange.forward(said(exchange, Entries=taken)).body)
    answer["Failed"] = [{"Id": last["Id"], "SenderFault": False, "Code": "InternalError"}]
    exchange.reply(Answer(200, [("Content-Type", "application/x-amz-json-1.0")], json.dumps(answer).encode()))


@fault(operation("BatchGetItem"))
def answered_in_part(exchange):
    """The tables answer for half of the keys."""
    wanted, left = {}, {}
    for table, of in exchange.call.said["RequestItems"].items():
        half = (len(of["Keys"]) + 1) // 2
        wanted[table] = of | {"Keys": of["Keys"][:half]}
        if of["Keys"][half:]:
            left[table] = of | {"Keys": of["Keys"][half:]}
    answer = exchange.forward(said(exchange, RequestItems=wanted))
    body = json.loads(answer.body) | {"UnprocessedKeys": left}
    exchange.reply(Answer(answer.status, [("Content-Type", "application/x-amz-json-1.0")], json.dumps(body).encode()))


def said(exchange, **other):
    """The request with other members."""
    return json.dumps(exchange.call.said | other).encode()


class Stale:
    """An index that is late: each question is answered with what was true when it was asked before; at first, with
    nothing."""

    __name__ = "stale"
    fits = staticmethod(lambda call: call.operation == "Query" and "IndexName" in call.said)

    def __init__(self):
        self.before = {}

    def __call__(self, exchange):
        asked = exchange.call.said
        values = {k: v for k, v in asked["ExpressionAttributeValues"].items() if k != ":now"}
        question = json.dumps([asked["TableName"], asked["IndexName"], values], sort_keys=True)
        now = exchange.forward()
        nothing = Answer(200, [("Content-Type", "application/x-amz-json-1.0")], b'{"Items":[],"Count":0,"ScannedCount":0}')
        exchange.reply(self.before.get(question, nothing))
        self.before[question] = now


# ------------------------------------------------------------------------------------------------ Hints and events


@fault(operation("SendMessageBatch"))
def doubled(exchange):
    """Each message arrives twice."""
    entries = exchange.call.said["Entries"]
    again = [e | ({"MessageDeduplicationId": uuid.uuid4().hex} if "MessageGroupId" in e else {}) for e in entries]
    exchange.forward(said(exchange, Entries=again))
    exchange.reply(exchange.forward())


@fault(operation("SendMessageBatch"))
def swallowed(exchange):
    """Messages are lost after the queue has taken them."""
    sent = [{"Id": e["Id"], "MessageId": str(uuid.uuid4())} for e in exchange.call.said["Entries"]]
    body = json.dumps({"Successful": sent, "Failed": []}).encode()
    exchange.reply(Answer(200, [("Content-Type", "application/x-amz-json-1.0")], body))


@fault(lambda call: call.function == "ingest" and call.operation == "GetObject")
def aged(exchange):
    """What SES stored was stored a quarter of an hour ago."""
    answer = exchange.forward()
    headers = [(k, v) for k, v in answer.headers if k.lower() != "last-modified"]
    exchange.reply(Answer(answer.status, [*headers, ("Last-Modified", email.utils.formatdate(time.time() - 900, usegmt=True))], answer.body))


# ------------------------------------------------------------------------------------------------ Processes


class Kills:
    """A plan that ends a function's processes while it is at work: each at the calls of these numbers, counted by
    function; before the call is made, then after it."""

    def __init__(self, endpoint, operations, numbers):
        self.endpoint, self.operations, self.at = endpoint, operations, numbers
        self.numbers, self.made, self.lock = collections.Counter(), collections.Counter(), threading.Lock()

    def __call__(self, call):
        if call.operation not in self.operations:
            return None
        with self.lock:
            self.numbers[call.function] += 1
            if self.numbers[call.function] not in self.at:
                return None
            before = self.at.index(self.numbers[call.function]) % 2 == 0
            self.made["killed before a call" if before else "killed after a call", call.function] += 1
        return self.before if before else self.after

    def before(self, exchange):
        exchange.discard()
        self.kill(exchange)

    def after(self, exchange):
        answer = exchange.forward()
        if not isinstance(answer.body, bytes):
            answer.body.read()
        self.kill(exchange)

    def kill(self, exchange):
        for pid in processes(self.endpoint, exchange.call.function):
            os.kill(pid, signal.SIGKILL)
        exchange.hang_up()


def processes(endpoint, function):
    """Process ids of a function that this emulator has started."""
    for place in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            variables = (place / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # another's, or gone by now
        named = [v for v in variables if v.startswith(b"AWS_LAMBDA_FUNCTION_NAME=")]
        ours = f"AWS_ENDPOINT_URL={endpoint}".encode() in variables
        if ours and named and named[0].endswith(f"-{function}".encode()):
            yield int(place.name)
