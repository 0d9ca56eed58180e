"""Sends letters through a deployment while AWS misbehaves, heals it, and looks at what is left: each receipt once, the
log complete and in the vault, nothing owed, dead-letter queues empty but for poison. Against a deployment that seed.py
made.

    AWS_ENDPOINT_URL=http://127.0.0.1:4566 healing.py [SCENARIO ...]

Which call is broken, a seed says (SIGILLO_SEED, 1 by default).
"""

import collections
import hashlib
import json
import os
import sys
import time
import uuid

import demo
import faults
import letter
import seed
from letter import QUEUES, plain
from proxy import Proxies

SEED = os.environ.get("SIGILLO_SEED", "1")
HEALED_WITHIN_S = 180
SENDER, RECIPIENT = (f"{name}@{demo.DOMAIN}" for name in demo.ACCOUNTS)


def main():
    aws, outputs = letter.deployment()
    world = World(aws, outputs)
    chosen = sys.argv[1:] or list(SCENARIOS)
    with Proxies(aws, world.stack) as world.proxies, world.impatient():
        world.proxies.listeners.append(world.count)
        for name in chosen:
            begin, world.ticks = time.monotonic(), 0
            made = SCENARIOS[name](world)
            world.calm()
            took_s = time.monotonic() - begin
            print(f"{name}: healed in {took_s:.0f} s, {world.ticks} ticks of watch; {told(made)}", flush=True)


def told(made):
    kinds = collections.Counter()
    for (kind, _), number in made.items():
        kinds[kind] += number
    return ", ".join(f"{number} {kind.replace('_', ' ')}" for kind, number in sorted(kinds.items()))


# ------------------------------------------------------------------------------------------------ Scenarios


def broken(rate, *kinds):
    """Letters while a share of the calls is broken."""

    def scenario(world):
        plan = world.proxies.plan = faults.Plan(SEED, kinds, rate)
        letters = world.send(3) | world.send(1, [RECIPIENT, SENDER])
        world.heal(letters)
        unbroken = {kind.__name__ for kind in kinds} - {kind for kind, _ in plan.made}
        seed.require(not unbroken, f"calls that were {unbroken}")
        services = {service for _, service in plan.made}
        possible = {call.service for call in world.seen if any(kind.fits(call) for kind in kinds)}
        seed.require(services == possible, f"broken calls to {possible - services}")
        return plan.made

    return scenario


def outage(world):
    """Every call fails, longer than it is tried again: jobs fail and come again."""
    plan = world.proxies.plan = faults.Plan(SEED, [faults.failed, faults.throttled, faults.not_made], 1.0)
    with world.impatient(visible_after_s=3):
        letters = world.send(4)
        letter.until(lambda: plan.made.total() >= 50, lambda: plan.made)
        world.calm()
        world.heal(letters)
    return plan.made


def killed(world):
    """Functions end in the middle of a batch: before a call of theirs is made, and after one was."""
    kills = world.proxies.plan = faults.Kills(world.aws.endpoint, ("TransactWriteItems", "PutObject", "Sign"), [2, 5])
    with world.impatient(visible_after_s=2):
        letters = world.send(8) | world.send(2, [RECIPIENT, SENDER])
        world.heal(letters)
    working = {function for _, function in kills.made}
    stages = {"ingest", "accept", "seal", "certify", "receive", "deliver", "notarize"}
    # watch too, if it had anything to write meanwhile
    seed.require(working >= stages, f"{sorted(stages - working)} among the functions that were killed")
    return kills.made


def doubled(world):
    """Every hint comes twice, the event of S3 and the notification of SNS three times."""
    plan = world.proxies.plan = faults.Plan(SEED, [faults.doubled], 1.0)
    with world.taking_ordinary(RECIPIENT):
        letters = world.send(3, again=2) | world.send(1, [RECIPIENT, SENDER], again=2)
        before = letter.filed(world.aws, world.outputs)
        arrived = {("destinatario", "anomaly-envelope"): 1}
        world.arrive("a@ordinaria.example", RECIPIENT, times=3)
        world.heal(letters)
        here = lambda: {k: n for k, n in (letter.filed(world.aws, world.outputs) - before).items() if k in arrived}
        letter.until(lambda: here() == arrived, here)
    world.heal(letters)
    seed.require(here() == arrived, f"ordinary mail that came three times once: {here()}")
    return plan.made


