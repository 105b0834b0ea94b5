#!/usr/bin/env python3
"""Doorward beside nginx and Envoy, in one run: requests/s, latency, CPU per request, memory.

    tests/bench/run            all of it, about fifteen minutes
    tests/bench/run --quick    shorter runs, for trying the script

One upstream (nginx) and the load (wrk) on core 0; the proxy under test alone on core 1 with one
worker. CPU per request is user + system time of the proxy's process over the requests that it
answered. Before a load each guard must refuse whom it should; after it each request must be in the
guard's log. Prints Markdown. Ends only processes that it started.
"""
import argparse, dataclasses, http.client, os, pathlib, re, resource, shutil, socket, statistics, subprocess, sys, tempfile, time
import typing

from people import People
from process import Process, free_port
from subjects import TOP, doorward, envoy, nginx

HERE = pathlib.Path(__file__).resolve().parent
IP_BIND_ADDRESS_NO_PORT = 24  # ip(7); Python 3.11 has no name for it
CONNECTIONS = 32
HOST = "app0.bench.example"
# More than Doorward remembers (TOKEN_CACHE_ENTRIES_MAX), one after the other: none is found again.
FORGOTTEN = 60_000
MANY = 5_000
REMEMBERS = "Envoy, jwt_authn with its cache + RBAC + JSON log"
VERIFIES = "Envoy, jwt_authn + RBAC + JSON log"
ROLES = "Doorward, 10,000 policies, half by role"


@dataclasses.dataclass
class Subject:
    """A proxy and the loads that it gets, by how many people send them."""

    name: str
    start: typing.Callable[[str, int, int], Process]
    people: tuple[int, ...] = (1,)
    guarded: bool = True
    streams: bool = True


def subjects(folder, args):
    """Every proxy; each is started with a name, its port and the port of its upstream."""
    pass_on = "proxy_http_version 1.1; proxy_set_header Connection $c; proxy_set_header Upgrade $http_upgrade; proxy_buffering off; proxy_read_timeout 1h;"
    connection = 'map $http_upgrade $c { default upgrade; "" ""; }'
    plain = lambda n, p, to: nginx(folder, n, p, f"location / {{ proxy_pass http://u; {pass_on} }}", 1,
                                   f"{connection} upstream u {{ server 127.0.0.1:{to}; keepalive 64; }}")
    by_envoy = lambda *how: lambda n, p, to: envoy(folder, n, p, to, 1, args.envoy, *how)
    by_doorward = lambda *how: lambda n, p, to: doorward(folder, n, p, to, 1, args.doorward, *how)
    return [
        Subject("nginx, plain proxy", plain, guarded=False),
        Subject("Envoy, plain proxy", by_envoy(False), guarded=False),
        Subject(VERIFIES, by_envoy(True), (1, MANY)),
        Subject(REMEMBERS, by_envoy(True, True), (1, MANY), streams=False),
        Subject("Doorward, 12 policies", by_doorward(12), (1, MANY, FORGOTTEN)),
        Subject("Doorward, 10,000 policies", by_doorward(10_000), streams=False),
        Subject(ROLES, by_doorward(10_000, True), streams=False),
    ]


def ask(process, token, path="/runs"):
    """The status that one request gets."""
    client = http.client.HTTPConnection("127.0.0.1", process.port, timeout=10)
    fields = {"Host": HOST, "X-Forwarded-For": "12.1.2.3"} | ({"Authorization": f"Bearer {token}"} if token else {})
    client.request("GET", path, headers=fields)
    status = client.getresponse().status
    client.close()
    return status


def guards_hold(name, process, people):
    """Ends the run unless the proxy refuses whom it should. Answers how many requests that took."""
    seen = [ask(process, token) for token in (None, people.token("mallory", ["employee"]), people.token("alice"))]
    if seen != [401, 403, 200]:
        sys.exit(f"{name}: without a token, without the role and with both it answers {seen}, not [401, 403, 200]")
    return len(seen)


def nothing_dropped(name, process):
    """Ends the run if Doorward lost events."""
    client = http.client.HTTPConnection("127.0.0.1", process.operator, timeout=10)
    client.request("GET", "/metrics", headers={"Authorization": f"Bearer {process.operator_token}"})
    text = client.getresponse().read().decode()
    client.close()
    dropped = re.search(r"^doorward_audit_events_dropped(?:\{[^}]*\})? (\S+)$", text, re.M)
    if dropped is None or float(dropped.group(1)) != 0:
        sys.exit(f"{name}: audit events were dropped, or nobody counts them: {dropped and dropped.group(0)}")


