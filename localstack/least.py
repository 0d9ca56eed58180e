"""Sees that every call that the functions make is one that their roles allow: no emulator enforces policies. Against a
deployment that seed.py made.

Between each function and the emulator stands a proxy that writes down what is asked for. Then letters go through all
stages: one that is delivered, one with a virus, one to nobody; and watch ticks.
"""

import sys
import urllib.parse

import demo
import letter
import seed
import test_template
from proxy import Proxies

# The test file of antivirus makers, in two parts, lest a scanner takes this script for one.
EICAR = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
REGION, ACCOUNT = "eu-south-1", "000000000000"


def main():
    aws, outputs = letter.deployment()
    stack = outputs["LettersTable"].removesuffix("-letters")
    asked = set()
    with Proxies(aws, stack) as proxies:
        proxies.listeners.append(lambda call: asked.update((call.function, *asks) for asks in actions(call)))
        work(aws, outputs, stack)
        names = proxies.names
    silent = set(names) - {function for function, _, _ in asked} - {"dispatch", "directory"}  # nothing went to other systems; the index comes daily (directory.py)
    seed.require(not silent, f"calls of {sorted(silent)}")
    refused = sorted(call for call in asked if not allowed(stack, *call))
    for function, action, resource in refused:
        print(f"{function} may not {action} on {resource}", file=sys.stderr)
    if refused:
        sys.exit(f"least.py: failed to find {len(refused)} of {len(asked)} calls in the policies of their roles")
    kinds, seen = {(f, a) for f, a, _ in asked}, {f for f, _, _ in asked}
    print(f"{len(kinds)} kinds of calls of {len(seen)} functions, all allowed by their roles")


def work(aws, outputs, stack):
    """Letters through all stages, and a tick."""
    before = letter.filed(aws, outputs)
    letter.submit(aws, outputs["DataBucket"])
    letter.submit(aws, outputs["DataBucket"], text=EICAR)
    letter.submit(aws, outputs["DataBucket"], recipients=[f"nessuno@{demo.DOMAIN}"])
    wanted = {
        ("mittente", "acceptance"): 2,
        ("mittente", "delivery"): 1,
        ("mittente", "non-acceptance-virus"): 1,
        ("mittente", "non-delivery"): 1,
        ("destinatario", "transport-envelope"): 1,
    }
    letter.until(lambda: letter.filed(aws, outputs) - before == wanted, lambda: letter.filed(aws, outputs) - before)
    letter.until(lambda: not letter.missing(aws, outputs), lambda: letter.missing(aws, outputs))
    ticked = aws.client("lambda").invoke(FunctionName=f"{stack}-watch", Payload=b"{}")
    seed.require("FunctionError" not in ticked, "a tick of watch")


# ------------------------------------------------------------------------------------------------ Policies


def allowed(stack, function, action, resource):
    test_template.PSEUDO.update({"AWS::StackName": stack, "AWS::AccountId": ACCOUNT, "AWS::Region": REGION})
    if action.startswith("kms:"):  # by the key's policy alone
        return function in ("seal", "certify", "notarize") and action in ("kms:Sign", "kms:GetPublicKey")
    template = test_template.Template(**test_template.GATEWAY, **test_template.DIRECTORY)
    log = template.of("AWS::DynamoDB::Table")["LegalLogTable"]["ResourcePolicy"]["PolicyDocument"]["Statement"]
    vault = template.of("AWS::S3::BucketPolicy")["VaultBucketPolicy"]["PolicyDocument"]["Statement"]
    guards = log + [s for s in vault if "Condition" not in s]
    return test_template.may(template.roles()[function] + guards, action, resource)


# ------------------------------------------------------------------------------------------------ Calls as IAM names them


def actions(call):
    """Actions and resources, as IAM names them, of one request."""
    if call.service == "dynamodb":
        yield from table_actions(call.operation, call.said)
    elif call.service == "sqs":
        queue = call.said["QueueUrl"].rpartition("/")[2]
        yield f"sqs:{call.operation.removesuffix('Batch')}", f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}"
    elif call.service == "kms":
        yield f"kms:{call.operation}", call.said["KeyId"]
    else:
        yield from object_actions(call)


def table_actions(operation, said):
    def arn(table):
        return f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{table}"

    if operation == "TransactWriteItems":
        actions = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem"}
        for item in said["TransactItems"]:
            ((kind, of),) = item.items()
            yield f"dynamodb:{actions[kind]}", arn(of["TableName"])
    elif operation == "BatchGetItem":
        for table in said["RequestItems"]:
            yield "dynamodb:BatchGetItem", arn(table)
    else:
        index = f"/index/{said['IndexName']}" if "IndexName" in said else ""
        yield f"dynamodb:{operation}", arn(said["TableName"]) + index


def object_actions(call):
    bucket, key = call.place()
    arn = f"arn:aws:s3:::{bucket}"
    if not key:
        yield "s3:ListBucket", arn
        return
    if source := call.headers.get("x-amz-copy-source"):
        yield "s3:GetObject", f"arn:aws:s3:::{urllib.parse.unquote(source).lstrip('/')}"
    names = {"GET": "s3:GetObject", "HEAD": "s3:GetObject", "PUT": "s3:PutObject", "DELETE": "s3:DeleteObject"}
    yield names[call.method], f"{arn}/{key}"
    if call.status == 404:  # S3 tells it to those only who may list
        yield "s3:ListBucket", arn


if __name__ == "__main__":
    main()
