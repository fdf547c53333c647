//! Certificates that are replaced while they are used.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::pki::{Authority, Issued};
use super::{NO_REALM, Secure};
use crate::harness::{bounded, eventually, eventually_async, status};
use crate::oracle::sample_app;

/// What is shown now.
async fn shown(secure: &Secure) -> Vec<u8> {
    let stream = secure.connect("erp.example.com", &[]).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

async fn until_shown(secure: &Secure, issued: &Issued) {
    eventually_async("the new certificate", async || {
        (shown(secure).await == issued.der).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_file_is_taken_however_it_comes() {
    let secure = Secure::start().await;
    let folder = secure.stepgate.folder();
    let next = || secure.authority.server(&["erp.example.com"]);

    let over = next();
    over.write(folder, "erp");
    until_shown(&secure, &over).await;

    // Until when it is good is told, for whoever watches it.
    let ends = x509_parser::parse_x509_certificate(&over.der).unwrap().1;
    let ends = ends.validity().not_after.timestamp();
    let told = format!(
        "stepgate_tls_certificate_not_after_timestamp_seconds{{name=\"{}\"}} {ends}",
        folder.join("erp.pem").display()
    );
    eventually("the metrics of it", || {
        let metrics = secure.stepgate.metrics();
        let done = "stepgate_tls_certificate_reloads_total{result=\"done\"} 1";
        (metrics.contains(&told) && metrics.contains(done)).then_some(())
    })
    .await;

    let renamed = next();
    renamed.write(folder, "new");
    for kind in ["key", "pem"] {
        std::fs::rename(
            folder.join(format!("new.{kind}")),
            folder.join(format!("erp.{kind}")),
        )
        .unwrap();
    }
    until_shown(&secure, &renamed).await;
}

/// As Kubernetes mounts a secret: the files are links into a folder that is a link itself, and that one is replaced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_leads_elsewhere_is_followed() {
    let authority = Authority::new("Example Root");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let put = |name: &str, issued: &Issued| {
        std::fs::create_dir(path.join(name)).unwrap();
        issued.write(&path.join(name), "erp");
    };
    let lead = |name: &str| {
        symlink(name, path.join("..next")).unwrap();
        std::fs::rename(path.join("..next"), path.join("..data")).unwrap();
    };
    let first = authority.server(&["erp.example.com"]);
    put("..1", &first);
    lead("..1");
    for kind in ["key", "pem"] {
        symlink(
            Path::new("..data").join(format!("erp.{kind}")),
            path.join(format!("erp.{kind}")),
        )
        .unwrap();
    }
    let second = authority.server(&["erp.example.com"]);
    put("..2", &second);
    let secure = Secure::serve(
        folder,
        authority,
        first.clone(),
        sample_app().await,
        NO_REALM,
        "",
        "",
    );
    assert_eq!(shown(&secure).await, first.der);
    let path = secure.stepgate.folder();
    symlink("..2", path.join("..next")).unwrap();
    std::fs::rename(path.join("..next"), path.join("..data")).unwrap();
    until_shown(&secure, &second).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_good_changes_nothing() {
    let secure = Secure::start().await;
    let folder = secure.stepgate.folder().to_owned();
    let good = secure.erp.clone();
    let other = secure.authority.server(&["erp.example.com"]);
    let mixed = Issued {
        cert: other.cert.clone(),
        key: good.key.clone(),
        der: Vec::new(),
    };
    let broken = Issued {
        cert: "-----BEGIN CERTIFICATE-----\nAAAA".to_owned(),
        ..other.clone()
    };
    for bad in [
        mixed,
        broken,
        secure.authority.expired(&["erp.example.com"]),
    ] {
        bad.write(&folder, "erp");
        // Looked at meanwhile: the other certificate, changed with it, would be taken if this one were.
        let apps = secure.authority.server(&["*.apps.example.com"]);
        apps.write(&folder, "apps");
        for _ in 0..25 {
            assert_eq!(shown(&secure).await, good.der);
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        let metrics = secure.stepgate.metrics();
        let refused = metrics
            .lines()
            .find_map(|line| {
                line.strip_prefix("stepgate_tls_certificate_reloads_total{result=\"failed\"} ")
            })
            .map(|count| count.parse::<u64>().unwrap());
        assert!(refused.is_some_and(|count| count > 0), "{metrics}");
        good.write(&folder, "erp");
        eventually_async("the other one", async || {
            let stream = secure.connect("www.apps.example.com", &[]).await.ok()?;
            let shown = stream.get_ref().1.peer_certificates()?.first()?.to_vec();
            (shown == apps.der).then_some(())
        })
        .await;
    }
    assert_eq!(shown(&secure).await, good.der);
}

/// Handshake after handshake, and one connection that stays, while the files change all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices() {
    let secure = Arc::new(Secure::start().await);
    let (over, done) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (secure, over, done) = (Arc::clone(&secure), Arc::clone(&over), Arc::clone(&done));
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    let mut stream = secure.connect("erp.example.com", &[]).await.unwrap();
                    let answer = get(&mut stream, "close").await;
                    assert_eq!(status(&answer), 200, "{answer}");
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let mut stays = secure.connect("erp.example.com", &[]).await.unwrap();
    for _ in 0..3 {
        let next = secure.authority.server(&["erp.example.com"]);
        // Between the two files there is a moment in which they do not belong together.
        next.write(secure.stepgate.folder(), "erp");
        until_shown(&secure, &next).await;
        let request = "HEAD /public/a HTTP/1.1\r\nHost: erp.example.com\r\n\r\n";
        stays.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        bounded(stays.read_exact(&mut answer)).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        // The rest of the header.
        let mut rest = Vec::new();
        while !rest.ends_with(b"\r\n\r\n") {
            rest.push(bounded(stays.read_u8()).await.unwrap());
        }
    }
    over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    assert!(done.load(Ordering::Relaxed) > 20);
}

async fn get(
    stream: &mut tokio_rustls::client::TlsStream<tokio::net::TcpStream>,
    connection: &str,
) -> String {
    let request = format!(
        "GET /public/a HTTP/1.1\r\nHost: erp.example.com\r\nConnection: {connection}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _closed = bounded(stream.read_to_end(&mut answer)).await;
    String::from_utf8(answer).unwrap()
}
