//! Programs of every kind that come back with a yes: over HTTP/2 and TLS, with a body of which nobody said how long it is,
//! and with tokens that are bound to a key.

use serde_json::{Value, json};
use stepgate::admin::Control as _;
use stepgate::gate::Whose;
use stepgate::model::approval::Answer;

use super::{APPROVER_APP, FORM, LAST, MORE, NETWORKS, twist};
use crate::dpop::ProofKey;
use crate::flows::answers::json as problem;
use crate::flows::world::{Twist, World};
use crate::harness::{field, status};
use crate::tls::pki::Authority;
use crate::tls::{has, run, text};

const POLICIES: &str = "policies = \"policies\"";

/// curl, with the cookies of the world's browser, over TLS to the app that browsers reach by plain HTTP, too.
struct Curl<'w> {
    world: &'w World,
    ca: String,
}

impl Curl<'_> {
    async fn pays(&self, over: &[&str], approval: Option<&str>) -> String {
        let port = self.world.stepgate.tls.unwrap().port();
        let to = format!("::127.0.0.1:{port}");
        let url = self.world.origin.replace("http://", "https://") + "/pay/7?a=1&b=2";
        let origin = self.world.origin.parse().unwrap();
        let cookie = format!("Cookie: {}", self.world.browser.cookies_for(&origin));
        let approval = approval.map(|id| format!("Stepgate-Approval: {id}"));
        let mut all = vec!["-sS", "-i", "--max-time", "20", "--cacert", &self.ca];
        all.extend(["--connect-to", &to, "-H", &cookie]);
        all.extend(["-H", "Accept: application/json"]);
        if let Some(approval) = &approval {
            all.extend(["-H", approval]);
        }
        let has_url = over.iter().any(|argument| argument.starts_with("/pay"));
        let own = match has_url {
            true => url.replace("/pay/7?a=1&b=2", over[0]),
            false => url,
        };
        all.push(&own);
        all.extend(&over[usize::from(has_url)..]);
        let answer = text(&run("curl", all).await).replace('\r', "");
        // As HTTP/1.1 has it, for those who read answers here.
        answer.replacen("HTTP/2 ", "HTTP/1.1 ", 1)
    }

    async fn asks(&self, over: &[&str]) -> String {
        let answer = self.pays(over, None).await;
        assert_eq!(status(&answer), 403, "{answer}");
        let told = body(&answer);
        assert_eq!(told["code"], "approval-required", "{answer}");
        let id = told["approval_id"].as_str().unwrap().to_owned();
        self.world.vote(&id, "carol", Answer::Yes).await;
        id
    }
}

/// Programs bring tokens, and are believed when these were proven.
async fn with_tokens() -> World {
    const IDENTITY: &str = "identity    = {";
    let bearer =
        format!("bearer = {{ audience = \"erp\" }}\nbearer_age = \"auth_time\"\n{IDENTITY}");
    World::twisted(Twist {
        policy: &[(LAST, MORE), (IDENTITY, &bearer)],
        ..twist()
    })
    .await
}

fn body(answer: &str) -> Value {
    let (_, body) = answer.split_once("\n\n").unwrap();
    serde_json::from_str(body).unwrap_or(Value::from(body))
}

