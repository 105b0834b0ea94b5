//! Files that turn bad while the gateway runs: what was read before stays in use, and that it does
//! stands where people and machines look, until it is mended.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use doorward_tests::company::{Company, copy_policies};
use doorward_tests::gateway::{Gateway, Signal};
use doorward_tests::issuer::Issuer;
use doorward_tests::raw::RawUpstream;
use doorward_tests::tls::Authority;
use serde_json::json;

use crate::seen;

struct Live {
    gateway: Gateway,
    folder: tempfile::TempDir,
    key: PathBuf,
    issuer: Issuer,
    _upstream: RawUpstream,
}

async fn start() -> Live {
    let upstream = RawUpstream::ok().await;
    let folder = tempfile::tempdir().unwrap();
    copy_policies(&folder.path().join("policies"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let database = folder.path().join("country.mmdb");
    std::fs::copy(root.join("geoip/data/country.mmdb"), &database).unwrap();
    let (chain, key) = Authority::new().certificate(&["build.test"]).write(folder.path(), "corp");
    let mut company = Company::new(upstream.address()).await;
    company
        .config
        .set("policy", json!({"dir": folder.path().join("policies"), "watch": false}))
        .set("geoip", json!({"databases": [database], "age_days_max": 3650}))
        .listen_tls(&chain, &key);
    let (issuer, gateway) = company.start().await;
    Live { gateway, folder, key, issuer, _upstream: upstream }
}

#[tokio::test]
async fn what_is_refused_stays_told_until_it_is_mended() {
    let live = start().await;
    let gateway = &live.gateway;
    let policy = live.folder.path().join("policies/apps/wiki.cedar");
    let database = live.folder.path().join("country.mmdb");
    for (file, condition, metric, mended) in [
        (&policy, "policy_files", "doorward_policy_rejected", "the policies are mended"),
        (
            &database,
            "geoip",
            "doorward_geoip_refused{file=\"country.mmdb\"}",
            "the GeoIP databases are mended",
        ),
        (&live.key, "certificates", "doorward_certificate_rejected", "the certificates are mended"),
    ] {
        seen::condition_comes_to(gateway, condition, 200, "holds").await;
        seen::metric_comes_to(gateway, metric, 0.0).await;
        let good = std::fs::read(file).unwrap();
        std::fs::write(file, "nonsense").unwrap();
        gateway.signal(Signal::SIGHUP);
        let told = seen::condition_comes_to(gateway, condition, 200, "degraded").await;
        assert!(told["detail"].as_str().unwrap().contains("refused"), "{told}");
        seen::metric_comes_to(gateway, metric, 1.0).await;
        assert_eq!(seen::told(gateway, "build.test", &live.issuer.token("bob")).await.0, 200, "{condition}");
        // The very same content again: nothing is swapped, and still it is told.
        std::fs::write(file, good).unwrap();
        gateway.signal(Signal::SIGHUP);
        gateway.wait_log(mended).await;
        seen::condition_comes_to(gateway, condition, 200, "holds").await;
        seen::metric_comes_to(gateway, metric, 0.0).await;
    }
    for code in ["policy.rejected", "policy.mended", "geoip.kept", "geoip.reloaded"] {
        seen::event(gateway, code).await;
    }
    let kept = seen::event(gateway, "certificates.kept").await;
    let block = &kept["unmapped"]["doorward"]["certificates"];
    assert!(block["kept_because"].as_str().unwrap().contains("private key"), "{kept}");
    seen::event(gateway, "certificates.reloaded").await;
}

#[tokio::test]
async fn a_token_file_that_turns_bad_is_told_before_somebody_needs_it() {
    let live = start().await;
    let gateway = &live.gateway;
    let file = gateway.folder().join("operator.token");
    let mode = |mode| std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    let status = async || gateway.api("GET", "/api/v1/status", None).await.status;
    assert_eq!(status().await, 200);
    seen::condition_comes_to(gateway, "operator_token", 200, "holds").await;
    mode(0o644);
    // Nobody calls, and still it is noticed.
    gateway.wait_log("the operator's token cannot be used").await;
    assert!(gateway.log().contains("chmod 600"), "{}", gateway.log());
    seen::condition_comes_to(gateway, "operator_token", 200, "degraded").await;
    for _ in 0..3 {
        assert_eq!(status().await, 401);
    }
    assert_eq!(gateway.log().matches("the operator's token cannot be used").count(), 1, "told once");
    mode(0o600);
    assert_eq!(status().await, 200, "good at once");
    gateway.wait_log("the operator's token can be used again").await;
    seen::condition_comes_to(gateway, "operator_token", 200, "holds").await;
}