def hints_lost(world):
    """Most hints are lost, also those for spool entries, while the indexes that `watch` reads are late."""
    swallowing = faults.Plan(SEED, [faults.swallowed], 0.7)
    aging = faults.Plan(SEED, [faults.aged], 1.0)
    stale = faults.Plan(SEED, [faults.Stale()], 1.0)
    world.proxies.plan = lambda call: aging(call) or stale(call) or (call.function != "watch" and swallowing(call))
    letters = world.send(3) | world.send(1, [RECIPIENT, SENDER])
    for _ in range(3):
        letter.until(world.rests, lambda: "queues that are never empty")
        world.tick()
    world.calm()
    world.heal(letters)
    made = swallowing.made + aging.made + stale.made
    seed.require(len(made) == 3, f"hints that were lost and indexes that were late: {made}")
    return made


def poison(world):
    """In each queue a message that is no job of ours, among letters."""
    with world.impatient(visible_after_s=2):
        letters = world.send(4)
        bodies = {queue: f"{queue}: no job" for queue in QUEUES}
        for queue, body in bodies.items():
            group = {"MessageGroupId": world.mailbox(RECIPIENT), "MessageDeduplicationId": uuid.uuid4().hex}
            world.aws.sqs.send_message(
                QueueUrl=world.outputs[f"{queue}QueueUrl"], MessageBody=body, **(group if queue == "Deliver" else {})
            )
        letters |= world.send(4)
        world.heal(letters, dead={queue: [body] for queue, body in bodies.items()})
    world.bury()
    return collections.Counter({("poison", queue): 1 for queue in QUEUES})


CONFLICTS = [faults.conflicting, faults.throttled_inside, faults.in_progress, faults.racing]
SCENARIOS = {
    "throttled": broken(0.25, faults.throttled, faults.throttled_inside),
    "failing": broken(0.25, faults.failed, faults.not_made),
    "answers lost": broken(0.25, faults.lost, faults.cut),
    "conflicts": broken(0.5, *CONFLICTS),
    "answers in part": broken(0.5, faults.taken_in_part, faults.answered_in_part),
    "outage": outage,
    "hints lost, indexes late": hints_lost,
    "everything twice": doubled,
    "killed": killed,
    "poison": poison,
    "all at once": broken(0.3, *CONFLICTS, faults.throttled, faults.failed, faults.lost, faults.not_made, faults.doubled),
}


# ------------------------------------------------------------------------------------------------ The world


