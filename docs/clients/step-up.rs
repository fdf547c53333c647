//! An API client that does what a step-up challenge asks (RFC 9470): it has the user sign in again, as strongly and as
//! recently as the API wants it, and sends the request once more.
//!
//! `cargo run --example step-up -- ISSUER CLIENT_ID URL`
//!
//! At Keycloak: a public client, standard flow, PKCE `S256`, valid redirect URI `http://127.0.0.1/callback`, and a mapper
//! that puts the API's audience into its access tokens.

#![allow(
    clippy::print_stdout,
    missing_debug_implementations,
    reason = "a program to read and to run, and no token is to be printed"
)]

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use reqwest::{Response, StatusCode, Url};
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

type Failure = Box<dyn Error + Send + Sync>;

/// How long a user may take to sign in.
const PATIENCE: Duration = Duration::from_secs(300);

/// What an API wants of the sign-in that a token comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    pub acr_values: Option<String>,
    pub max_age: Option<String>,
    pub scope: Option<String>,
}

pub struct Client<Show> {
    http: reqwest::Client,
    issuer: String,
    client_id: String,
    /// Has the user open an address in a browser.
    show: Show,
    token: Option<String>,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    authorization_endpoint: Url,
    token_endpoint: Url,
}

#[derive(Deserialize)]
struct Tokens {
    access_token: String,
}

impl<Show: Fn(&str)> Client<Show> {
    pub fn new(http: reqwest::Client, issuer: &str, client_id: &str, show: Show) -> Self {
        Self {
            http,
            issuer: issuer.to_owned(),
            client_id: client_id.to_owned(),
            show,
            token: None,
        }
    }

    /// One step-up at the most: an API that asks again for the same gets its answer shown, not another sign-in.
    pub async fn get(&mut self, url: &str) -> Result<Response, Failure> {
        let token = match self.token.clone() {
            Some(token) => token,
            None => self.sign_in(&Wanted::default()).await?,
        };
        let answer = self.http.get(url).bearer_auth(&token).send().await?;
        let Some(wanted) = wanted(answer.status(), answer.headers()) else {
            return Ok(answer);
        };
        let token = self.sign_in(&wanted).await?;
        Ok(self.http.get(url).bearer_auth(&token).send().await?)
    }

    /// Authorization code with PKCE, for a program on the user's own machine (RFC 8252).
    async fn sign_in(&mut self, wanted: &Wanted) -> Result<String, Failure> {
        let discovery: Discovery = self
            .http
            .get(format!("{}/.well-known/openid-configuration", self.issuer))
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let redirect_uri = format!("http://{}/callback", listener.local_addr()?);
        let (state, verifier) = (random()?, random()?);
        let challenge = ring::digest::digest(&ring::digest::SHA256, verifier.as_bytes());
        let scope = wanted.scope.as_deref().unwrap_or_default();
        let mut url = discovery.authorization_endpoint.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.client_id)
            .append_pair("redirect_uri", &redirect_uri)
            .append_pair("scope", format!("openid {scope}").trim_end())
            .append_pair("state", &state)
            .append_pair("code_challenge_method", "S256")
            .append_pair("code_challenge", &BASE64URL.encode(challenge));
        for (name, value) in [
            ("acr_values", &wanted.acr_values),
            ("max_age", &wanted.max_age),
        ] {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, value);
            }
        }
        (self.show)(url.as_str());
        let returned = tokio::time::timeout(PATIENCE, callback(&listener)).await??;
        let returned = |name: &str| returned.get(name).map(String::as_str);
        // RFC 9207: the answer is this provider's, and to this very request.
        if returned("state") != Some(&state)
            || returned("iss").is_some_and(|iss| iss != discovery.issuer)
        {
            return Err("an answer to another request".into());
        }
        let code = returned("code").ok_or("the sign-in was not finished")?;
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", &self.client_id),
            ("redirect_uri", &redirect_uri),
            ("code", code),
            ("code_verifier", &verifier),
        ];
        let tokens: Tokens = self
            .http
            .post(discovery.token_endpoint)
            .form(&form)
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;
        self.token = Some(tokens.access_token.clone());
        Ok(tokens.access_token)
    }
}