def all_recorded(name, process, answered, runs):
    """Ends the run unless the log of an ended proxy has each request. A load that is over may leave
    one request behind on each of its connections."""
    recorded = process.records()
    if not answered <= recorded <= answered + runs * CONNECTIONS:
        sys.exit(f"{name}: {answered} requests were answered and {recorded} recorded")


def load(process, tokens, people, seconds):
    """One run of wrk: how many requests, requests/s, p50, p99 in ms, CPU microseconds per request."""
    command = ["taskset", "-c", "0", "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", HERE / "load.lua",
               f"http://127.0.0.1:{process.port}/runs", "--", tokens, people.addresses]
    before = process.cpu_seconds()
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60).stdout
    cpu = process.cpu_seconds() - before
    requests = int(re.search(r"(\d+) requests in", text).group(1))
    if "Non-2xx" in text or "Socket errors" in text:
        sys.exit(f"{process.name} refused the load:\n{text}")
    ms = lambda name: {"us": 0.001, "ms": 1.0, "s": 1000.0}[(m := re.search(rf"{name}%\s+([\d.]+)(us|ms|s)", text)).group(2)] * float(m.group(1))
    return {"requests": requests, "rps": float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1)), "p50": ms(50), "p99": ms(99),
            "cpu": cpu * 1e6 / requests}


def measure(subject, folder, people, up, args, running):
    """The loads of one proxy, each on a fresh process."""
    for count in subject.people:
        tokens = people.tokens(count)
        name = subject.name + (f", {count:,} people" if count > 1 else "")
        process = subject.start(f"load{len(list(folder.glob('load*.log')))}", free_port(), up)
        running.append(process)
        time.sleep(1)
        answered = guards_hold(name, process, people) if subject.guarded else 0
        idle = process.rss_kib() / 1024
        warm = load(process, tokens, people, 2)
        rounds = [load(process, tokens, people, args.seconds) for _ in range(args.rounds)]
        answered += sum(r["requests"] for r in [warm, *rounds])
        median = lambda key: statistics.median(r[key] for r in rounds)
        result = {"rps": median("rps"), "p50": median("p50"), "p99": median("p99"), "cpu": min(r["cpu"] for r in rounds),
                  "idle": idle, "loaded": process.rss_kib() / 1024}
        if hasattr(process, "operator"):
            nothing_dropped(name, process)
        running.remove(process)
        process.stop()
        if subject.guarded:
            all_recorded(name, process, answered, args.rounds + 1)
        # A log of millions of lines is of no more use.
        for log in [*folder.glob("*.access"), *folder.glob("load*/data/audit/*.jsonl")]:
            log.unlink()
        yield name, result


def loads(folder, people, args, running):
    up = free_port()
    running.append(nginx(folder, "upstream", up, f'location / {{ return 200 "{"x" * 1024}"; }}', 0))
    print(f"Load: wrk, {CONNECTIONS} connections, from {len(people.places)} public addresses, {args.rounds} rounds of {args.seconds} s "
          f"after a warm-up. CPU is of the best round, the rest are medians of the rounds. One person with one token unless the row "
          f"says otherwise. Load average at the start: {os.getloadavg()[0]:.1f}.\n")
    results = {}
    for subject in subjects(folder, args):
        results.update(measure(subject, folder, people, up, args, running))
    remembers, verifies = results[REMEMBERS]["cpu"], results[VERIFIES]["cpu"]
    print("| proxy | requests/s | p50 ms | p99 ms | CPU µs/request | of Envoy guarded with its cache | idle MiB | after load MiB |")
    print("|---|---|---|---|---|---|---|---|")
    for name, r in results.items():
        print(f"| {name} | {r['rps']:.0f} | {r['p50']:.2f} | {r['p99']:.2f} | {r['cpu']:.1f} | {r['cpu'] / remembers:.2f} | {r['idle']:.0f} | {r['loaded']:.0f} |")
    one = results["Doorward, 12 policies"]["cpu"]
    many = f", {MANY:,} people"
    print(f"\nDoorward with 12 policies: {one / remembers:.2f} × Envoy guarded that remembers tokens as Doorward does (target: below 1), "
          f"{one / verifies:.2f} × Envoy guarded as it comes, which verifies each token each time.")
    print(f"With {MANY:,} people: {results['Doorward, 12 policies' + many]['cpu'] / results[REMEMBERS + many]['cpu']:.2f} × and "
          f"{results['Doorward, 12 policies' + many]['cpu'] / results[VERIFIES + many]['cpu']:.2f} ×. "
          f"With {FORGOTTEN:,} people, more than Doorward remembers, beside the Envoy that verifies each time: "
          f"{results[f'Doorward, 12 policies, {FORGOTTEN:,} people']['cpu'] / verifies:.2f} ×.")
    print(f"Cost with 10,000 policies: {results['Doorward, 10,000 policies']['cpu'] / one:.2f} × the cost with 12 when each is for an app "
          f"(target: at most 1.2), {results[ROLES]['cpu'] / one:.2f} × when half are for a role and an action at any app and 50 for everything.\n")


