"""Celery as its users run it: JSON, results kept. `celery -A celery_app worker`, or `python3 celery_app.py COUNT` to enqueue."""
import json
import os
import sys
import time

from celery import Celery

url = os.environ["BROKER"]
app = Celery("celery_app", broker=url, backend=url)
app.conf.update(task_serializer="json", result_serializer="json", accept_content=["json"])


@app.task(name="noop")
def noop(n):
    return {"ok": True}


if __name__ == "__main__":
    count = int(sys.argv[1])
    start = time.monotonic()
    for n in range(count):
        noop.delay(n)
    print(json.dumps({"millis": (time.monotonic() - start) * 1000}))
