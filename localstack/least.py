"""Sees that every call that the functions make is one that their roles allow: no emulator enforces policies. Against a
deployment that seed.py made.

Between each function and the emulator stands a proxy that writes down what is asked for. Then letters go through all
stages: one that is delivered, one with a virus, one to nobody; and watch ticks.
"""

import http.client
import http.server
import json
import sys
import threading
import urllib.parse

import demo
import letter
import seed
import test_template

SERVICES = ["DYNAMODB", "S3", "SQS", "KMS"]
# The test file of antivirus makers, in two parts, lest a scanner takes this script for one.
EICAR = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
REGION, ACCOUNT = "eu-south-1", "000000000000"


def main():
    aws, outputs = letter.deployment()
    stack = outputs["LettersTable"].removesuffix("-letters")
    asked = set()
    names = [name.removeprefix(f"{stack}-") for name in functions(aws, stack)]
    proxies = {f"{stack}-{name}": proxy(name, aws.endpoint, asked) for name in names}
    with Redirected(aws, proxies):
        work(aws, outputs, stack)
    silent = set(names) - {function for function, _, _ in asked} - {"dispatch"}  # nothing went to other systems
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
    letter.submit(aws, outputs["DataBucket"], recipient=f"nessuno@{demo.DOMAIN}")
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


def functions(aws, stack):
    pages = aws.client("lambda").get_paginator("list_functions").paginate()
    return [f["FunctionName"] for page in pages for f in page["Functions"] if f["FunctionName"].startswith(f"{stack}-")]


class Redirected:
    """While it is open, functions speak to their proxies."""

    def __init__(self, aws, proxies):
        self.functions = aws.client("lambda")
        self.proxies = proxies
        self.before = {name: self.variables(name) for name in proxies}

    def variables(self, function):
        return self.functions.get_function_configuration(FunctionName=function)["Environment"]["Variables"]

    def __enter__(self):
        for name, server in self.proxies.items():
            address = f"http://127.0.0.1:{server.server_port}"
            self.set(name, self.before[name] | {f"AWS_ENDPOINT_URL_{service}": address for service in SERVICES})

    def __exit__(self, *_):
        for name, variables in self.before.items():
            self.set(name, variables)

    def set(self, function, variables):
        self.functions.update_function_configuration(FunctionName=function, Environment={"Variables": variables})


# ------------------------------------------------------------------------------------------------ Policies


def allowed(stack, function, action, resource):
    test_template.PSEUDO.update({"AWS::StackName": stack, "AWS::AccountId": ACCOUNT, "AWS::Region": REGION})
    if action.startswith("kms:"):  # by the key's policy alone
        return function in ("seal", "certify") and action in ("kms:Sign", "kms:GetPublicKey")
    template = test_template.Template()
    log = template.of("AWS::DynamoDB::Table")["LegalLogTable"]["ResourcePolicy"]["PolicyDocument"]["Statement"]
    vault = template.of("AWS::S3::BucketPolicy")["VaultBucketPolicy"]["PolicyDocument"]["Statement"]
    guards = log + [s for s in vault if "Condition" not in s]
    return test_template.may(template.roles()[function] + guards, action, resource)


# ------------------------------------------------------------------------------------------------ The proxy


def proxy(function, endpoint, asked):
    target = urllib.parse.urlsplit(endpoint).netloc

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self):
            body = self.body()
            connection = http.client.HTTPConnection(target, timeout=60)
            kept = {k: v for k, v in self.headers.items() if k.lower() not in ("transfer-encoding", "connection")}
            connection.request(self.command, self.path, body, kept | {"Content-Length": str(len(body))})
            answer = connection.getresponse()
            octets = answer.read()
            for action, resource in calls(self.command, self.path, self.headers, body, answer.status):
                asked.add((function, action, resource))
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                    self.send_header(name, value)
            # The length that the answer to a HEAD tells is the object's.
            length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(octets))
            self.send_header("Content-Length", length or "0")
            self.end_headers()
            self.wfile.write(octets)
            connection.close()

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any

        def body(self):
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            octets = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                octets += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return octets

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def calls(method, path, headers, body, status):
    """Actions and resources, as IAM names them, of one request."""
    service, _, operation = headers.get("X-Amz-Target", "").partition(".")
    said = json.loads(body) if service else {}
    if service.startswith("DynamoDB"):
        yield from table_calls(operation, said)
    elif service == "AmazonSQS":
        queue = said["QueueUrl"].rpartition("/")[2]
        yield f"sqs:{operation.removesuffix('Batch')}", f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}"
    elif service == "TrentService":
        yield f"kms:{operation}", said["KeyId"]
    else:
        yield from object_calls(method, path, headers, status)


def table_calls(operation, said):
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


def object_calls(method, path, headers, status):
    parts = urllib.parse.urlsplit(path)
    bucket, _, key = urllib.parse.unquote(parts.path).lstrip("/").partition("/")
    arn = f"arn:aws:s3:::{bucket}"
    if not key:
        yield "s3:ListBucket", arn
        return
    if source := headers.get("x-amz-copy-source"):
        yield "s3:GetObject", f"arn:aws:s3:::{urllib.parse.unquote(source).lstrip('/')}"
    actions = {"GET": "s3:GetObject", "HEAD": "s3:GetObject", "PUT": "s3:PutObject", "DELETE": "s3:DeleteObject"}
    yield actions[method], f"{arn}/{key}"
    if status == 404:  # S3 tells it to those only who may list
        yield "s3:ListBucket", arn


if __name__ == "__main__":
    main()
