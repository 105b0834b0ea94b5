"""Fills a gateway with people, groups, machines and so on that may be thrown away, and lists their ids.

    prepare.py OPERATOR SCIM     the tokens stand in the environment, as DOORWARD_TOKEN and SCIM_TOKEN

Writes `*.dict` here, which `schemathesis.toml` reads: so most calls are about something that is there.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request

OPERATOR, SCIM = sys.argv[1:]
USER = "urn:ietf:params:scim:schemas:core:2.0:User"


def ask(base: str, token: str, form: str, path: str, body: dict | None = None, method: str | None = None) -> dict:
    headers = {"Authorization": "Bearer " + os.environ[token], "Content-Type": form}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(base + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        sys.exit(f"{request.get_method()} {path}: {error.code} {error.read().decode()}")


def operator(path: str, body: dict | None = None, method: str | None = None) -> dict:
    return ask(OPERATOR, "DOORWARD_TOKEN", "application/json", "/api/v1/" + path, body, method)


def provisioned(name: str) -> str:
    body = {"schemas": [USER], "userName": name, "active": True, "emails": [{"value": name + "@corp.example", "type": "work"}]}
    return ask(SCIM, "SCIM_TOKEN", "application/scim+json", "/Users", body)["id"]


def machine(kind: str, name: str, owner: str) -> str:
    body = {"user": "demo:" + name, "name": name, "purpose": "is tried", "owner": owner, "expires_at": 4_000_000_000_000}
    return operator(kind, body)["id"]


def write(name: str, values: list[str]) -> None:
    with open(name + ".dict", "w", encoding="utf-8") as file:
        file.writelines(f'"{value}"\n' for value in values)


invited = [operator("users", {"user_name": f"invited{i}", "emails": [f"invited{i}@corp.example"]})["id"] for i in range(4)]
people = [provisioned(f"person{i}") for i in range(12)]
groups = [operator("groups", {"name": f"group{i}", "members": people[i : i + 2]})["id"] for i in range(6)]
accounts = [machine("service-accounts", f"account{i}", people[i]) for i in range(12)]
agents = [machine("agents", f"agent{i}", people[i]) for i in range(12)]
# Who leaves with machines owes them to somebody, and leaves a case behind.
left = [operator(f"users/{people[i]}/deactivate", {"cause": "is tried"}) for i in (0, 1)]
devices = [operator("devices", {"id": f"laptop-{i}", "name": "A laptop", "owner": people[2 + i]})["id"] for i in range(8)]
connections = [operator("connections", {"name": f"spare{i}", "issuer": "demo"}) for i in range(6)]
tokens = [token["name"] for connection in connections for token in connection["tokens"]]
soon = round(time.time() * 1000) + 30 * 24 * 3600 * 1000
for account in accounts[2:]:
    made = operator(f"service-accounts/{account}/tokens", {"label": "ci", "expires_at": soon})
    tokens += [token["name"] for token in made["tokens"]]
debts = [debt["id"] for debt in operator("debts?open=true")["debts"]]
if not debts:
    sys.exit("nothing is owed, so nothing can be settled")

write("people", invited + people)
write("groups", groups)
write("accounts", accounts)
write("agents", agents)
write("connections", [connection["name"] for connection in connections])
write("tokens", tokens)
write("debts", debts)
write("devices", devices)
write("receipts", [change["receipt"]["id"] for change in left])
