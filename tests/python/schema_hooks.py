"""What `schemathesis` is told about a server: ids of things that are there, and what it must leave alone.

Without ids that exist nearly every request would end in 404. Three of four requests get one; the choice follows from what was
generated, so that a run can be repeated by its seed. KNOWN_IDS is JSON: {path parameter: [id, ...]}. PROTECTED_IDS are the ids of the run's
own tenant and key, which nothing may change.
"""

import json
import os
import zlib

import schemathesis

KNOWN = json.loads(os.environ["KNOWN_IDS"])
PROTECTED = json.loads(os.environ["PROTECTED_IDS"])


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    mapped = dict(path_parameters or {})
    for name, value in mapped.items():
        known = KNOWN.get(name, [])
        choice = zlib.crc32(repr(value).encode())
        if known and choice % 4:
            mapped[name] = known[choice // 4 % len(known)]
    return mapped


@schemathesis.hook
def filter_case(context, case):
    named = [str(value) for value in (case.path_parameters or {}).values()]
    if case.method.upper() == "GET":
        # The stream of a job that goes on has no end: only that of the first job, which has ended, is followed.
        return "stream" not in (case.query or {}) or KNOWN["fine_tuning_job_id"][0] in named
    return not any(id in value for value in named for id in PROTECTED)


@schemathesis.hook
def map_case(context, case):
    # Few generated requests would ask for a stream and be about the job that has ended: those that ask for nothing do.
    if case.path.endswith("/events") and case.method.upper() == "GET" and not case.query:
        case.path_parameters = {"fine_tuning_job_id": KNOWN["fine_tuning_job_id"][0]}
        case.query = {"stream": "true"}
    return case