class World:
    """The deployment, and what can be done to it and seen of it."""

    def __init__(self, aws, outputs):
        self.aws, self.outputs, self.seen, self.ticks = aws, outputs, [], 0
        self.stack = outputs["LettersTable"].removesuffix("-letters")

    def count(self, call):
        self.seen.append(call)

    # ---------------------------------------------------------------------------------------- What comes in

    def send(self, number, recipients=(RECIPIENT,), again=0):
        """So many letters: recipients by the client's Message-ID. S3 tells `again` times more than once."""
        letters = {}
        for _ in range(number):
            key, client_id = letter.submit(self.aws, self.outputs["DataBucket"], recipients)
            letters[client_id] = list(recipients)
            s3 = {"bucket": {"name": self.outputs["DataBucket"]}, "object": {"key": key}}
            event = {"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": s3}]}
            for _ in range(again):
                self.tell_ingest(event)
        return letters

    def arrive(self, sender, recipient, times):
        """A message that a receipt rule of SES has stored; SNS tells so many times."""
        key = f"ses/incoming/{uuid.uuid4().hex}"
        text = f"From: {sender}\r\nTo: {recipient}\r\nSubject: ciao\r\n\r\nciao\r\n"
        self.aws.s3.put_object(Bucket=self.outputs["DataBucket"], Key=key, Body=text.encode())
        action = {"type": "S3", "bucketName": self.outputs["DataBucket"], "objectKey": key}
        receipt = {"recipients": [recipient], "virusVerdict": {"status": "PASS"}, "action": action}
        message = {"notificationType": "Received", "receipt": receipt, "mail": {"source": sender}}
        for _ in range(times):
            self.tell_ingest({"Type": "Notification", "Message": json.dumps(message)})

    def tell_ingest(self, event):
        self.aws.sqs.send_message(QueueUrl=self.outputs["IngestQueueUrl"], MessageBody=json.dumps(event))

    # ---------------------------------------------------------------------------------------- Settings for a while

    def impatient(self, visible_after_s=6):
        """While it is open, a message that was not dealt with comes again after seconds, not minutes."""
        return Attributes(self, {"VisibilityTimeout": str(visible_after_s)})

    def taking_ordinary(self, address):
        """While it is open, a mailbox takes ordinary mail."""
        return Row(self, {"pk": {"S": f"address#{address}"}, "sk": {"S": "mailbox"}}, "takes_ordinary")

    def mailbox(self, address):
        key = {"pk": {"S": f"address#{address}"}, "sk": {"S": "mailbox"}}
        return self.aws.dynamodb.get_item(TableName=self.outputs["RegistryTable"], Key=key)["Item"]["body"]["M"]["id"]["S"]

    # ---------------------------------------------------------------------------------------- Healing

    def calm(self):
        """Nothing is broken any more."""
        self.proxies.plan = lambda call: None

    def heal(self, letters, dead=None):
        """Waits until all is well; time passes for what is owed, and `watch` ticks."""
        end = time.monotonic() + HEALED_WITHIN_S
        missed = ["queues that are never empty"]
        while not self.rests() or (missed := self.wrong(letters, dead or {})):
            if time.monotonic() > end:
                sys.exit("healing.py: failed to heal:\n" + "\n".join(missed[:20]))
            if self.rests():
                self.tick()
            time.sleep(0.3)

    def rests(self):
        """Nothing is in a queue or at work: what is owed now waits for `watch`."""
        return letter.rests(self.aws, self.outputs)

    def tick(self):
        """Five minutes pass for every debt, and watch looks."""
        past, soon = (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + s)) for s in (-1, 3600))
        for row in letter.scan(self.aws, self.outputs["LettersTable"]):
            if "due" in row and row["due"]["S"] < soon:
                self.date({name: row[name] for name in ("pk", "sk")}, past)
        self.ticks += 1
        self.aws.client("lambda").invoke(FunctionName=f"{self.stack}-watch", Payload=b"{}")

    def date(self, key, due):
        """Makes a debt due at an instant, if it is not paid meanwhile."""
        try:
            self.aws.dynamodb.update_item(
                TableName=self.outputs["LettersTable"],
                Key=key,
                UpdateExpression="SET #due = :due",
                ConditionExpression="attribute_exists(#due)",
                ExpressionAttributeNames={"#due": "due"},
                ExpressionAttributeValues={":due": {"S": due}},
            )
        except self.aws.dynamodb.exceptions.ConditionalCheckFailedException:
            pass

    def bury(self):
        """Empties the dead-letter queues."""
        for queue in QUEUES:
            self.dead(queue, delete=True)

    def dead(self, queue, delete=False):
        """Bodies in a dead-letter queue."""
        url = self.outputs[f"{queue}QueueUrl"].replace(".fifo", "") + "-dead"
        url += ".fifo" if queue == "Deliver" else ""
        bodies = []
        while messages := self.aws.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0 if not delete else 30
        ).get("Messages", []):
            bodies += [m["Body"] for m in messages]
            if not delete:
                break
            for m in messages:
                self.aws.sqs.delete_message(QueueUrl=url, ReceiptHandle=m["ReceiptHandle"])
        return bodies

    # ---------------------------------------------------------------------------------------- What is wrong

    def wrong(self, letters, dead):
        """Everything that is not as it must be in the end, in words."""
        return list(self.complaints(letters, dead))

    def complaints(self, letters, dead):
        log = [plain(item) for item in letter.log(self.aws, self.outputs)]
        rows = [plain(item) for item in letter.scan(self.aws, self.outputs["LettersTable"])]
        messages = [plain(i) for i in letter.scan(self.aws, self.outputs["MailboxesTable"]) if i["sk"]["S"].startswith("msg#")]
        mailboxes = {address: self.mailbox(address) for address in (SENDER, RECIPIENT)}
        for client_id, recipients in letters.items():
            entries = [e for e in log if e.get("client_id") == client_id]
            ids = {e["pk"] for e in entries}
            if len(ids) != 1:
                yield f"{client_id}: {len(ids)} letters"
                continue
            (pec_id,) = ids
            events = collections.Counter(kind_of(e) for e in entries)
            wanted = wanted_events(len(recipients))
            if events != wanted:
                yield f"{client_id}: log lacks {dict(wanted - events)}, has too much {dict(events - wanted)}"
            got = collections.Counter(
                (m["pk"], m["body"]["summary"]["kind"]) for m in messages if m["body"]["summary"].get("pec_id") == pec_id
            )
            filed = collections.Counter((f"mailbox#{mailboxes[r]}", "transport-envelope") for r in recipients)
            filed[f"mailbox#{mailboxes[SENDER]}", "acceptance"] += 1
            filed[f"mailbox#{mailboxes[SENDER]}", "delivery"] += len(recipients)
            if got != filed:
                yield f"{client_id}: mailboxes lack {dict(filed - got)}, have too much {dict(got - filed)}"
            yield from self.acts(client_id, pec_id, rows, entries)
        yield from (f"owed: {row['pk']} {row['sk']} {row['job']}" for row in rows if "job" in row)
        copies = letter.copies(self.aws, self.outputs)
        for entry in (e for e in log if e.get("client_id") in letters):
            if copies.get((entry["pk"], entry["sk"]), [None])[0] != entry:
                yield f"{entry['client_id']}: no copy in the vault of {entry['sk']}"
        for queue in QUEUES:
            if depth := letter.depth(self.aws, self.outputs[f"{queue}QueueUrl"]):
                yield f"queue {queue}: {depth} messages"
            if (found := self.dead(queue)) != dead.get(queue, []):
                yield f"dead letters of {queue}: {found}"

    def acts(self, client_id, pec_id, rows, entries):
        """One act, one byte string: what the log says of each act is what is stored."""
        acts = [(r["sk"], r["body"]) for r in rows if r["sk"].startswith("act#") and r["body"].get("pec_id") == pec_id]
        stored = []
        for name, act in acts:
            if not act.get("issued"):
                yield f"{client_id}: {name} is not issued"
                continue
            body = self.aws.s3.get_object(Bucket=self.outputs["DataBucket"], Key=act["target"])["Body"].read()
            stored.append(hashlib.sha256(body).hexdigest())
            if stored[-1] != act["issued"]["sha256"]:
                yield f"{client_id}: {name} is not what its row says"
        logged = sorted(e["sha256"] for e in entries if e["event"] == "issued")
        if sorted(stored) != logged:
            yield f"{client_id}: the log tells of other acts than those that are stored"


