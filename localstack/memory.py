"""Sends a letter of 30 MB, and fails when a function needed more memory for it than it may. Against a deployment that
seed.py made.

    AWS_ENDPOINT_URL=http://127.0.0.1:4566 memory.py

Measured is the most that each process ever had in memory (VmHWM), its program's pages included, of processes that were
started for this letter.
"""

import pathlib
import re
import sys

import faults
import letter
from proxy import Proxies

MIB = 1024 * 1024
LETTER_BYTES = 30 * MIB - 4096  # the law's 30 MB, with its header and our trace
MEMORY_MIB_MAX = 128
WORKING = ["ingest", "accept", "seal", "certify", "receive", "deliver", "notarize"]


def main():
    aws, outputs = letter.deployment()
    stack = outputs["LettersTable"].removesuffix("-letters")
    with Proxies(aws, stack):  # other settings: functions start anew
        before = letter.filed(aws, outputs)
        line = "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod.\r\n"
        letter.submit(aws, outputs["DataBucket"], text=line * (LETTER_BYTES // len(line)))
        filed = lambda: letter.filed(aws, outputs) - before
        letter.until(lambda: filed() == letter.WANTED, filed)
        letter.until(lambda: not letter.missing(aws, outputs), lambda: letter.missing(aws, outputs))
        peaks = {function: max(map(peak_mib, faults.processes(aws.endpoint, function))) for function in WORKING}
    print(f"memory for a letter of {LETTER_BYTES / MIB:.1f} MB, MiB at most: ", end="")
    print(", ".join(f"{function} {peak:.0f}" for function, peak in peaks.items()))
    over = {function for function, peak in peaks.items() if peak >= MEMORY_MIB_MAX}
    if over:
        sys.exit(f"memory.py: failed to keep within {MEMORY_MIB_MAX} MiB: {', '.join(sorted(over))}")


def peak_mib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


if __name__ == "__main__":
    main()
