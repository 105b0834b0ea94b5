#!/usr/bin/env python3
"""Doorward beside nginx and Envoy, in one run: requests/s, latency, CPU per request, memory.

    tests/bench/run            all of it, about ten minutes
    tests/bench/run --quick    shorter runs, for trying the script

One upstream (nginx) and the load (wrk) on core 0; the proxy under test alone on core 1 with one
worker. CPU per request is user + system time of the proxy's process over the requests that it
answered. Prints Markdown. Ends only processes that it started.
"""
import argparse, base64, json, os, pathlib, re, resource, shutil, signal, socket, statistics, subprocess, sys, tempfile, time

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent
TICK = os.sysconf("SC_CLK_TCK")
ISSUER = "https://idp.bench.example"


def b64(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Process:
    """A child on one core, with its log in a file."""

    def __init__(self, name, command, core, folder, port=None, env=None):
        self.name, self.port = name, port
        self.log = open(folder / f"{name}.log", "wb")
        self.child = subprocess.Popen(
            ["taskset", "-c", str(core), *map(str, command)], stdout=self.log, stderr=self.log, env={**os.environ, **(env or {})}
        )
        deadline = time.monotonic() + 60
        while port and time.monotonic() < deadline:
            if self.child.poll() is not None:
                sys.exit(f"{name} ended: see {self.log.name}\n" + pathlib.Path(self.log.name).read_text()[-2000:])
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                return
            except OSError:
                time.sleep(0.1)
        if port:
            sys.exit(f"{name} does not listen on {port}: see {self.log.name}")

    def pids(self):
        found, todo = [], [self.child.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            try:
                for task in os.listdir(f"/proc/{pid}/task"):
                    todo += [int(c) for c in pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
            except FileNotFoundError:
                pass
        return found

    def cpu_seconds(self):
        total = 0
        for pid in self.pids():
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICK

    def rss_kib(self):
        total = 0
        for pid in self.pids():
            for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    total += int(line.split()[1])
        return total

    def stop(self):
        for pid in reversed(self.pids()):
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.log.close()


def make_token(folder):
    import jwt
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    numbers = key.public_key().public_numbers()
    jwk = {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "bench",
           "x": b64(numbers.x.to_bytes(32, "big")), "y": b64(numbers.y.to_bytes(32, "big"))}
    (folder / "jwks.json").write_text(json.dumps({"keys": [jwk]}))
    now = int(time.time())
    claims = {"iss": ISSUER, "sub": "alice", "aud": "doorward", "iat": now, "nbf": now, "exp": now + 36000, "auth_time": now,
              "jti": "t-1", "sid": "s-1", "amr": ["pwd", "hwk", "mfa"], "groups": ["hr-team", "everyone"], "roles": ["employee", "hr"],
              "employment": "employee", "country": "DE", "email": "alice@bench.example", "email_verified": True}
    return jwt.encode(claims, key, algorithm="ES256", headers={"kid": "bench", "typ": "at+jwt"})


def nginx(folder, name, port, location, core, extra=""):
    """A worker of nginx with one server."""
    conf = folder / f"{name}.conf"
    conf.write_text(f"""
daemon off; worker_processes 1; pid {folder}/{name}.pid; error_log stderr error;
events {{ worker_connections 30000; }}
http {{ access_log off; keepalive_requests 100000000; client_body_temp_path {folder}; proxy_temp_path {folder};
fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder}; {extra}
server {{ listen 127.0.0.1:{port} backlog=4096; {location} }} }}
""")
    return Process(name, ["nginx", "-c", conf, "-p", folder], core, folder, port)


def envoy(folder, name, port, upstream, core, binary, guarded):
    """Envoy with one worker; guarded: jwt_authn, RBAC and a JSON access log."""
    filters, log = [], []
    if guarded:
        filters = [
            {"name": "envoy.filters.http.jwt_authn", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
                "providers": {"bench": {"issuer": ISSUER, "audiences": ["doorward"], "payload_in_metadata": "claims",
                                        "local_jwks": {"filename": str(folder / "jwks.json")}, "forward": False}},
                "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "bench"}}]}},
            {"name": "envoy.filters.http.rbac", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
                "rules": {"action": "ALLOW", "policies": {"hr": {
                    "permissions": [{"url_path": {"path": {"prefix": "/"}}}],
                    "principals": [{"metadata": {"filter": "envoy.filters.http.jwt_authn",
                                                 "path": [{"key": "claims"}, {"key": "roles"}],
                                                 "value": {"list_match": {"one_of": {"string_match": {"exact": "hr"}}}}}}]}}}}},
        ]
        log = [{"name": "envoy.access_loggers.file", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": str(folder / f"{name}.access"),
            "log_format": {"json_format": {"time": "%START_TIME%", "method": "%REQ(:METHOD)%", "path": "%REQ(:PATH)%",
                                           "status": "%RESPONSE_CODE%", "flags": "%RESPONSE_FLAGS%", "duration": "%DURATION%",
                                           "client": "%DOWNSTREAM_REMOTE_ADDRESS%", "agent": "%REQ(USER-AGENT)%",
                                           "id": "%REQ(X-REQUEST-ID)%", "host": "%REQ(:AUTHORITY)%", "upstream": "%UPSTREAM_HOST%"}}}}]
    filters.append({"name": "envoy.filters.http.router", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}})
    conf = folder / f"{name}.json"
    conf.write_text(json.dumps({"static_resources": {
        "listeners": [{"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}, "filter_chains": [{"filters": [{
            "name": "hcm", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": "bench", "access_log": log, "upgrade_configs": [{"upgrade_type": "websocket"}], "stream_idle_timeout": "0s",
                "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
                    {"match": {"prefix": "/"}, "route": {"cluster": "up", "timeout": "0s"}}]}]},
                "http_filters": filters}}]}]}],
        "clusters": [{"name": "up", "type": "STATIC", "connect_timeout": "5s",
                      "circuit_breakers": {"thresholds": [{"max_connections": 30000, "max_pending_requests": 30000, "max_requests": 30000}]},
                      "load_assignment": {"cluster_name": "up", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {
                          "socket_address": {"address": "127.0.0.1", "port_value": upstream}}}}]}]}}]}}))
    return Process(name, [binary, "-c", conf, "--concurrency", "1", "-l", "error", "--disable-hot-restart"], core, folder, port)


