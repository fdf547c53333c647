//! A browser, as far as signing in goes: cookies, redirects, and the forms of Keycloak's pages.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use reqwest::header::{ACCEPT, COOKIE, LOCATION, ORIGIN, REFRESH, SET_COOKIE};
use reqwest::{Method, StatusCode, Url};

use super::key::SecurityKey;
use super::person::{Device, Person};

/// More of them are a loop.
const REDIRECTS: usize = 20;

/// Screens of Keycloak in one round trip; more of them are a loop.
const SCREENS: usize = 8;

#[derive(Debug)]
pub(crate) struct Browser {
    client: reqwest::Client,
    /// By host, path and name: a port makes no difference. `Secure` ones, too: browsers send them to loopback.
    cookies: BTreeMap<(String, String, String), String>,
    /// Every address that was asked for, and every cookie's value that a host gave.
    pub(crate) seen: Vec<(Url, Option<String>)>,
    /// A URL that starts so is not followed: for who wants the code itself.
    pub(crate) stop_at: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) url: Url,
    pub(crate) status: StatusCode,
    pub(crate) body: String,
}

/// What Keycloak asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Factor {
    Password,
    Code,
    /// Setting a device for codes up.
    Enrolment,
    Key,
    /// Setting a security key up.
    KeyEnrolment,
}

/// A way through Keycloak, and where it ended.
#[derive(Debug)]
pub(crate) struct Walk {
    pub(crate) asked: Vec<Factor>,
    /// Where it was asked for.
    pub(crate) screens: Vec<Url>,
    pub(crate) page: Page,
}

impl Browser {
    pub(crate) fn new() -> Self {
        Self::with(|client| client)
    }

    /// One that finds a host by its name alone, and trusts one authority.
    pub(crate) fn trusting(ca: &str, host: &str, at: SocketAddr) -> Self {
        let ca = reqwest::Certificate::from_pem(ca.as_bytes()).unwrap();
        Self::with(|client| client.tls_certs_only([ca]).resolve(host, at))
    }

    fn with(more: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder) -> Self {
        crate::harness::install_crypto();
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .resolve("payroll.localhost", here)
            .resolve("other.localhost", here)
            .resolve("approve.localhost", here);
        Self {
            client: more(client).build().unwrap(),
            cookies: BTreeMap::new(),
            seen: Vec::new(),
            stop_at: None,
        }
    }

    /// As by the address bar or a link.
    pub(crate) async fn open(&mut self, url: &str) -> Page {
        let url = url.parse().unwrap();
        self.navigate(Method::GET, url, &[], None).await
    }

    pub(crate) async fn post(&mut self, url: Url, form: Vec<(String, String)>) -> Page {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish()
            .into_bytes();
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        self.navigate(Method::POST, url, &headers, Some(body)).await
    }

