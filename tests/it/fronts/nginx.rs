//! nginx with `auth_request`.

use crate::fronts::site::Site;
use crate::upstreams::parts::nginx_on;

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
