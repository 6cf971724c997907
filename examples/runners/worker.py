#!/usr/bin/env python3
"""A runner for tq in Python: it stays, and runs many tasks, several at once.

    tq work --runner 'python3 worker.py'
    tq push count_words '"to be or not to be"' --wait
    tq push countdown '{"from": 5}' --soft-timeout 30s --wait

Lines of JSON come on file descriptor 3 and go out on 4; stdout and stderr are log. README.md has the protocol.
"""

import json
import os
import threading
from collections import Counter

MOST_AT_ONCE = 8

inbox = os.fdopen(3, encoding="utf-8")
outbox = os.fdopen(4, "w", encoding="utf-8")
sending = threading.Lock()
running = {}


def send(**message):
    """One line, whole, whichever thread it comes from."""
    with sending:
        outbox.write(json.dumps(message) + "\n")
        outbox.flush()


class NoRetry(Exception):
    """This failure is final."""


class RetryLater(Exception):
    """Not now: nothing is charged."""

    def __init__(self, millis):
        super().__init__(f"again in {millis} ms")
        self.millis = millis


class Cancelled(Exception):
    """The task took heed of its limit, or was told to stop."""


class Context:
    def __init__(self, message):
        self.run = message["run"]
        self.id = message["id"]
        self.attempt = message["attempt"]
        self.cancelled = threading.Event()
        self.reason = None

    def progress(self, fraction, message=None):
        send(type="progress", run=self.run, fraction=fraction, **({"message": message} if message else {}))

    def log(self, text):
        send(type="log", run=self.run, text=text + "\n")

    def sleep(self, seconds):
        """Ends early, with Cancelled, at the soft limit and at a cancel."""
        if self.cancelled.wait(seconds):
            raise Cancelled(self.reason)


# ── the tasks ──────────────────────────────────────────────────────────────────────────────────────────────────────


def count_words(payload, ctx):
    if not isinstance(payload, str):
        raise NoRetry("the payload must be a text")
    ctx.log(f"attempt {ctx.attempt}, {len(payload)} characters")
    return dict(Counter(payload.split()))


def countdown(payload, ctx):
    left = start = payload["from"]
    try:
        while left > 0:
            ctx.sleep(payload.get("seconds", 1))
            left -= 1
            ctx.progress(1 - left / start, f"{left} left")
    except Cancelled as cancelled:
        # A run that still returns after its soft limit counts.
        return {"left": left, "cancelled": str(cancelled)}
    return {"left": 0}


def flaky(payload, ctx):
    if ctx.attempt <= payload["fail"]:
        raise RuntimeError(f"attempt {ctx.attempt} fails")
    return ctx.attempt


def patient(payload, ctx):
    if not os.path.exists(payload["file"]):
        raise RetryLater(200)
    return "it is there"


TASKS = {task.__name__: task for task in (count_words, countdown, flaky, patient)}

# ── the protocol ───────────────────────────────────────────────────────────────────────────────────────────────────


def perform(message, ctx):
    try:
        result = TASKS[message["name"]](message["payload"], ctx)
        send(type="result", run=ctx.run, result=result)
    except RetryLater as later:
        send(type="error", run=ctx.run, message=str(later), later=later.millis)
    except Exception as error:  # whatever a task throws is its failure, not ours
        send(type="error", run=ctx.run, message=str(error) or repr(error), retry=not isinstance(error, NoRetry))
    finally:
        del running[ctx.run]


def main():
    send(type="hello", protocol=1, tasks=list(TASKS), maxInFlight=MOST_AT_ONCE)
    for line in inbox:
        message = json.loads(line)
        if message["type"] == "task":
            ctx = running[message["run"]] = Context(message)
            threading.Thread(target=perform, args=(message, ctx), daemon=True).start()
        elif message["type"] == "cancel":
            ctx = running.get(message["run"])
            if ctx:
                ctx.reason = message["reason"]
                ctx.cancelled.set()
        elif message["type"] == "ping":
            send(type="pong", n=message["n"])
        elif message["type"] == "bye":
            break
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join()


if __name__ == "__main__":
    main()