def doorward(folder, name, port, upstream, core, binary, policies):
    """Doorward doing everything: verified JWT, revocation, geo, Cedar, audit."""
    home = folder / name
    (home / "policies" / "apps").mkdir(parents=True)
    shutil.copy(TOP / "policies" / "schema.cedarschema", home / "policies")
    (home / "policies" / "guardrails").mkdir()
    (home / "policies" / "guardrails" / "all.cedar").write_text("""
@id("guard.lifecycle") @title("Active people only") @owner("bench")
forbid (principal is User, action, resource) unless { principal.lifecycle == Lifecycle::"active" };
@id("guard.mfa") @title("MFA") @owner("bench")
forbid (principal is User, action, resource is Route) when { resource.tier != Tier::"public" && !context.session.mfa };
@id("guard.session") @title("Twelve hours") @owner("bench")
forbid (principal is User, action, resource) when { context.session.age > duration("12h") };
@id("guard.country") @title("Blocked countries") @owner("bench")
forbid (principal, action, resource) when { [Country::"KP", Country::"IR", Country::"SY"].contains(context.geo.country) };
""")
    groups = max(1, (policies - 4) // 2)
    apps = "".join(f"""
@id("app.{i}.read") @title("HR reads app {i}") @owner("bench")
permit (principal in Role::"hr", action in [Action::"read", Action::"UPGRADE"], resource in App::"app{i}") when {{ !context.risk.known || context.risk.score < 70 }};
@id("app.{i}.net") @title("App {i} from the office") @owner("bench")
forbid (principal, action, resource in App::"app{i}") unless {{ context.zones.contains("corp") }};
""" for i in range(groups))
    (home / "policies" / "apps" / "apps.cedar").write_text(apps)
    sections = "".join(f"""
[[app]]
id = "app{i}"
hosts = ["app{i}.bench.example"]
[app.upstream]
addresses = ["127.0.0.1:{upstream}"]
health_seconds = 3600
""" for i in range(groups))
    operator = free_port()
    (home / "token").write_text("bench-token-" + "x" * 40)
    (home / "token").chmod(0o600)
    (home / "doorward.toml").write_text(f"""
[gateway]
node = "bench"
data_dir = "{home}/data"
threads = 1
public_url = "https://doorward.bench.example"
[[listen]]
address = "127.0.0.1:{port}"
[operator]
address = "127.0.0.1:{operator}"
token_file = "token"
[network.named]
corp = ["127.0.0.0/8"]
[geoip]
databases = ["{TOP}/geoip/data/country.mmdb"]
age_days_max = 3650
[[issuer]]
id = "corp"
issuer = "{ISSUER}"
audiences = ["doorward"]
algorithms = ["ES256"]
jwks_file = "{folder}/jwks.json"
[issuer.assurance]
mfa_amr = ["mfa"]
[policy]
dir = "policies"
watch = false
[limits]
connections_max = 30000
connections_per_address_max = 30000
{sections}
""")
    return Process(name, [binary, "--log", "error", "run", "--config", home / "doorward.toml"], core, folder, port)


def load(process, token, seconds, connections=32):
    """One run of wrk: requests/s, p50, p99 in ms, CPU microseconds per request."""
    command = ["taskset", "-c", "0", "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-H", "Host: app0.bench.example",
               "-H", f"Authorization: Bearer {token}", f"http://127.0.0.1:{process.port}/runs"]
    before = process.cpu_seconds()
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60).stdout
    cpu = process.cpu_seconds() - before
    requests = int(re.search(r"(\d+) requests in", text).group(1))
    if "Non-2xx" in text:
        sys.exit(f"{process.name} refused the load:\n{text}")
    ms = lambda name: {"us": 0.001, "ms": 1.0, "s": 1000.0}[(m := re.search(rf"{name}%\s+([\d.]+)(us|ms|s)", text)).group(2)] * float(m.group(1))
    return {"rps": float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1)), "p50": ms(50), "p99": ms(99), "cpu": cpu * 1e6 / requests}


