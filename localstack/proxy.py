"""A proxy between functions and an emulator of AWS: whoever listens is told of every call, and a plan may break calls.

Each function has a port of its own here, so that a call is known by who makes it. What a plan answers for a call is a
function of one exchange: it may forward the request, once or twice or never, and it may reply with what came, with
something else, or hang up (faults.py).
"""

import http.client
import http.server
import json
import sys
import threading
import urllib.parse

SERVICES = ["DYNAMODB", "S3", "SQS", "KMS"]
TARGETS = {"DynamoDB_20120810": "dynamodb", "AmazonSQS": "sqs", "TrentService": "kms"}
PIECE = 64 * 1024
HOP = {"transfer-encoding", "connection", "content-length", "expect", "keep-alive"}


class Call:
    """A request: which function made it, and what it asks of which service."""

    def __init__(self, function, method, path, headers, body=None):
        self.function, self.method, self.path, self.headers, self.body = function, method, path, headers, body
        target, _, operation = headers.get("X-Amz-Target", "").partition(".")
        self.service = TARGETS.get(target, "s3")
        self.operation = operation if self.service != "s3" else self.object_operation()
        self.said = json.loads(body) if body else {}
        self.status, self.answer = None, b""

    @staticmethod
    def is_json(headers):
        return "X-Amz-Target" in headers

    def object_operation(self):
        if not self.place()[1]:
            return "ListObjects"
        if self.method == "PUT":
            return "CopyObject" if "x-amz-copy-source" in self.headers else "PutObject"
        return self.method.capitalize() + "Object"

    def place(self):
        """Bucket and key of a call to S3."""
        bucket, _, key = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path).lstrip("/").partition("/")
        return bucket, key


class Answer:
    """What is replied: a body of octets, or one that is still to be read."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body


class Proxies:
    """The proxies of all functions of a stack. While it is open, functions speak to them.

    `plan` answers a fault for a call, or nothing; `listeners` are told of each call that the emulator has answered.
    """

    def __init__(self, aws, stack, variables=None):
        self.functions, self.further = aws.client("lambda"), variables or {}
        self.target = urllib.parse.urlsplit(aws.endpoint).netloc
        self.lock = threading.Lock()
        self.listeners, self.plan = [], lambda call: None
        pages = self.functions.get_paginator("list_functions").paginate()
        names = [f["FunctionName"] for page in pages for f in page["Functions"]]
        self.names = [name.removeprefix(f"{stack}-") for name in names if name.startswith(f"{stack}-")]
        self.stack, self.servers = stack, {name: self.serve(name) for name in self.names}
        self.before = {name: self.variables(name) for name in self.names}

    def serve(self, function):
        server = Server(("127.0.0.1", 0), Exchange)
        server.function, server.proxies = function, self
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def variables(self, name):
        """The function's own, without what proxies that ended all of a sudden have left."""
        said = self.functions.get_function_configuration(FunctionName=f"{self.stack}-{name}")["Environment"]["Variables"]
        return {k: v for k, v in said.items() if not k.startswith("AWS_ENDPOINT_URL_")}

    def __enter__(self):
        for name in self.servers:
            self.vary(name, {})
        return self

    def vary(self, name, variables):
        """Sets further variables of one function, for as long as the proxies are open."""
        address = f"http://127.0.0.1:{self.servers[name].server_port}"
        endpoints = {f"AWS_ENDPOINT_URL_{service}": address for service in SERVICES}
        self.set(name, self.before[name] | self.further | variables | endpoints)

    def __exit__(self, *_):
        for name, variables in self.before.items():
            self.set(name, variables)
        for server in self.servers.values():
            server.shutdown()

    def set(self, name, variables):
        self.functions.update_function_configuration(
            FunctionName=f"{self.stack}-{name}", Environment={"Variables": variables}
        )

    def tell(self, call):
        with self.lock:
            for listener in self.listeners:
                listener(call)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        if not isinstance(sys.exception(), ConnectionError):  # a function that hangs up has its reasons
            super().handle_error(request, client_address)


class Exchange(http.server.BaseHTTPRequestHandler):
    """One connection of a function."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    call = None

    def handle_any(self):
        self.read = False
        body = b"".join(self.pieces()) if Call.is_json(self.headers) else None
        self.call = Call(self.server.function, self.command, self.path, self.headers, body)
        fault = self.server.proxies.plan(self.call)
        if fault:
            fault(self)
        else:
            self.reply(self.forward())

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any

    # ---------------------------------------------------------------------------------------- What a fault may do

    def forward(self, body=None):
        """Makes the call, and gives the answer."""
        call = self.call
        body = body or call.body
        upstream = http.client.HTTPConnection(self.server.proxies.target, timeout=120)
        upstream.putrequest(call.method, call.path, skip_host=True, skip_accept_encoding=True)
        for name, value in call.headers.items():
            if name.lower() not in HOP:
                upstream.putheader(name, value)
        length = str(len(body)) if body is not None else call.headers.get("Content-Length")
        chunked = length is None and "Transfer-Encoding" in call.headers
        upstream.putheader(*(("Transfer-Encoding", "chunked") if chunked else ("Content-Length", length or "0")))
        pieces = [body] if body is not None else self.pieces()
        upstream.endheaders(pieces, encode_chunked=chunked)
        answer = upstream.getresponse()
        call.status = answer.status
        if call.service != "s3":
            call.answer = answer.read()
        self.server.proxies.tell(call)
        return Answer(answer.status, answer.getheaders(), call.answer if call.service != "s3" else answer)

    def reply(self, answer, sent=None):
        """Answers the function; with `sent` only this much of the body, then the connection ends."""
        self.discard()
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            if name.lower() not in HOP:
                self.send_header(name, value)
        if isinstance(answer.body, bytes):
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body if sent is None else sent)
            self.close_connection |= sent is not None
            return
        length = answer.body.getheader("Content-Length")
        # The length that the answer to a HEAD tells is the object's.
        body = b"" if self.command == "HEAD" else answer.body
        if length is None:
            body = body and body.read()
            length = len(body)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        while body:
            piece = body if isinstance(body, bytes) else body.read(PIECE)
            self.wfile.write(piece)
            body = body if len(piece) == PIECE and not isinstance(body, bytes) else b""

    def discard(self):
        """Reads what is left of the request."""
        for _ in self.pieces():
            pass

    def hang_up(self):
        """No answer: the connection ends."""
        self.close_connection = True

    # ---------------------------------------------------------------------------------------- The body of a request

    def pieces(self):
        if self.read:
            return
        self.read = True
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield from self.exactly(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            yield from self.exactly(int(self.headers.get("Content-Length", 0)))

    def exactly(self, size):
        while size:
            piece = self.rfile.read(min(size, PIECE))
            if not piece:
                raise ConnectionError("the function hung up")
            size -= len(piece)
            yield piece

    def log_message(self, *_):
        pass