#[tokio::test(flavor = "multi_thread")]
async fn over_h2_and_tls_the_same_bytes_are_the_same_request_and_no_others() {
    let test = "over_h2_and_tls_the_same_bytes_are_the_same_request_and_no_others";
    if !has(test, "curl").await {
        return;
    }
    let authority = Authority::new("Example Root");
    let keys = tempfile::tempdir().unwrap();
    let path = keys.path().display();
    let names = ["payroll.localhost", "approve.localhost"];
    authority.server(&names).write(keys.path(), "own");
    std::fs::write(keys.path().join("ca.pem"), authority.pem()).unwrap();
    let listen = format!("{POLICIES}\nlisten_tls = [\"127.0.0.1:0\"]\nplain = \"serve\"");
    let certificates = format!(
        "[[certificates]]\ncert = \"{path}/own.pem\"\nkey = {{ file = \"{path}/own.key\" }}\n{APPROVER_APP}"
    );
    let mut world = World::twisted(Twist {
        config: &[(POLICIES, &listen), (NETWORKS, &certificates)],
        ..twist()
    })
    .await;
    world.lands("/", "alice").await;
    let ca = keys.path().join("ca.pem").display().to_string();
    let curl = Curl { world: &world, ca };

    let one = ["--data", "amount=42"];
    let h2 = [&["--http2"], &one[..]].concat();
    // Data frames, and nobody has said how many.
    let open = [&["--http2", "-H", "Content-Length:"], &one[..]].concat();
    let h1 = [&["--http1.1"], &one[..]].concat();
    let chunked = [&["--http1.1", "-H", "Transfer-Encoding: chunked"], &one[..]].concat();
    let mut hits = world.hit_count();
    for (asking, using) in [
        (&h2, &h2),
        (&open, &open),
        (&open, &h1),
        (&chunked, &h2),
        (&h1, &open),
    ] {
        let id = curl.asks(asking).await;
        let answer = curl.pays(using, Some(&id)).await;
        assert_eq!(status(&answer), 200, "{asking:?} {using:?}: {answer}");
        hits += 1;
        assert_eq!(world.hit_count(), hits, "{asking:?} {using:?}");
        let hit = world.last_hit();
        assert_eq!(
            (hit.target.as_str(), &hit.body[..]),
            ("/pay/7?a=1&b=2", &b"amount=42"[..])
        );
        assert_eq!(hit.header("stepgate-approval"), "");
        let again = curl.pays(using, Some(&id)).await;
        assert_eq!(body(&again)["code"], "approval-used", "{again}");
        assert_eq!(world.hit_count(), hits);
    }

    // Asked for one, and come back with another.
    let id = curl.asks(&h2).await;
    let rows: [&[&str]; 9] = [
        &["--http2", "--data", "amount=43"],
        &["--http2", "--data", "amount=42&"],
        &["--http2", "-H", "Content-Length:", "--data", "amount=4"],
        &["--http2", "-X", "PUT", "--data", "amount=42"],
        &["/pay/7?b=2&a=1", "--http2", "--data", "amount=42"],
        &["/pay/7", "--http2", "--data", "amount=42"],
        &["/pay/8?a=1&b=2", "--http2", "--data", "amount=42"],
        &[
            "--http2",
            "-H",
            "Content-Type: application/x-www-form-urlencoded;charset=utf-8",
            "--data",
            "amount=42",
        ],
        &["--http2", "-H", "Idempotency-Key: k", "--data", "amount=42"],
    ];
    for row in rows {
        let answer = curl.pays(row, Some(&id)).await;
        let code = body(&answer)["code"].clone();
        let expected = (409, "approval-of-another-request");
        assert_eq!(
            (status(&answer), code.as_str()),
            (expected.0, Some(expected.1)),
            "{row:?}"
        );
    }
    assert_eq!(world.hit_count(), hits);
    assert_eq!(world.standing(&id).await, "approved", "nothing is used up");
    // A trailer that says more than the header is no part of it, and no body is larger than it may be.
    let large = format!("amount=42&x={}", "x".repeat(64 << 10));
    let answer = curl
        .pays(
            &["--http2", "-H", "Content-Length:", "--data", &large],
            None,
        )
        .await;
    assert_eq!(status(&answer), 413, "{answer}");
    assert_eq!(world.hit_count(), hits);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_bound_to_a_key_comes_back_with_its_proof() {
    let world = with_tokens().await;
    let (key, other) = (ProofKey::new(), ProofKey::new());
    let token = |key: &ProofKey| world.token(&json!({ "cnf": { "jkt": key.thumbprint() } }));
    let proof = |method: &str, path: &str, key: &ProofKey, token: &str| {
        let (url, now) = (world.url(path), world.clock.seconds());
        key.sign(&ProofKey::claims(method, &url, Some(token), now))
    };
    let send = async |method: &str, path: &str, token: &str, proof: &str, id: Option<&str>| {
        let token = format!("DPoP {token}");
        let mut headers = vec![FORM, ("authorization", token.as_str()), ("dpop", proof)];
        headers.extend(id.map(|id| ("stepgate-approval", id)));
        let body = if method == "POST" { "amount=42" } else { "" };
        world.told(method, path, &headers, body).await
    };
    let bound = token(&key);
    let asked = send(
        "POST",
        "/pay/7",
        &bound,
        &proof("POST", "/pay/7", &key, &bound),
        None,
    )
    .await;
    let code = (asked.status, asked.code());
    assert_eq!(code, (403, "approval-required"), "{asked:?}");
    let id = asked.id();
    let state = format!("/.stepgate/approval/{id}");
    let told = send(
        "GET",
        &state,
        &bound,
        &proof("GET", &state, &key, &bound),
        None,
    )
    .await;
    assert_eq!(told.body["status"], "pending", "{told:?}");
    world.vote(&id, "carol", Answer::Yes).await;

    // The same client and user with another key, who has proofs of that one.
    let foreign = token(&other);
    let theirs = proof("POST", "/pay/7", &other, &foreign);
    let told = send("POST", "/pay/7", &foreign, &theirs, Some(&id)).await;
    assert_eq!(
        (told.status, told.code()),
        (403, "no-such-approval"),
        "{told:?}"
    );
    let theirs = proof("GET", &state, &other, &foreign);
    assert_eq!(
        send("GET", &state, &foreign, &theirs, None).await.status,
        404
    );
    // A token that is bound to none.
    let unbound = format!("Bearer {}", world.token(&json!({})));
    let headers = [
        FORM,
        ("authorization", unbound.as_str()),
        ("stepgate-approval", &id),
    ];
    let told = world.told("POST", "/pay/7", &headers, "amount=42").await;
    assert_eq!(
        (told.status, told.code()),
        (403, "no-such-approval"),
        "{told:?}"
    );
    // No proof, one of another request, and one of another key.
    for wrong in [
        String::new(),
        proof("GET", "/pay/7", &key, &bound),
        proof("POST", "/pay/8", &key, &bound),
        proof("POST", "/pay/7", &other, &bound),
    ] {
        let told = send("POST", "/pay/7", &bound, &wrong, Some(&id)).await;
        assert_eq!(
            (told.status, told.code()),
            (401, "invalid_dpop_proof"),
            "{told:?}"
        );
    }
    assert_eq!(world.hit_count(), 0);

    let good = proof("POST", "/pay/7", &key, &bound);
    let sent = send("POST", "/pay/7", &bound, &good, Some(&id)).await;
    assert_eq!(sent.status, 200, "{sent:?}");
    assert_eq!(world.last_hit().body, "amount=42");
    // A proof is good once, and so is the yes.
    let told = send("POST", "/pay/7", &bound, &good, Some(&id)).await;
    assert_eq!(
        (told.status, told.code()),
        (401, "invalid_dpop_proof"),
        "{told:?}"
    );
    let fresh = proof("POST", "/pay/7", &key, &bound);
    let told = send("POST", "/pay/7", &bound, &fresh, Some(&id)).await;
    assert_eq!(
        (told.status, told.code()),
        (409, "approval-used"),
        "{told:?}"
    );
    assert_eq!(world.hit_count(), 1);
}

/// While Keycloak does not answer, what needs nothing of it goes on; what does is refused, and neither the yes nor the form
/// is lost by it.
#[tokio::test(flavor = "multi_thread")]
async fn keycloak_may_be_down_while_somebody_waits() {
    let mut world = World::twisted(twist()).await;
    world.lands("/mfa/1", "alice").await;
    let page = world.submits("/transfer/7", "to=bob").await;
    let id = super::is_waiting(&page);
    world.provider_down().await;
    let state = world.state(&id).await;
    let number = state.body["number"].as_str().unwrap().to_owned();
    world
        .vote_with(&id, "carol", Answer::Yes, Some(&number))
        .await;
    // The level that it needs has lapsed.
    world.clock.advance(180);
    let hits = world.hit_count();
    let path = format!("/.stepgate/approval/{id}");
    let page = world.open(&path).await;
    let down = "Signing in is not possible at the moment";
    assert_eq!(crate::flows::world::heading(&page), down, "{}", page.text());
    assert_eq!(world.hit_count(), hits);
    assert_eq!(world.standing(&id).await, "approved");
    world.provider_up().await;
    let page = world.open(&path).await;
    let walk = world.go_on(page, "alice").await;
    let app = "app POST /transfer/7";
    assert_eq!(walk.page.body, app, "{}", walk.page.text());
    assert_eq!(world.last_hit().body, "to=bob");

    // What needs no other level goes on without it.
    let page = world.submits("/pay/7", "amount=42").await;
    let id = super::is_waiting(&page);
    world.provider_down().await;
    world.vote(&id, "carol", Answer::Yes).await;
    let page = world.open(&format!("/.stepgate/approval/{id}")).await;
    assert_eq!(page.body, "app POST /pay/7", "{}", page.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_comes_back_with_a_yes_of_its_own_alone() {
    let world = with_tokens().await;
    let send = async |method: &str, path: &str, over: Value, id: Option<&str>| {
        let token = format!("Bearer {}", world.token(&over));
        let mut headers = vec![FORM, ("authorization", token.as_str())];
        headers.extend(id.map(|id| ("stepgate-approval", id)));
        let body = if method == "POST" { "amount=42" } else { "" };
        world.told(method, path, &headers, body).await
    };
    let asked = send("POST", "/pay/7", json!({}), None).await;
    assert_eq!(
        (asked.status, asked.code()),
        (403, "approval-required"),
        "{asked:?}"
    );
    let id = asked.id();
    world.vote(&id, "carol", Answer::Yes).await;
    let state = format!("/.stepgate/approval/{id}");
    for other in [json!({ "azp": "another" }), json!({ "sub": "sub-bob" })] {
        let told = send("POST", "/pay/7", other.clone(), Some(&id)).await;
        assert_eq!(
            (told.status, told.code()),
            (403, "no-such-approval"),
            "{other}"
        );
        assert_eq!(send("GET", &state, other, None).await.status, 404);
    }
    assert_eq!(world.hit_count(), 0);
    let told = send("GET", &state, json!({}), None).await;
    assert_eq!(told.body["status"], "approved", "{told:?}");
    // Another token of the same client, with what it is for.
    let fresh = json!({ "iat": world.clock.seconds() - 1 });
    let sent = send("POST", "/pay/7", fresh, Some(&id)).await;
    assert_eq!(sent.status, 200, "{sent:?}");
    assert_eq!(world.last_hit().body, "amount=42");
    let again = send("POST", "/pay/7", json!({}), Some(&id)).await;
    assert_eq!(
        (again.status, again.code()),
        (409, "approval-used"),
        "{again:?}"
    );
    assert_eq!(world.hit_count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_with_a_token_is_told_no_more_than_it_is_good_for() {
    let world = with_tokens().await;
    let token = format!("Bearer {}", world.token(&json!({})));
    let headers = [FORM, ("authorization", token.as_str())];
    let asked = world.told("POST", "/pay/7", &headers, "amount=42").await;
    let id = asked.id();
    let short = world.token(&json!({ "exp": world.clock.seconds() + 60 }));
    let other = world.token(&json!({ "sid": "another" }));
    let [first, second] =
        [&short, &other].map(|token| world.waits(&id, &format!("Authorization: Bearer {token}")));
    world.is_waited_for().await;
    // Past what clocks may differ by.
    world.clock.advance(180);
    let told = first.await.unwrap();
    assert_eq!(status(&told), 401, "{told}");
    assert_eq!(problem(&told)["code"], "invalid_token", "{told}");
    assert!(!told.contains("Pay 7"), "{told}");
    world.is_waited_for().await;
    assert!(!second.is_finished());
    let gate = world.stepgate.operations().gate();
    let whose = Whose::Sid("another".to_owned());
    gate.revoke(&whose, 0).await.unwrap();
    // Tokens are looked at once in a second.
    world.clock.advance(1);
    let told = second.await.unwrap();
    assert_eq!(status(&told), 401, "{told}");
    assert!(!told.contains("Pay 7"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn however_a_body_comes_it_is_the_same() {
    let world = World::careful().await;
    let kind = format!("Content-Type: {}", FORM.1);
    let chunked = [kind.as_str(), "Transfer-Encoding: chunked"];
    let pieces = "5\r\namoun\r\n4\r\nt=42\r\n0\r\n\r\n";
    let answer = world.raw_with("POST /pay/7", &chunked, pieces).await;
    assert_eq!(status(&answer), 403, "{answer}");
    let id = problem(&answer)["approval_id"].as_str().unwrap().to_owned();
    world.vote(&id, "carol", Answer::Yes).await;
    assert_eq!(world.pays("amount=42", Some(&id)).await.status, 200);
    assert_eq!(world.last_hit().body, "amount=42");

    let id = world.agreed().await;
    let named = format!("Stepgate-Approval: {id}");
    let answer = world
        .raw_with("POST /pay/7", &[chunked[0], chunked[1], &named], pieces)
        .await;
    assert_eq!(status(&answer), 200, "{answer}");
    assert_eq!(world.last_hit().body, "amount=42");
    assert_eq!(world.last_hit().header("content-length"), "9");

    // Whoever asks first (RFC 9110 10.1.1) is told to go on, or at once that it is too large.
    let host = world.origin.strip_prefix("http://").unwrap();
    let url = world.origin.parse().unwrap();
    let cookies = world.browser.cookies_for(&url);
    let head = |length: usize| {
        format!(
            "POST /pay/7 HTTP/1.1\r\nHost: {host}\r\nCookie: {cookies}\r\n{kind}\r\nExpect: 100-continue\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n"
        )
    };
    let mut wire = world.stepgate.wire().await;
    wire.send(&head(9)).await;
    assert_eq!(status(&wire.header().await), 100);
    wire.send("amount=42").await;
    let answer = wire.rest().await;
    assert_eq!(problem(&answer)["code"], "approval-required", "{answer}");
    let mut wire = world.stepgate.wire().await;
    wire.send(&head((64 << 10) + 1)).await;
    assert_eq!(status(&wire.rest().await), 413);
    let hits = world.hit_count();
    assert_eq!(hits, 3, "the page, and two that were agreed to");

    // A call of gRPC asks and comes back in its own words.
    let grpc = ["Content-Type: application/grpc", "Content-Length: 5"];
    let answer = world.raw_with("POST /call", &grpc, "\0\0\0\0\0").await;
    assert_eq!(field(&answer, "grpc-status"), "7", "{answer}");
    let id = field(&answer, "stepgate-approval").to_owned();
    assert!(field(&answer, "grpc-message").contains(&id), "{answer}");
    world.vote(&id, "carol", Answer::Yes).await;
    let named = format!("Stepgate-Approval: {id}");
    let answer = world
        .raw_with("POST /call", &[grpc[0], grpc[1], &named], "\0\0\0\0\0")
        .await;
    assert_eq!(status(&answer), 200, "{answer}");
    assert_eq!(world.last_hit().target, "/call");
}
