"""The emulator of AWS with what it lacks: to be run with the Python of a virtual environment that has ministack.

    emulator.py            runs it; settings come from the environment (BIND_HOST, GATEWAY_PORT, ...)
    emulator.py --keep     the same in a process of its own, which ends when our standard input does

What is added: CopyObject obeys `If-None-Match` on its target, as S3 does and the emulator's PutObject does too.
"""

import os
import signal
import subprocess
import sys


def run():
    from ministack import app
    from ministack.services import s3

    copy = s3._copy_object

    def conditional_copy(bucket_name, dest_key, headers):
        bucket = s3._ensure_bucket(bucket_name)
        refused = bucket and s3._check_put_preconditions(headers, bucket.get("objects", {}).get(dest_key))
        return refused or copy(bucket_name, dest_key, headers)

    s3._copy_object = conditional_copy
    sys.argv = ["ministack"]
    app.main()


def keep():
    child = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.DEVNULL, stdout=2, start_new_session=True
    )
    sys.stdin.read()
    # The functions that it started can outlive it: the whole group ends.
    os.killpg(child.pid, signal.SIGTERM)
    try:
        child.wait(10)
    except subprocess.TimeoutExpired:
        pass
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


if __name__ == "__main__":
    keep() if "--keep" in sys.argv else run()
