//! nginx with `auth_request`.

use crate::fronts::site::Site;
use crate::upstreams::parts::{Part, nginx_on};

#[tokio::test]
async fn nginx_asks_and_the_snippet_is_enough() {
    let mut site = Site::before("nginx", &[]).await;
    let snippet = site.snippet("nginx", &[]);
    let started = nginx_on(
        "nginx before an app",
        &snippet,
        site.folder(),
        vec![site.port],
    )
    .await;
    let Some(part) = started else { return };
    site.stands(part);
    site.holds().await;
}

async fn nginx_with(site: &Site, name: &str, config: &str) -> Option<Part> {
    nginx_on(name, config, site.folder(), vec![site.port]).await
}

#[tokio::test]
async fn the_doctor_tells_what_is_wrong() {
    const NAME: &str = "a doctor before nginx";
    let mut site = Site::before("nginx", &[]).await;
    let connect = format!("127.0.0.1:{}", site.port);
    let connect = ["--connect", connect.as_str()];
    // Nobody is there.
    let (code, said) = site.doctor(&connect).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("cannot be asked"), "{said}");
    let (code, said) = site.doctor(&["--connect", "nowhere"]).await;
    assert_eq!(code, Some(2), "{said}");

    // It answers, and asks nobody.
    let snippet = site.snippet("nginx", &[]);
    let asks_nobody = snippet.replace("auth_request /.stepgate/verify;", "return 200;");
    assert_ne!(snippet, asks_nobody);
    let Some(part) = nginx_with(&site, NAME, &asks_nobody).await else {
        return;
    };
    site.stands(part);
    let (code, said) = site.doctor(&connect).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the app answers without a sign-in"), "{said}");
    assert!(
        said.contains("wrong  what a client says of another request"),
        "{said}"
    );
    site.falls();

    // It asks, and the client is told nothing.
    let mute = snippet.replace("error_page 401 = @stepgate_challenge;", "");
    assert_ne!(snippet, mute);
    let part = nginx_with(&site, NAME, &mute).await.unwrap();
    site.stands(part);
    let (code, said) = site.doctor(&connect).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("401 arrives as it is"), "{said}");

    site.falls();

    // The sign-in does not go through.
    let closed = snippet.replace("location /.stepgate/ {", "location /.elsewhere/ {");
    assert_ne!(snippet, closed);
    let part = nginx_with(&site, NAME, &closed).await.unwrap();
    site.stands(part);
    let (code, said) = site.doctor(&connect).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("wrong  what is under /.stepgate/ goes to stepgate"),
        "{said}"
    );
}
