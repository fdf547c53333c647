//! People of a partner, who sign in at the partner's realm: the shipped realm is a broker there.

use serde_json::{Value, json};

use super::browser::Factor::{Code, Password};
use super::browser::Walk;
use super::desk::Desk;
use super::person::Person;
use super::server::keycloak;
use super::world::{Twist, World};

const PARTNER: &str = include_str!("partner-realm.json");

const SECRET: &str = "between-the-realms";

/// The partner asked for the code, and the broker says so.
const TWIST: Twist<'_> = Twist {
    config: &[(
        "{ acr = [\"2\", \"mfa\"], amr_any = [\"otp\", \"hwk\"] }",
        "[{ acr = [\"2\", \"mfa\"], amr_any = [\"otp\", \"hwk\"] }, \
         { kc_idp_hint = \"partner\", claims = { idp = \"partner\", idp_acr = \"mfa\" } }]",
    )],
    app: "login = { kc_idp_hint = \"partner\" }\n",
};

/// The world's realm knows the partner's, and tells of it.
async fn introduce(world: &World, partner: &str) {
    let (admin, realm) = (&world.admin, &world.realm);
    let partners = world
        .issuer
        .replace(&format!("/realms/{realm}"), &format!("/realms/{partner}"));
    let endpoint = format!("{}/broker/partner/endpoint", world.issuer);
    let mut shown: Value =
        serde_json::from_str(&PARTNER.replace("BROKER-ENDPOINT", &endpoint)).unwrap();
    shown["realm"] = json!(partner);
    admin.post("", &shown).await;

    let protocol = format!("{partners}/protocol/openid-connect");
    let provider = json!({
        "alias": "partner",
        "providerId": "oidc",
        "enabled": true,
        "trustEmail": true,
        "config": {
            "issuer": partners,
            "authorizationUrl": format!("{protocol}/auth"),
            "tokenUrl": format!("{protocol}/token"),
            "jwksUrl": format!("{protocol}/certs"),
            "useJwksUrl": "true",
            "validateSignature": "true",
            "clientId": "broker",
            "clientSecret": SECRET,
            "clientAuthMethod": "client_secret_post",
            "defaultScope": "openid profile email",
            "syncMode": "FORCE",
            // Both realms know the name.
            "forwardParameters": "acr_values",
        },
    });
    let providers = format!("/{realm}/identity-provider/instances");
    admin.post(&providers, &provider).await;
    let mapper = json!({
        "name": "acr",
        "identityProviderAlias": "partner",
        "identityProviderMapper": "oidc-user-session-note-idp-mapper",
        "config": {
            "syncMode": "INHERIT",
            "claims": "[{\"key\":\"acr\",\"value\":\".*\"}]",
            "are.claim.values.regex": "true",
        },
    });
    admin
        .post(&format!("{providers}/partner/mappers"), &mapper)
        .await;
    let client = admin.client_id(realm, "stepgate").await;
    for (note, claim) in [("acr", "idp_acr"), ("identity_provider", "idp")] {
        let mapper = json!({
            "name": claim,
            "protocol": "openid-connect",
            "protocolMapper": "oidc-usersessionmodel-note-mapper",
            "config": {
                "user.session.note": note,
                "claim.name": claim,
                "jsonType.label": "String",
                "id.token.claim": "true",
            },
        });
        let mappers = format!("/{realm}/clients/{client}/protocol-mappers/models");
        admin.post(&mappers, &mapper).await;
    }
}

/// Every screen was the partner's.
#[track_caller]
fn all_at(partner: &str, walk: &Walk) {
    let path = format!("/realms/{partner}/");
    assert!(
        walk.screens.iter().all(|url| url.path().starts_with(&path)),
        "{:?}",
        walk.screens
    );
}

fn dora() -> Person {
    Person::with_code("dora", "stepgate-partner-dora")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_up_goes_where_the_session_came_from() {
    let Some(keycloak) = keycloak("a_step_up_goes_where_the_session_came_from").await else {
        return;
    };
    let mut world = World::twisted(keycloak, "broker", TWIST).await;
    introduce(&world, "partner").await;
    let mut dora = dora();
    let walk = world.visit("/orders", &mut dora).await;
    assert_eq!(walk.asked, [Password], "{}", walk.page.text());
    all_at("partner", &walk);
    assert_eq!(walk.page.status, 200, "{}", walk.page.text());
    assert!(
        walk.page
            .body
            .contains("x-forwarded-preferred-username: dora")
    );
    let low = "password=proven scoped=missing mfa=missing hardware-key=missing";
    assert_eq!(world.standings().await, low);

    let walk = world.visit("/fresh-mfa", &mut dora).await;
    assert_eq!(walk.asked, [Password, Code], "{}", walk.page.text());
    all_at("partner", &walk);
    assert_eq!(walk.page.url.as_str(), world.url("/fresh-mfa"));
    assert_eq!(walk.page.status, 200, "{}", walk.page.text());
    assert!(world.standings().await.contains("mfa=proven"));
}

/// The partner's word stays in the SSO session when somebody types a local password there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_partner_said_is_not_said_again_by_a_local_password() {
    let Some(keycloak) = keycloak("what_the_partner_said_is_not_said_again").await else {
        return;
    };
    let mut world = World::twisted(keycloak, "broker-stale", TWIST).await;
    introduce(&world, "partner-stale").await;
    let mut dora = dora();
    world.visit("/mfa", &mut dora).await;
    let user = world.admin.user_id(&world.realm, "dora").await;
    let path = format!("/{}/users/{user}/reset-password", world.realm);
    let password = json!({ "type": "password", "value": dora.password, "temporary": false });
    world.admin.put(&path, &password).await;

    let mut desk = Desk::beside(&world, TWIST);
    let told = desk
        .ask(&mut world.browser, &mut dora, "mfa", "prompt=login")
        .await;
    assert_eq!((&*told.asked, &*told.token), ("password", "pwd [pwd] new"));
    let id = told.exchange.unwrap().id;
    assert_eq!(id.text("idp"), Some("partner"));
    assert_eq!(id.text("idp_acr"), Some("mfa"));
    assert_eq!(told.evidence, "password@new");

    // Nor does another round through the partner help this SSO session: its `amr` is not empty any more.
    let ask = "acr_values=mfa&prompt=login&kc_idp_hint=partner";
    let told = desk.ask(&mut world.browser, &mut dora, "mfa", ask).await;
    assert_eq!(
        (&*told.asked, &*told.token),
        ("password code", "pwd [pwd] new")
    );
    assert_eq!(told.evidence, "password@new");
}
