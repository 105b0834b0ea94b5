"""What is measured: nginx, Envoy and Doorward with their configurations."""
import json, pathlib, shutil

from people import ISSUER, NETWORKS
from process import Process, free_port

TOP = pathlib.Path(__file__).resolve().parent.parent.parent


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


def envoy(folder, name, port, upstream, core, binary, guarded, remembers=False):
    """Envoy with one worker; guarded: jwt_authn, RBAC and a JSON access log; remembers: a token that
    was verified is looked up (`jwt_cache_config`) and not verified again."""
    filters, log = [], []
    cache = {"jwt_cache_config": {"jwt_cache_size": 100_000}} if remembers else {}
    if guarded:
        filters = [
            {"name": "envoy.filters.http.jwt_authn", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
                "providers": {"bench": {"issuer": ISSUER, "audiences": ["doorward"], "payload_in_metadata": "claims",
                                        "local_jwks": {"filename": str(folder / "jwks.json")}, "forward": False, **cache}},
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
    process = Process(name, [binary, "-c", conf, "--concurrency", "1", "-l", "error", "--disable-hot-restart"], core, folder, port)
    process.records = (lambda: lines(folder.glob(f"{name}.access"), b"status")) if guarded else None
    return process


def lines(files, mark):
    """How many lines of these files have a mark in them."""
    count = 0
    for file in files:
        with open(file, "rb") as content:
            count += sum(mark in line for line in content)
    return count


def doorward(folder, name, port, upstream, core, binary, policies, by_role=False):
    """Doorward doing everything: verified JWT, revocation, geo, Cedar, audit. Two policies for each
    app; by_role: half of all are for a role and an action at any app, and 50 are for everything."""
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
    groups = max(1, (policies // 2 - 50 if by_role else policies - 4) // 2)
    apps = "".join(f"""
@id("app.{i}.read") @title("HR reads app {i}") @owner("bench")
permit (principal in Role::"hr", action in [Action::"read", Action::"UPGRADE"], resource in App::"app{i}") when {{ !context.risk.known || context.risk.score < 70 }};
@id("app.{i}.net") @title("App {i} from the office") @owner("bench")
forbid (principal, action, resource in App::"app{i}") unless {{ context.zones.contains("corp") }};
""" for i in range(groups))
    if by_role:
        apps += "".join(f"""
@id("role.{i}") @title("Role {i} reads everything") @owner("bench")
permit (principal in Role::"role{i}", action in Action::"read", resource) when {{ context.session.mfa }};
""" for i in range(policies // 2))
        apps += "".join(f"""
@id("all.{i}") @title("Not department {i}") @owner("bench")
forbid (principal is User, action, resource) when {{ principal has department && principal.department == "closed{i}" }};
""" for i in range(50))
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
[network]
trusted_proxies = ["127.0.0.0/8"]
client_address_header = "x-forwarded-for"
[network.named]
corp = {json.dumps(NETWORKS)}
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
    process = Process(name, [binary, "--log", "error", "run", "--config", home / "doorward.toml"], core, folder, port)
    process.operator, process.operator_token = operator, (home / "token").read_text()
    process.records = lambda: lines((home / "data" / "audit").glob("*.jsonl"), b'"decision":')
    return process