    /// `headers` and `body` are of the first request; `Origin` is its own host's where they say nothing else.
    pub(crate) async fn navigate(
        &mut self,
        method: Method,
        url: Url,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Page {
        let (mut method, mut url, mut headers, mut body) = (method, url, headers, body);
        // As browsers tell it of what a page leads on to by itself.
        let mut from_here = false;
        for _ in 0..REDIRECTS {
            self.seen.push((url.clone(), None));
            let stops = |url: &Url| {
                let stop = self.stop_at.as_deref();
                stop.is_some_and(|stop| url.as_str().starts_with(stop))
            };
            if stops(&url) {
                return Page {
                    url,
                    status: StatusCode::FOUND,
                    body: String::new(),
                };
            }
            let mut request = self
                .client
                .request(method.clone(), url.clone())
                .header(ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8")
                .header("sec-fetch-mode", "navigate")
                .header("sec-fetch-dest", "document");
            let says_origin = headers.iter().any(|(name, _)| *name == "origin");
            if method != Method::GET && !says_origin {
                request = request.header(ORIGIN, url.origin().ascii_serialization());
            }
            if from_here {
                request = request.header("sec-fetch-site", "same-origin");
            }
            let cookies = self.cookies_for(&url);
            if !cookies.is_empty() {
                request = request.header(COOKIE, cookies);
            }
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            if let Some(body) = &body {
                request = request.body(body.clone());
            }
            let answer = request.send().await.unwrap();
            for cookie in answer.headers().get_all(SET_COOKIE) {
                self.keep(&url, cookie.to_str().unwrap());
            }
            let status = answer.status();
            let location = answer.headers().get(LOCATION);
            let location = location
                .filter(|_| status.is_redirection())
                .map(|location| location.to_str().unwrap());
            let refresh = answer.headers().get(REFRESH);
            let at_once = refresh.and_then(|when| when.to_str().unwrap().strip_prefix("0; url="));
            let location_is_none = location.is_none();
            match location.or(at_once) {
                Some(location) => {
                    let next = url.join(location).unwrap();
                    let by_itself = location_is_none || from_here;
                    from_here = by_itself && next.origin() == url.origin();
                    url = next;
                    (method, headers, body) = (Method::GET, &[], None);
                }
                None => {
                    let body = answer.text().await.unwrap();
                    return Page { url, status, body };
                }
            }
        }
        panic!("a redirect loop, at {url}");
    }

    /// A request by a program of the same browser (`fetch`): no redirect is followed.
    pub(crate) async fn fetch(&self, method: &str, url: &str) -> reqwest::Response {
        self.send(method, url, &[], String::new()).await
    }

    /// The same with further headers, and a body.
    pub(crate) async fn send(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> reqwest::Response {
        let url: Url = url.parse().unwrap();
        let mut request = self
            .client
            .request(method.parse().unwrap(), url.clone())
            .header(ACCEPT, "application/json")
            .header("sec-fetch-mode", "cors")
            .header("sec-fetch-site", "same-origin")
            .header("sec-fetch-dest", "empty")
            .header(ORIGIN, url.origin().ascii_serialization())
            .header(COOKIE, self.cookies_for(&url))
            .body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    pub(crate) fn cookies_for(&self, url: &Url) -> String {
        let fits = |host: &str, path: &str| {
            host == url.host_str().unwrap() && url.path().starts_with(path)
        };
        let pairs = self
            .cookies
            .iter()
            .filter(|((host, path, _), _)| fits(host, path))
            .map(|((_, _, name), value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("; ")
    }

    pub(crate) fn keep(&mut self, url: &Url, set: &str) {
        let mut parts = set.split(';').map(str::trim);
        let (name, value) = parts.next().unwrap().split_once('=').unwrap();
        let (mut path, mut gone) = ("/", false);
        for part in parts {
            match part.split_once('=') {
                Some((key, given)) if key.eq_ignore_ascii_case("path") => path = given,
                Some((key, age)) if key.eq_ignore_ascii_case("max-age") => gone = age == "0",
                _ => {}
            }
        }
        self.seen.push((url.clone(), Some(value.to_owned())));
        let host = url.host_str().unwrap().to_owned();
        let key = (host, path.to_owned(), name.to_owned());
        match gone {
            true => self.cookies.remove(&key),
            false => self.cookies.insert(key, value.to_owned()),
        };
    }

    /// Forgets what one host set.
    pub(crate) fn forget(&mut self, host: &str) {
        self.cookies.retain(|(known, ..), _| known != host);
    }

    /// Does what Keycloak's pages ask for until something else comes.
    pub(crate) async fn walk(&mut self, url: &str, person: &mut Person) -> Walk {
        let page = self.open(url).await;
        self.go_on(page, person).await
    }

    pub(crate) async fn go_on(&mut self, page: Page, person: &mut Person) -> Walk {
        let mut page = page;
        let (mut asked, mut screens) = (Vec::new(), Vec::new());
        for _ in 0..SCREENS {
            let Some(factor) = page.asks_for() else {
                return Walk {
                    asked,
                    screens,
                    page,
                };
            };
            asked.push(factor);
            screens.push(page.url.clone());
            page = self.answer(&page, factor, person).await;
        }
        panic!("Keycloak asked {asked:?}, and now:\n{}", page.text());
    }

    /// One screen.
    pub(crate) async fn answer(
        &mut self,
        page: &Page,
        factor: Factor,
        person: &mut Person,
    ) -> Page {
        let filled: Vec<(&str, String)> = match factor {
            Factor::Password => {
                let password = ("password", person.password.clone());
                // Not asked for where Keycloak knows who it is.
                let name = page.has_input("username");
                let name = name.then(|| ("username", person.name.clone()));
                [password].into_iter().chain(name).collect()
            }
            Factor::Code => {
                let device = person.device.as_mut();
                let device = device.unwrap_or_else(|| panic!("asked for a code:\n{}", page.text()));
                vec![("otp", device.code().await)]
            }
            Factor::Enrolment => {
                let secret = page.input("totpSecret").expect("a secret to set up");
                let mut device = Device::new(&secret);
                let code = device.code().await;
                person.device = Some(device);
                vec![("totp", code), ("userLabel", "test".to_owned())]
            }
            Factor::KeyEnrolment => {
                let key = person.key.insert(SecurityKey::new());
                key.register(&page.url, &page.challenge())
            }
            Factor::Key => {
                let key = person.key.as_ref();
                let key = key.unwrap_or_else(|| panic!("asked for a key:\n{}", page.text()));
                key.touch(&page.url, &page.challenge())
            }
        };
        self.submit(page, &filled).await
    }

    /// The page's form that has a field of the first name, with its own hidden fields and these.
    pub(crate) async fn submit(&mut self, page: &Page, filled: &[(&str, String)]) -> Page {
        let wanted = filled.first().map_or("", |(name, _)| name);
        let form = page.form(wanted);
        let form = form.unwrap_or_else(|| panic!("no form with {wanted:?}:\n{}", page.text()));
        let mut fields = form.hidden;
        fields.retain(|(name, _)| filled.iter().all(|(known, _)| known != name));
        fields.extend(
            filled
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone())),
        );
        self.post(form.action, fields).await
    }
}

struct Form {
    action: Url,
    hidden: Vec<(String, String)>,
}

impl Page {
    /// Keycloak says on every page of its theme which one it is.
    fn id(&self) -> Option<&str> {
        Some(
            self.body
                .split_once("data-page-id=\"")?
                .1
                .split_once('"')?
                .0,
        )
    }

    pub(crate) fn asks_for(&self) -> Option<Factor> {
        match self.id()? {
            "login-login" => Some(Factor::Password),
            "login-login-otp" => Some(Factor::Code),
            "login-login-config-totp" => Some(Factor::Enrolment),
            "login-webauthn-authenticate" => Some(Factor::Key),
            "login-webauthn-register" => Some(Factor::KeyEnrolment),
            _ => None,
        }
    }

    /// In the script of a page for security keys.
    fn challenge(&self) -> String {
        let (_, rest) = self.body.split_once("challenge").expect("a challenge");
        let mut quoted = rest.split(['"', '\'']);
        quoted.nth(1).unwrap().to_owned()
    }

    /// Keycloak's pages have others, too (`Try another way`). An empty name: whichever is first.
    fn form(&self, with: &str) -> Option<Form> {
        let forms = self.body.split("<form").skip(1);
        let mut forms = forms.filter_map(|rest| Some(rest.split_once("</form>")?.0));
        let form = forms.find(|form| {
            with.is_empty() || inputs(form).any(|input| attribute(input, "name") == Some(with))
        })?;
        let action = form.split_once("action=\"")?.1.split_once('"')?.0;
        let hidden = inputs(form)
            .filter(|input| attribute(input, "type") == Some("hidden"))
            .filter_map(|input| {
                let value = attribute(input, "value").unwrap_or_default();
                let name = attribute(input, "name")?;
                Some((name.to_owned(), value.replace("&amp;", "&")))
            });
        Some(Form {
            action: self.url.join(&action.replace("&amp;", "&")).unwrap(),
            hidden: hidden.collect(),
        })
    }

    /// Where the page's first form goes.
    pub(crate) fn action(&self) -> Option<Url> {
        Some(self.form("")?.action)
    }

    /// The first link with such a path.
    pub(crate) fn link(&self, path: &str) -> Option<String> {
        let links = self.body.split("href=\"").skip(1);
        let mut targets =
            links.filter_map(|rest| Some(rest.split_once('"')?.0.replace("&amp;", "&")));
        let target = targets.find(|target| target.contains(path))?;
        Some(self.url.join(&target).unwrap().into())
    }

    fn has_input(&self, name: &str) -> bool {
        inputs(&self.body).any(|input| attribute(input, "name") == Some(name))
    }

    fn input(&self, name: &str) -> Option<String> {
        let input = inputs(&self.body).find(|input| attribute(input, "name") == Some(name))?;
        attribute(input, "value").map(str::to_owned)
    }

    /// Without tags and empty lines, for a look at what went wrong.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{} {}\n", self.status, self.url);
        let visible = self
            .body
            .split_once("<body")
            .map_or(&*self.body, |(_, body)| body);
        for part in visible.split('<') {
            let words = part.split_once('>').map_or("", |(_, words)| words.trim());
            if !words.is_empty() {
                text.push_str(words);
                text.push('\n');
            }
        }
        text
    }
}

fn inputs(html: &str) -> impl Iterator<Item = &str> {
    html.split("<input")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once('>')?.0))
}

fn attribute<'a>(input: &'a str, name: &str) -> Option<&'a str> {
    let start = input.split_once(&format!(" {name}=\""))?.1;
    Some(start.split_once('"')?.0)
}