def idle_streams(process, token, kind, count):
    """RSS growth per idle stream, in KiB, for `count` streams that say nothing."""
    before = process.rss_kib()
    held, path = [], "/ws" if kind == "websocket" else "/sse"
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    request = (f"GET {path} HTTP/1.1\r\nHost: app0.bench.example\r\nAuthorization: Bearer {token}\r\n"
               + (upgrade if kind == "websocket" else "Accept: text/event-stream\r\n") + "\r\n").encode()
    wanted = b"101" if kind == "websocket" else b"200"
    for i in range(count):
        s = socket.socket()
        # Several source addresses, as one has too few ports.
        s.bind((f"127.0.0.{2 + i // 10000}", 0))
        s.connect(("127.0.0.1", process.port))
        s.sendall(request)
        head = s.recv(4096)
        if wanted not in head.split(b"\r\n", 1)[0]:
            sys.exit(f"{process.name}: {kind} {i} was answered {head[:200]!r}")
        held.append(s)
    time.sleep(2)
    grown = process.rss_kib() - before
    for s in held:
        s.close()
    time.sleep(2)
    return grown / count


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--doorward", default=TOP / "target/release/doorward", type=pathlib.Path)
    parser.add_argument("--envoy", default=shutil.which("envoy") or "envoy")
    parser.add_argument("--seconds", default=8, type=int)
    parser.add_argument("--rounds", default=3, type=int)
    parser.add_argument("--streams", default=10_000, type=int)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    if args.quick:
        args.seconds, args.rounds, args.streams = 2, 1, 500
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="doorward-bench-"))
    folder.chmod(0o755)
    running = []
    try:
        token = make_token(folder)
        up = free_port()
        body = "x" * 1024
        running.append(nginx(folder, "upstream", up, f'location / {{ return 200 "{body}"; }}', 0))
        streams_port = free_port()
        running.append(Process("streams", [sys.executable, HERE / "streams.py", streams_port], 0, folder, streams_port))
        pass_on = "proxy_http_version 1.1; proxy_set_header Connection $c; proxy_set_header Upgrade $http_upgrade; proxy_buffering off; proxy_read_timeout 1h;"
        connection = 'map $http_upgrade $c { default upgrade; "" ""; }'
        def subjects(to):
            yield "nginx, plain proxy", lambda n, p: nginx(folder, n, p, f"location / {{ proxy_pass http://u; {pass_on} }}", 1,
                                                           f"{connection} upstream u {{ server 127.0.0.1:{to}; keepalive 64; }}")
            yield "Envoy, plain proxy", lambda n, p: envoy(folder, n, p, to, 1, args.envoy, False)
            yield "Envoy, jwt_authn + RBAC + JSON log", lambda n, p: envoy(folder, n, p, to, 1, args.envoy, True)
            yield "Doorward, 12 policies", lambda n, p: doorward(folder, n, p, to, 1, args.doorward, 12)
            yield "Doorward, 10,000 policies", lambda n, p: doorward(folder, n, p, to, 1, args.doorward, 10_000)
        print(f"Load: wrk, 32 connections, {args.rounds} rounds of {args.seconds} s after a warm-up; best round by CPU. "
              f"Load average at the start: {os.getloadavg()[0]:.1f}.\n")
        print("| proxy | requests/s | p50 ms | p99 ms | CPU µs/request | of Envoy guarded | idle MiB | after load MiB |")
        print("|---|---|---|---|---|---|---|---|")
        results = {}
        for i, (name, start) in enumerate(subjects(up)):
            process = start(f"load{i}", free_port())
            running.append(process)
            time.sleep(1)
            idle = process.rss_kib() / 1024
            load(process, token, 2)
            best = min((load(process, token, args.seconds) for _ in range(args.rounds)), key=lambda r: r["cpu"])
            best["idle"], best["loaded"] = idle, process.rss_kib() / 1024
            results[name] = best
            running.remove(process)
            process.stop()
        guarded = results["Envoy, jwt_authn + RBAC + JSON log"]["cpu"]
        for name, r in results.items():
            print(f"| {name} | {r['rps']:.0f} | {r['p50']:.2f} | {r['p99']:.2f} | {r['cpu']:.1f} | {r['cpu'] / guarded:.2f} | {r['idle']:.0f} | {r['loaded']:.0f} |")
        ratio = results["Doorward, 10,000 policies"]["cpu"] / results["Doorward, 12 policies"]["cpu"]
        print(f"\nCost with 10,000 policies: {ratio:.2f} × the cost with 12 (target: at most 1.2).")
        print(f"Doorward with 12 policies: {results['Doorward, 12 policies']['cpu'] / guarded:.2f} × Envoy guarded (target: below 1).\n")
        print(f"| proxy | KiB per idle WebSocket | KiB per idle event stream | ({args.streams} streams each) |\n|---|---|---|---|")
        for i, (name, start) in enumerate(subjects(streams_port)):
            if name == "Doorward, 10,000 policies":
                continue
            row = []
            for kind in ("websocket", "event stream"):
                process = start(f"{kind[:3]}{i}", free_port())
                running.append(process)
                time.sleep(1)
                row.append(idle_streams(process, token, kind, args.streams))
                running.remove(process)
                process.stop()
            print(f"| {name} | {row[0]:.1f} | {row[1]:.1f} | |", flush=True)
    finally:
        for process in reversed(running):
            process.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
