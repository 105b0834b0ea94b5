use super::*;

const CONNECT_MAX: Duration = Duration::from_millis(100);

fn upstreams(addresses: &[&str], health_path: Option<&str>) -> Upstreams {
    let config = Upstream {
        addresses: addresses.iter().map(ToString::to_string).collect(),
        h2: false,
        connect_max: CONNECT_MAX,
        response_max: Duration::from_secs(1),
        health_path: health_path.map(str::to_owned),
        health_every: Duration::from_millis(50),
        tls: None,
    };
    Upstreams::new(AppId::new("build").unwrap(), "build.test".to_owned(), config).unwrap()
}

#[tokio::test]
async fn a_check_that_does_not_end_is_a_check_that_failed() {
    use tokio::io::AsyncWriteExt as _;
    let app = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstreams = upstreams(&[&app.local_addr().unwrap().to_string()], Some("/health"));
    // A byte now and then, for ever: no single read takes long.
    let drips = async {
        for _ in 0..3 {
            let (mut stream, _) = app.accept().await.unwrap();
            tokio::spawn(async move {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nx-slow: ").await;
                while stream.write_all(b"z").await.is_ok() {
                    tokio::time::sleep(CONNECT_MAX / 4).await;
                }
            });
        }
    };
    tokio::select! {
        () = upstreams.keep_well() => {}
        done = tokio::time::timeout(Duration::from_secs(60), drips) => done.expect("the checks go on"),
    }
    assert_eq!(upstreams.health(), (0, 1));
}

#[tokio::test]
async fn a_health_check_names_the_apps_host() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let app = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstreams = upstreams(&[&app.local_addr().unwrap().to_string()], Some("/health"));
    let asked = async {
        loop {
            let (mut stream, _) = app.accept().await.unwrap();
            let mut seen = vec![0; 4096];
            // A check that ran out of its short time before it asked is followed by another.
            if let Ok(n @ 1..) = stream.read(&mut seen).await {
                let _gone = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
                break String::from_utf8_lossy(&seen[..n]).to_lowercase();
            }
        }
    };
    let seen = tokio::select! {
        () = upstreams.keep_well() => String::new(),
        seen = tokio::time::timeout(Duration::from_secs(60), asked) => seen.unwrap(),
    };
    assert!(seen.starts_with("get /health http/1.1\r\n"), "{seen}");
    assert!(seen.contains("\r\nhost: build.test\r\n"), "{seen}");
}

#[test]
fn a_file_of_roots_is_read_whole_or_not_at_all() {
    let folder = std::env::temp_dir().join(format!("doorward-roots-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("roots.pem");
    let block = |base64: &str| format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n");
    for (text, expect) in [
        (String::new(), "no certificate"),
        (block("bm90IERFUg=="), "certificate 1"),
        (block("!!!"), "certificate 1"),
    ] {
        std::fs::write(&file, &text).unwrap();
        let why = read_roots(&file).err().unwrap();
        assert!(why.contains(expect), "{text:?}: {why}");
    }
    assert!(read_roots(&folder.join("missing.pem")).is_err());
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn a_retry_goes_to_an_instance_that_was_not_tried() {
    let all = ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"];
    let upstreams = upstreams(&all, None);
    upstreams.resolve().await;
    let tried: Vec<std::net::SocketAddr> = all[..2].iter().map(|a| a.parse().unwrap()).collect();
    for _ in 0..10 {
        assert_eq!(upstreams.next(&tried).unwrap().addr.to_string(), all[2]);
    }
    let all: Vec<std::net::SocketAddr> = all.iter().map(|a| a.parse().unwrap()).collect();
    assert!(upstreams.next(&all).is_some(), "better one again than none");
}

#[tokio::test]
async fn whoever_can_be_connected_to_is_well_where_nothing_else_is_asked() {
    let app = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let well = app.local_addr().unwrap().to_string();
    // Bound, so that nobody else gets the port, and never listened on.
    let taken = tokio::net::TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let dead = taken.local_addr().unwrap().to_string();
    let upstreams = upstreams(&[&well, &dead], None);
    let settled = async {
        while upstreams.health() != (1, 2) {
            tokio::time::sleep(CONNECT_MAX / 10).await;
        }
    };
    tokio::select! {
        () = upstreams.keep_well() => {}
        done = tokio::time::timeout(Duration::from_secs(60), settled) => done.expect("one is well"),
    }
}
