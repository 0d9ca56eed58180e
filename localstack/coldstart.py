"""Size and cold start of the functions as they go to AWS, against a deployment that seed.py made.

    AWS_ENDPOINT_URL=http://127.0.0.1:4566 coldstart.py FOLDER

FOLDER has NAME/bootstrap for each function. Each is started as Lambda starts it, with the variables of its deployment,
on a Runtime API that only takes the time until it is first asked for work: what comes before is the start of the
process, the settings from the data bucket, and for those who sign the public half of the key from KMS. All of it is
this machine's time, without the way to AWS and without what AWS itself does to place a function.
"""

import http.server
import io
import os
import pathlib
import statistics
import subprocess
import sys
import threading
import time
import zipfile

import letter

ROUNDS = 7
WAIT_S_MAX = 20


def main():
    folder = pathlib.Path(sys.argv[1])
    aws, outputs = letter.deployment()
    stack = outputs["LettersTable"].removesuffix("-letters")
    print("| Function | Executable, MB | Zip, MB | Cold start to first poll, ms |")
    print("|---|---|---|---|")
    for path in sorted(folder.glob("*/bootstrap")):
        name = path.parent.name
        variables = configuration(aws, f"{stack}-{name}")["Environment"]["Variables"]
        took_ms = [start(path, name, variables, aws) for _ in range(ROUNDS)]
        size, packed = path.stat().st_size / 1e6, zipped(path) / 1e6
        print(f"| `{name}` | {size:.1f} | {packed:.1f} | {statistics.median(took_ms):.0f} |", flush=True)


def configuration(aws, function):
    return aws.client("lambda").get_function_configuration(FunctionName=function)


def zipped(path):
    """Octets of the archive that is uploaded, as `sam package` packs it."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, "bootstrap")
    return len(packed.getvalue())


def start(path, name, variables, aws):
    """Milliseconds until a fresh process asks for its first invocation."""
    asked = threading.Event()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), api(asked))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = variables | {
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_port}",
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
        "AWS_REGION": aws.session.region_name,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL": aws.endpoint,
        "PATH": os.environ["PATH"],
        "_HANDLER": name,
    }
    begin = time.monotonic()
    process = subprocess.Popen([path], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    polled = asked.wait(WAIT_S_MAX)
    took_s = time.monotonic() - begin
    process.kill()
    _, said = process.communicate()
    server.shutdown()
    server.server_close()
    if not polled:
        sys.exit(f"coldstart.py: failed to see {name} ask for work in {WAIT_S_MAX} s: {said.decode()[-2000:]}")
    return took_s * 1000


def api(asked):
    class Api(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/2018-06-01/runtime/invocation/next":
                asked.set()
                self.rfile.read(1)  # there is no work: until the process ends
            else:
                self.send_error(404)

        def do_POST(self):  # an error of its initialisation: it will not ask
            self.send_error(404)

        def log_message(self, *_):
            pass

    return Api


if __name__ == "__main__":
    main()