def kind_of(entry):
    return (entry["event"], entry["detail"].get("kind", "") if entry["event"] == "issued" else "")


def wanted_events(recipients):
    """What the log says of a letter to so many recipients of ours, all of them in one transaction."""
    issued = ["acceptance", "transport-envelope", "take-charge"] + ["delivery"] * recipients
    events = ["accepted", "received", "taken-in-charge", "take-charge-recorded"]
    events += ["delivered"] * recipients + ["filed"] * (recipients + 1)
    return collections.Counter([("issued", kind) for kind in issued] + [(event, "") for event in events])


class Attributes:
    """Attributes of the queues, other ones while it is open."""

    def __init__(self, world, attributes):
        self.world, self.attributes, self.before = world, attributes, {}

    def __enter__(self):
        for queue in QUEUES:
            url = self.world.outputs[f"{queue}QueueUrl"]
            got = self.world.aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(self.attributes))
            self.before[url] = got["Attributes"]
            self.world.aws.sqs.set_queue_attributes(QueueUrl=url, Attributes=self.attributes)
        return self

    def __exit__(self, *_):
        for url, attributes in self.before.items():
            self.world.aws.sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)


class Row:
    """A truth in a row of the registry, the other one while it is open."""

    def __init__(self, world, key, name):
        self.world, self.key, self.name = world, key, name

    def __enter__(self):
        self.set(True)

    def __exit__(self, *_):
        self.set(False)

    def set(self, value):
        self.world.aws.dynamodb.update_item(
            TableName=self.world.outputs["RegistryTable"],
            Key=self.key,
            UpdateExpression="SET body.#name = :value",
            ExpressionAttributeNames={"#name": self.name},
            ExpressionAttributeValues={":value": {"BOOL": value}},
        )


if __name__ == "__main__":
    main()
