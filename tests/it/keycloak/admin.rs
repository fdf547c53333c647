//! What an administrator does in Keycloak, by its REST API.

use serde_json::{Value, json};

use super::server::REALM;

/// The origin in the shipped realm.
const ORIGIN: &str = "http://payroll.localhost:8080";

/// That of the approver app.
const APPROVER: &str = "http://approve.localhost:8080";

#[derive(Debug)]
pub(crate) struct Admin {
    client: reqwest::Client,
    url: String,
}

impl Admin {
    pub(crate) async fn log_in(url: &str) -> Self {
        Self {
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            url: url.to_owned(),
        }
    }

    /// Good for a minute.
    async fn token(&self) -> String {
        let url = format!("{}/realms/master/protocol/openid-connect/token", self.url);
        let form = [
            ("grant_type", "password"),
            ("client_id", "admin-cli"),
            ("username", "admin"),
            ("password", "admin"),
        ];
        let answer = self.client.post(url).form(&form).send().await.unwrap();
        let answer: Value = answer.error_for_status().unwrap().json().await.unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }

    async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> reqwest::Response {
        let method: reqwest::Method = method.parse().unwrap();
        let url = format!("{}/admin/realms{path}", self.url);
        let mut request = self
            .client
            .request(method.clone(), &url)
            .bearer_auth(self.token().await);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        if !status.is_success() {
            panic!("{method} {url}: {status} {}", answer.text().await.unwrap());
        }
        answer
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.call("GET", path, None).await.json().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) {
        self.call("POST", path, Some(body)).await;
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) {
        self.call("PUT", path, Some(body)).await;
    }

    pub(crate) async fn delete(&self, path: &str) {
        self.call("DELETE", path, None).await;
    }

    /// The shipped realm under another name, for another origin: a test's own users, keys and sessions.
    pub(crate) async fn import(&self, name: &str, origin: &str) {
        self.import_changed(name, origin, |_| {}).await;
    }

    pub(crate) async fn import_changed(
        &self,
        name: &str,
        origin: &str,
        change: impl FnOnce(&mut Value),
    ) {
        let approver = origin.replace("payroll.", "approve.");
        let realm = REALM.replace(ORIGIN, origin).replace(APPROVER, &approver);
        let mut realm: Value = serde_json::from_str(&realm).unwrap();
        realm["realm"] = json!(name);
        change(&mut realm);
        self.post("", &realm).await;
    }

    pub(crate) async fn user_id(&self, realm: &str, name: &str) -> String {
        let found = self
            .get(&format!("/{realm}/users?exact=true&username={name}"))
            .await;
        found[0]["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn client_id(&self, realm: &str, name: &str) -> String {
        let found = self.get(&format!("/{realm}/clients?clientId={name}")).await;
        found[0]["id"].as_str().unwrap().to_owned()
    }

    /// stepgate's own client asks by CIBA, in that mode; `approver` is where it is pinged.
    pub(crate) async fn may_ask_by_ciba(&self, realm: &str, delivery: &str, approver: &str) {
        let id = self.client_id(realm, "stepgate").await;
        let path = format!("/{realm}/clients/{id}");
        let mut client = self.get(&path).await;
        let attributes = &mut client["attributes"];
        attributes["oidc.ciba.grant.enabled"] = json!("true");
        attributes["ciba.backchannel.token.delivery.mode"] = json!(delivery);
        attributes["ciba.backchannel.client.notification.endpoint"] =
            json!(format!("{approver}/.stepgate/ciba/ping"));
        self.put(&path, &client).await;
    }

    /// Ids of the user's SSO sessions.
    pub(crate) async fn sessions(&self, realm: &str, user: &str) -> Vec<String> {
        let user = self.user_id(realm, user).await;
        let found = self.get(&format!("/{realm}/users/{user}/sessions")).await;
        let id = |session: &Value| session["id"].as_str().unwrap().to_owned();
        found.as_array().unwrap().iter().map(id).collect()
    }

    /// Ids of the components that make the keys for signatures.
    pub(crate) async fn signing_keys(&self, realm: &str) -> Vec<String> {
        let path = format!("/{realm}/components?type=org.keycloak.keys.KeyProvider");
        let found = self.get(&path).await;
        let signs = |key: &&Value| key["providerId"] == "rsa-generated";
        let id = |key: &Value| key["id"].as_str().unwrap().to_owned();
        found
            .as_array()
            .unwrap()
            .iter()
            .filter(signs)
            .map(id)
            .collect()
    }

    /// Signs everything from now on.
    pub(crate) async fn add_signing_key(&self, realm: &str, name: &str, priority: u32) {
        let key = json!({
            "name": name,
            "providerId": "rsa-generated",
            "providerType": "org.keycloak.keys.KeyProvider",
            "config": {
                "priority": [priority.to_string()],
                "enabled": ["true"],
                "active": ["true"],
                "algorithm": ["RS256"],
                "keySize": ["2048"],
            },
        });
        self.post(&format!("/{realm}/components"), &key).await;
    }
}