/// What another sign-in would help with; nothing where none would.
fn wanted(status: StatusCode, headers: &HeaderMap) -> Option<Wanted> {
    let challenges = headers.get_all(WWW_AUTHENTICATE).iter();
    let mut params = challenges
        .filter_map(|value| value.to_str().ok())
        .filter_map(|value| value.strip_prefix("Bearer "))
        .map(parse)
        .next()?;
    match (status, params.get("error").map(String::as_str)) {
        (StatusCode::UNAUTHORIZED, Some("insufficient_user_authentication" | "invalid_token"))
        | (StatusCode::FORBIDDEN, Some("insufficient_scope")) => Some(Wanted {
            acr_values: params.remove("acr_values"),
            max_age: params.remove("max_age"),
            scope: params.remove("scope"),
        }),
        _ => None,
    }
}

/// The parameters of one challenge, as tokens or quoted strings (RFC 9110 section 11.2).
pub fn parse(text: &str) -> HashMap<String, String> {
    let mut params = HashMap::new();
    let mut rest = text.chars().peekable();
    while rest.peek().is_some() {
        let name: String = rest.by_ref().take_while(|letter| *letter != '=').collect();
        let mut value = String::new();
        if rest.next_if_eq(&'"').is_some() {
            while let Some(letter) = rest.next() {
                match letter {
                    '"' => break,
                    '\\' => value.extend(rest.next()),
                    letter => value.push(letter),
                }
            }
            rest.by_ref()
                .take_while(|letter| *letter != ',')
                .for_each(drop);
        } else {
            value.extend(rest.by_ref().take_while(|letter| *letter != ','));
        }
        let name = name.trim_matches([' ', ',']).to_ascii_lowercase();
        params.insert(name, value.trim().to_owned());
    }
    params
}

/// The query with which the browser comes back; whatever else it asks for is not here.
async fn callback(listener: &TcpListener) -> Result<HashMap<String, String>, Failure> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        let head = head(&mut stream).await?;
        let target = head.split(' ').nth(1).unwrap_or_default();
        let query = target.strip_prefix("/callback?");
        let (status, text) = match query {
            Some(_) => ("200 OK", "You are signed in, and can close this page."),
            None => ("404 Not Found", ""),
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
            text.len()
        );
        stream.write_all(answer.as_bytes()).await?;
        if let Some(query) = query {
            let pairs = form_urlencoded::parse(query.as_bytes());
            return Ok(pairs.into_owned().collect());
        }
    }
}

async fn head(stream: &mut TcpStream) -> Result<String, Failure> {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") && read.len() < 16_384 {
        match stream.read_u8().await {
            Ok(byte) => read.push(byte),
            Err(_) => break,
        }
    }
    Ok(String::from_utf8_lossy(&read).into_owned())
}

fn random() -> Result<String, Failure> {
    let mut bytes = [0; 32];
    #[expect(clippy::disallowed_methods, reason = "not part of stepgate")]
    let random = ring::rand::SystemRandom::new();
    ring::rand::SecureRandom::fill(&random, &mut bytes).map_err(|_| "no randomness")?;
    Ok(BASE64URL.encode(bytes))
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    // reqwest brings no cryptography of its own here.
    let _first = rustls::crypto::ring::default_provider().install_default();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [issuer, client_id, url] = arguments.as_slice() else {
        return Err("step-up ISSUER CLIENT_ID URL".into());
    };
    let show = |url: &str| println!("open {url}");
    let mut client = Client::new(reqwest::Client::new(), issuer, client_id, show);
    let answer = client.get(url).await?;
    println!("{}", answer.status());
    println!("{}", answer.text().await?);
    Ok(())
}
