"""How a peer is asked: each line on standard input is a question in JSON, each line on standard output the answer.
A bench has a `version`, and `prepare(spec)`, which returns variants: name -> f() (one iteration; its time is
measured around it) or name -> f(n) that returns seconds, where `timed` is set."""
import json
import os
import sys
import time


def time_of(f, n):
    if getattr(f, "timed", False):
        return f(n)
    start = time.perf_counter()
    for _ in range(n):
        f()
    return time.perf_counter() - start


def answer(bench, variants, question):
    ask = question["ask"]
    if ask == "version":
        return {"version": bench.version}
    if ask == "prepare":
        variants.clear()
        variants.update(bench.prepare(question["spec"]))
        return {"variants": sorted(variants)}
    return {"seconds": time_of(variants[question["variant"]], question["n"])}


def serve(bench):
    variants = {}
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not be taken for an answer
    for line in sys.stdin:
        try:
            reply = answer(bench, variants, json.loads(line))
        except Exception as e:  # the other side decides what a failed case means
            reply = {"error": str(e) or type(e).__name__}
        out.write(json.dumps(reply) + "\n")
        out.flush()
