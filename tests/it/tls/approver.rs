//! The approver app over TLS, with a certificate of its own, by another authority than the apps'.

use super::Secure;
use super::pki::Authority;
use crate::flows::heading;
use crate::harness::serving_realm;
use crate::keycloak::Browser;
use crate::oracle::sample_app;

const HOST: &str = "approve.example.com";

const MORE: &str = r#"
[[certificates]]
cert = "approve.pem"
key  = { file = "approve.key" }
[approver_app]
url = "https://approve.example.com"
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_sign_in_at_the_approver_app_by_its_own_certificate() {
    let realm = serving_realm().await;
    realm.client().redirects.push(format!("https://{HOST}/"));
    let (apps, own) = (Authority::new("Example Root"), Authority::new("Own Root"));
    let folder = tempfile::tempdir().unwrap();
    own.server(&[HOST]).write(folder.path(), "approve");
    let erp = apps.server(super::HOSTS);
    let app = sample_app().await;
    let secure = Secure::serve(folder, apps, erp, app, &realm.issuer, "", MORE);

    // Each name is shown its own.
    for (name, roots, is_fine) in [
        (HOST, own.roots(), true),
        (HOST, secure.authority.roots(), false),
        ("erp.example.com", own.roots(), false),
        ("erp.example.com", secure.authority.roots(), true),
    ] {
        let shaken = super::connect(secure.tls, name, &["h2"], roots).await;
        assert_eq!(shaken.is_ok(), is_fine, "{name}");
        if let Ok(stream) = shaken {
            let protocol = stream.get_ref().1.alpn_protocol();
            assert_eq!(protocol, Some(&b"h2"[..]), "{name}");
        }
    }

    let mut browser = Browser::trusting(&own.pem(), HOST, secure.tls);
    let home = format!("https://{HOST}/");
    let page = browser.open(&home).await;
    assert_eq!(heading(&page), "Sign in", "{}", page.text());
    let fields = [("username", "alice"), ("password", "alice-password")];
    let fields = fields.map(|(name, value)| (name, value.to_owned()));
    let page = browser.submit(&page, &fields).await;
    assert_eq!(page.url.as_str(), home, "{}", page.text());
    assert_eq!(heading(&page), "Waiting for you", "{}", page.text());
    let cookies = browser.cookies_for(&page.url);
    assert!(cookies.contains("__Host-"), "{cookies}");
    let devices = browser.open(&format!("{home}devices")).await;
    assert_eq!(heading(&devices), "My devices", "{}", devices.text());
    // The apps are not there, and it is on none of theirs.
    let page = browser.open(&format!("{home}public/x")).await;
    assert_eq!(page.status, 404, "{}", page.text());
}