def idle_streams(process, token, kind, count):
    """RSS growth per idle stream, in KiB, for `count` streams that say nothing."""
    before = process.rss_kib()
    held, path = [], "/ws" if kind == "websocket" else "/sse"
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    request = (f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {token}\r\nX-Forwarded-For: 12.1.2.3\r\n"
               + (upgrade if kind == "websocket" else "Accept: text/event-stream\r\n") + "\r\n").encode()
    wanted = b"101" if kind == "websocket" else b"200"
    for i in range(count):
        s = socket.socket()
        # Several source addresses, as one has too few ports; the port is chosen when it connects, as
        # one that is bound is lost to the proxies' own connections.
        s.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        s.bind((f"127.0.0.{2 + i // 10000}", 0))
        s.connect(("127.0.0.1", process.port))
        s.sendall(request)
        head = s.recv(4096)
        if wanted not in head.split(b"\r\n", 1)[0]:
            sys.exit(f"{process.name}: {kind} {i} was answered {head[:200]!r}")
        held.append(s)
    time.sleep(2)
    grown = process.rss_kib() - before
    gone = sum(not is_open(s) for s in held)
    if gone:
        sys.exit(f"{process.name}: {gone} of {count} streams ({kind}) were closed before their memory was read")
    for s in held:
        s.close()
    time.sleep(2)
    return grown / count


def is_open(s):
    """Whether the other side has not closed. What it said before is thrown away."""
    s.setblocking(False)
    try:
        while s.recv(4096):
            pass
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def streams(folder, people, args, running):
    token = people.token("alice")
    print(f"| proxy | KiB per idle WebSocket | KiB per idle event stream | ({args.streams} streams each) |\n|---|---|---|---|")
    for i, subject in enumerate(s for s in subjects(folder, args) if s.streams):
        row = []
        for kind in ("websocket", "event stream"):
            # An upstream of its own for each run: to one address and port there are not enough
            # local ports while those of the run before wait in TIME_WAIT.
            to = free_port()
            upstream = Process(f"streams-{i}-{kind[:3]}", [sys.executable, HERE / "streams.py", to], 0, folder, to)
            running.append(upstream)
            process = subject.start(f"{kind[:3]}{i}", free_port(), to)
            running.append(process)
            time.sleep(1)
            row.append(idle_streams(process, token, kind, args.streams))
            for ended in (process, upstream):
                running.remove(ended)
                ended.stop()
        print(f"| {subject.name} | {row[0]:.1f} | {row[1]:.1f} | |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--doorward", default=TOP / "target/release/doorward", type=pathlib.Path)
    parser.add_argument("--envoy", default=shutil.which("envoy") or "envoy")
    parser.add_argument("--seconds", default=8, type=int)
    parser.add_argument("--rounds", default=3, type=int)
    parser.add_argument("--streams", default=10_000, type=int)
    parser.add_argument("--part", choices=["load", "streams", "all"], default="all", help="which table (default: both)")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    if args.quick:
        args.seconds, args.rounds, args.streams = 2, 1, 500
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    # A proxy needs two descriptors for each stream, and some for itself.
    fit = (hard - 400) // 2
    if fit < args.streams:
        print(f"The limit of open files here ({hard}) lets a proxy hold {fit} streams, not {args.streams}.")
        args.streams = fit
    folder = pathlib.Path(tempfile.mkdtemp(prefix="doorward-bench-"))
    folder.chmod(0o755)
    running = []
    try:
        people = People(folder)
        if args.part != "streams":
            loads(folder, people, args, running)
        if args.part != "load":
            streams(folder, people, args, running)
    finally:
        for process in reversed(running):
            process.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
