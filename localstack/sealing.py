"""The seal of the legal log, by the deployed function `notarize`, with the timestamps of a real authority (openssl's).

    AWS_ENDPOINT_URL=http://127.0.0.1:4566 sealing.py SIGILLO

The function's tick makes the first segment, and no other on the same day. What is in the vault then is verified by
`sigillo audit verify` with certificates alone. Without an answer of the authority the tick fails, and the next one goes
on. Every call must be one that the function's role allows. What is in segments, shared/aws/tests/sealing.rs shows: copies of
the log are sealed when they are some minutes old.
"""

import http.server
import json
import pathlib
import subprocess
import sys
import tempfile
import threading

import demo
import least
import letter
import seed
from proxy import Proxies

CA = "settings/timestamps-ca.pem"
CONFIG = """[tsa]
serial=serial
crypto_device=builtin
signer_digest=sha256
default_policy=1.2.3.4.1
digests=sha256
accuracy=secs:1
ess_cert_id_chain=no
ess_cert_id_alg=sha256
"""


def main():
    program = pathlib.Path(sys.argv[1]).resolve()
    aws, outputs = letter.deployment()
    stack, asked = outputs["LettersTable"].removesuffix("-letters"), set()
    with tempfile.TemporaryDirectory() as scratch:
        authority = Authority(pathlib.Path(scratch))
        demo.put(aws, outputs["DataBucket"], CA, (authority.folder / "ca.pem").read_bytes())
        with authority, Proxies(aws, stack, {"SIGILLO_TIMESTAMPS_URL": authority.url}) as proxies:
            proxies.listeners.append(lambda call: asked.update((call.function, *asks) for asks in least.actions(call)))
            # 1. Nobody says when; then somebody does, and what was begun is finished.
            authority.answers = False
            seed.require(tick(aws, stack) is None, "a seal to wait for its timestamp")
            authority.answers = True
            seed.require(tick(aws, stack) == {"segments": 0}, "the timestamp that was missing")
            seed.require(tick(aws, stack) == {"segments": 0}, "one seal a day")

        # 2. It holds, by files and certificates.
        seals = pathlib.Path(scratch) / "seals"
        seals.mkdir()
        for key, octets in letter.vault(aws, outputs, "vault/seals/"):
            (seals / key.rpartition("/")[2]).write_bytes(octets)
        names = sorted(file.name for file in seals.iterdir())
        seed.require(names == [f"0000000001.{suffix}" for suffix in ("jsonl", "p7m", "tst")], f"a segment: {names}")
        anchors = pathlib.Path(scratch) / "anchors.pem"
        anchors.write_bytes(aws.s3.get_object(Bucket=outputs["DataBucket"], Key=demo.ANCHORS)["Body"].read())
        words = [program, "audit", "verify", seals, "--ca", anchors, "--timestamps-ca", authority.folder / "ca.pem", "--json"]
        done = subprocess.run(words, capture_output=True, check=False)
        said = json.loads(done.stdout or b"{}")
        seed.require(done.returncode == 0 and said["found"][0]["stamped_at"], f"a seal that holds: {said} {done.stderr}")
    calls = [call for call in asked if call[0] == "notarize"]
    not_allowed = sorted(call for call in calls if not least.allowed(stack, *call))
    seed.require(calls and not not_allowed, f"calls that the role does not allow: {not_allowed}")
    print(f"the log was sealed, with a timestamp; {len(calls)} kinds of calls, all allowed by the role")


def tick(aws, stack):
    answer = aws.client("lambda").invoke(FunctionName=f"{stack}-notarize", Payload=b"{}")
    said = json.loads(answer["Payload"].read())
    return None if "FunctionError" in answer else said


class Authority:
    """openssl as an authority of timestamps, asked by HTTP."""

    def __init__(self, folder):
        self.folder, self.answers = folder / "authority", True
        self.folder.mkdir()
        (self.folder / "tsa.cnf").write_text(CONFIG)
        (self.folder / "serial").write_text("01\n")
        new = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-batch"]
        self.openssl(*new, "-subj", "/CN=Test timestamps CA", "-keyout", "ca.key", "-out", "ca.pem")
        usage = ["-addext", "extendedKeyUsage=critical,timeStamping", "-addext", "basicConstraints=critical,CA:FALSE"]
        signed = ["-CA", "ca.pem", "-CAkey", "ca.key", *usage]
        self.openssl(*new, "-subj", "/CN=Test timestamps", "-keyout", "tsa.key", "-out", "tsa.pem", *signed)
        authority = self

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                query = self.rfile.read(int(self.headers["Content-Length"]))
                reply = authority.stamp(query) if authority.answers else b""
                self.send_response(200 if authority.answers else 503)
                self.send_header("Content-Type", "application/timestamp-reply")
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"

    def openssl(self, *words):
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True)

    def stamp(self, query):
        (self.folder / "query").write_bytes(query)
        words = ["ts", "-reply", "-config", "tsa.cnf", "-section", "tsa", "-queryfile", "query"]
        self.openssl(*words, "-signer", "tsa.pem", "-inkey", "tsa.key", "-out", "reply")
        return (self.folder / "reply").read_bytes()

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()


if __name__ == "__main__":
    main()
