#!/usr/bin/env python3
"""What a Celery app usually begins with, as a handler for tq: any executable will do.

    tq work ./handlers
    tq push process_task '{"id": "42", "seconds": 20}' \\
        --retries 3 --backoff 5s --soft-timeout 240s --timeout 300s --wait

The payload comes on stdin, what is printed on stdout is the result, what goes to stderr is the log. Exit 0 is success, 75 means
"later", 78 "never mind retrying"; anything else is a failure, which is retried.
"""

import json
import os
import signal
import subprocess
import sys
import time


class SoftLimit(Exception):
    """TERM: the soft limit, the hard limit, a cancel, or a worker that stops. KILL follows if we stay."""


def on_term(_signal, _frame):
    raise SoftLimit()


def progress(fraction, message):
    """What `tq show` says while this runs."""
    subprocess.run(["tq", "progress", f"{fraction:.3f}", message], check=False)


def work(task):
    steps = 10
    for step in range(1, steps + 1):
        time.sleep(task.get("seconds", 1) / steps)
        progress(step / steps, f"step {step} of {steps}")
    return {"id": task["id"], "status": "completed"}


def main():
    signal.signal(signal.SIGTERM, on_term)
    attempt = int(os.environ["TQ_ATTEMPT"])
    try:
        task = json.load(sys.stdin)
        task["id"]
    except (ValueError, KeyError, TypeError) as error:
        print(f"a payload without an id: {error!r}", file=sys.stderr)
        return 78
    print(f"attempt {attempt} for {task['id']}", file=sys.stderr)
    try:
        if attempt <= task.get("fail", 0):
            raise RuntimeError("the service does not answer")
        result = work(task)
    except SoftLimit:
        # Clean up here. To return a part of the work and exit 0 counts as success; to fail would be retried.
        result = {"id": task["id"], "status": "stopped early"}
    json.dump(result, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
