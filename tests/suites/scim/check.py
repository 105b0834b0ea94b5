"""Runs scim2-tester against a server and prints one line for each check that is not a success, then a count.

    check.py URL          the token stands in the environment, as SCIM_TOKEN

Exit code 0: every check is a success, and there were as many as there should be. 1: not so.
"""

import collections
import os
import sys

import httpx2
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import Status, check_server

# A full run on users, the enterprise extension and groups; fewer means that something was not tried.
CHECKS_MIN = 90


def main() -> int:
    headers = {"Authorization": "Bearer " + os.environ["SCIM_TOKEN"]}
    client = SyncSCIMClient(httpx2.Client(base_url=sys.argv[1], headers=headers, timeout=30))
    results = check_server(client)
    counts = collections.Counter(result.status for result in results)
    for result in results:
        if result.status is not Status.SUCCESS:
            print(f"{result.status.name} {result.title}: {result.reason}")
    told = ", ".join(f"{count} {status.name}" for status, count in sorted(counts.items(), key=lambda c: c[0].name))
    print(f"{len(results)} checks: {told}")
    return 0 if set(counts) == {Status.SUCCESS} and len(results) >= CHECKS_MIN else 1


sys.exit(main())
