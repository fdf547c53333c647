//! The page about TLS as it stands, on other ports and with certificates of a test.

use super::pki::Authority;
use super::text;
use crate::docs::blocks;
use crate::harness::{Stepgate, field, status};
use crate::oracle::sample_app;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_about_tls_is_served() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tls.md");
    let app = sample_app().await.to_string();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::create_dir(path.join("policies")).unwrap();
    for block in blocks(&std::fs::read_to_string(page).unwrap()) {
        let Some(name) = &block.file else { continue };
        let mut text = block.text;
        for (from, to) in [
            ("0.0.0.0:80", "127.0.0.1:0"),
            ("0.0.0.0:443", "127.0.0.1:0"),
            ("127.0.0.1:8000", app.as_str()),
            ("127.0.0.1:8001", app.as_str()),
            ("/etc/stepgate/", ""),
        ] {
            text = text.replace(from, to);
        }
        std::fs::write(path.join(name.strip_prefix("config/").unwrap()), text).unwrap();
    }
    let log = path.join("access.log").display().to_string();
    let config = path.join("stepgate.toml");
    let more = format!(
        "[sessions]\nstore = \"memory\"\n[log]\naccess = {{ file = \"{log}\" }}\naudit = \"off\"\n"
    );
    let whole = std::fs::read_to_string(&config).unwrap() + &more;
    std::fs::write(&config, whole).unwrap();
    let authority = Authority::new("Example Root");
    for name in ["erp", "crm"] {
        let host = format!("{name}.example.com");
        authority.server(&[&host]).write(path, name);
    }
    std::fs::write(path.join("ca.pem"), authority.pem()).unwrap();
    std::fs::write(path.join("clients.pem"), Authority::new("Clients").pem()).unwrap();

    let stepgate = Stepgate::serve(folder).unwrap();
    let to = format!("::127.0.0.1:{}", stepgate.tls.unwrap().port());
    let ca = stepgate.folder().join("ca.pem").display().to_string();
    let curl = async |url: &str| {
        let all = [
            "-sS",
            "-i",
            "--max-time",
            "20",
            "--cacert",
            &ca,
            "--connect-to",
            &to,
            url,
        ];
        text(&super::run("curl", all).await).replace('\r', "")
    };
    let answer = curl("https://erp.example.com/static/style.css").await;
    assert_eq!(status(&answer), 200, "{answer}");
    assert_eq!(
        field(&answer, "strict-transport-security"),
        "max-age=15552000"
    );
    assert_eq!(status(&curl("https://crm.example.com/scans/1").await), 401);
    let plain = stepgate
        .ask("GET /a?b=1 HTTP/1.1\r\nHost: crm.example.com\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(status(&plain), 308, "{plain}");
    assert_eq!(field(&plain, "location"), "https://crm.example.com/a?b=1");
}
