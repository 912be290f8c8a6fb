//! [`RestCatalog`]: a catalog behind Iceberg's REST protocol. The server writes metadata files and decides
//! commits; we send it requirements and updates.
//!
//! What an answer to a commit proves: 200 that it is done, 409 that somebody else was first, another 4xx and a
//! connection that was never made that nothing was changed. 5xx, and a connection that broke, prove
//! nothing. So a commit is sent once and never again by itself.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use iceberg::io::FileIO;
use iceberg::spec::TableMetadata;
use iceberg::table::Table;
use iceberg::{NamespaceIdent, TableCreation, TableIdent, TableRequirement, TableUpdate};
use millstream_core::{Error, ErrorKind, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use ureq::Agent;

use super::{Catalog, Committed};
use crate::iceberg::blocking::table_runtime;
use crate::iceberg::error::from_iceberg;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Pages of a listing, against a server that never ends one.
const PAGES_MAX: usize = 10_000;

/// How a REST catalog is reached.
#[derive(Debug, Clone, Default)]
pub struct RestSettings {
    /// `http://host:port/path`, without `/v1`.
    pub uri: String,
    /// What the server calls the warehouse.
    pub warehouse: Option<String>,
    /// A token that is sent as it is.
    pub token: Option<String>,
    /// `id:secret`, for which the server gives tokens.
    pub credential: Option<String>,
}

/// A catalog behind the REST protocol.
pub struct RestCatalog {
    settings: RestSettings,
    agent: Agent,
    /// Between `/v1/` and `namespaces`, with a slash at its end; or nothing.
    prefix: String,
    token: Mutex<Option<String>>,
    files: FileIO,
}

/// What came back: status and body, or why nothing did.
enum Answer {
    Said(u16, String),
    /// The request was never sent.
    NotSent(String),
    Lost(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Loaded {
    metadata_location: Option<String>,
    metadata: TableMetadata,
}

#[derive(Default, Deserialize)]
struct ServerConfig {
    #[serde(default)]
    defaults: BTreeMap<String, String>,
    #[serde(default)]
    overrides: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Page {
    #[serde(default)]
    namespaces: Vec<Vec<String>>,
    #[serde(default)]
    identifiers: Vec<TableIdent>,
    next_page_token: Option<String>,
}

impl RestCatalog {
    /// Asks the server for its configuration.
    ///
    /// # Errors
    /// `Unavailable` if it does not answer; `InvalidInput` if it refuses.
    pub fn open(settings: RestSettings, files: FileIO) -> Result<Self> {
        let config = Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .max_redirects(0)
            .build();
        let token = settings.token.clone();
        let mut catalog = Self {
            settings,
            agent: config.into(),
            prefix: String::new(),
            token: Mutex::new(token),
            files,
        };
        let warehouse = catalog.settings.warehouse.as_deref();
        let query =
            warehouse.map_or_else(String::new, |name| format!("?warehouse={}", encoded(name)));
        let answer = catalog.ask("GET", &format!("config{query}"), None)?;
        let config: ServerConfig = match answer {
            Answer::Said(404, _) => ServerConfig::default(),
            answer => catalog.parsed(answer, "the configuration")?,
        };
        let prefix = config
            .overrides
            .get("prefix")
            .or(config.defaults.get("prefix"));
        catalog.prefix = prefix.map_or_else(String::new, |prefix| format!("{prefix}/"));
        Ok(catalog)
    }

    /// Sends a request; once more with a new token if the old one is refused, which proves that nothing was
    /// done.
    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer> {
        if self.token().is_none() {
            self.renew_token()?;
        }
        match self.send(method, path, body) {
            Answer::Said(401, _) if self.settings.credential.is_some() => {
                self.renew_token()?;
                Ok(self.send(method, path, body))
            }
            answer => Ok(answer),
        }
    }

    fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let url = format!("{}/v1/{path}", self.settings.uri.trim_end_matches('/'));
        let mut request = ureq::http::Request::builder().method(method).uri(url);
        if let Some(token) = self.token() {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let request = request.header("Content-Type", "application/json");
        let body = body.map_or_else(String::new, Value::to_string);
        match request.body(body) {
            Ok(request) => answered(self.agent.run(request)),
            Err(error) => Answer::NotSent(error.to_string()),
        }
    }

    fn token(&self) -> Option<String> {
        self.token.lock().expect("no holder panics").clone()
    }

    /// A token for the credential, if there is one.
    fn renew_token(&self) -> Result<()> {
        let Some(credential) = &self.settings.credential else {
            return Ok(());
        };
        let (id, secret) = credential.split_once(':').unwrap_or(("", credential));
        let url = format!(
            "{}/v1/oauth/tokens",
            self.settings.uri.trim_end_matches('/')
        );
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", id),
            ("client_secret", secret),
            ("scope", "catalog"),
        ];
        let answer = answered(self.agent.post(url).send_form(form));
        let granted: Granted = self.parsed(answer, "a token")?;
        *self.token.lock().expect("no holder panics") = Some(granted.access_token);
        Ok(())
    }

    fn parsed<T: serde::de::DeserializeOwned>(&self, answer: Answer, what: &str) -> Result<T> {
        match answer {
            Answer::Said(200, text) => serde_json::from_str(&text)
                .map_err(|error| Error::unavailable(format!("{}: {what}: {error}", self.place()))),
            other => Err(self.refused(other, what)),
        }
    }

    fn place(&self) -> String {
        format!("catalog `{}`", self.settings.uri)
    }

    fn refused(&self, answer: Answer, what: &str) -> Error {
        let place = self.place();
        match answer {
            Answer::Said(status, text) => {
                let kind = match status {
                    409 => ErrorKind::Conflict,
                    // It may be allowed, or asked less, later.
                    507 => ErrorKind::StorageFull,
                    401 | 403 | 408 | 419 | 429 | 500.. => ErrorKind::Unavailable,
                    _ => ErrorKind::InvalidInput,
                };
                let text = message(&text);
                Error::new(kind, format!("{place}: {what}: answered {status}: {text}"))
            }
            Answer::NotSent(error) | Answer::Lost(error) => {
                Error::unavailable(format!("{place}: {what}: {error}"))
            }
        }
    }

    fn table_path(&self, table: &TableIdent) -> String {
        let namespace = self.namespace_path(table.namespace());
        format!("{namespace}/tables/{}", encoded(table.name()))
    }

    fn namespace_path(&self, namespace: &NamespaceIdent) -> String {
        // Levels are separated by the unit separator.
        let levels = encoded(&namespace.as_ref().join("\u{1f}"));
        format!("{}namespaces/{levels}", self.prefix)
    }

    fn table(&self, ident: &TableIdent, loaded: Loaded) -> Result<Table> {
        let table = Table::builder()
            .file_io(self.files.clone())
            .identifier(ident.clone())
            .metadata_location(loaded.metadata_location.unwrap_or_default())
            .metadata(loaded.metadata)
            .runtime(table_runtime())
            .build();
        table.map_err(from_iceberg)
    }

    fn pages(&self, path: &str, mut take: impl FnMut(Page)) -> Result<()> {
        let mut token: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let query = token.map_or_else(String::new, |token| {
                format!("?pageToken={}", encoded(&token))
            });
            let answer = self.ask("GET", &format!("{path}{query}"), None)?;
            let page: Page = self.parsed(answer, "a listing")?;
            token = page.next_page_token.clone();
            take(page);
            if token.is_none() {
                return Ok(());
            }
        }
        Err(Error::unavailable(format!(
            "{}: a listing without end",
            self.place()
        )))
    }
}

impl Catalog for RestCatalog {
    fn load(&self, ident: &TableIdent) -> Result<Option<Table>> {
        let what = format!("table `{ident}`");
        match self.ask("GET", &self.table_path(ident), None)? {
            Answer::Said(404, _) => Ok(None),
            answer => {
                let loaded = self.parsed(answer, &what)?;
                self.table(ident, loaded).map(Some)
            }
        }
    }

    fn create(&self, ident: &TableIdent, creation: TableCreation) -> Result<Table> {
        let namespace = json!({"namespace": ident.namespace().as_ref(), "properties": {}});
        let path = format!("{}namespaces", self.prefix);
        match self.ask("POST", &path, Some(&namespace))? {
            Answer::Said(200 | 409, _) => {}
            answer => return Err(self.refused(answer, "a namespace")),
        }
        let body = json!({
            "name": ident.name(),
            "location": creation.location,
            "schema": creation.schema,
            "partition-spec": creation.partition_spec,
            "write-order": creation.sort_order.filter(|order| !order.is_unsorted()),
            "stage-create": false,
            "properties": creation.properties,
        });
        let path = format!("{}/tables", self.namespace_path(ident.namespace()));
        let answer = self.ask("POST", &path, Some(&without_nulls(body)))?;
        let loaded = self.parsed(answer, &format!("table `{ident}`"))?;
        self.table(ident, loaded)
    }

    fn commit(
        &self,
        base: &Table,
        requirements: Vec<TableRequirement>,
        updates: Vec<TableUpdate>,
    ) -> Committed {
        let ident = base.identifier();
        let body = json!({
            "identifier": ident,
            "requirements": requirements,
            "updates": updates,
        });
        let what = format!("a commit to table `{ident}`");
        let answer = match self.ask("POST", &self.table_path(ident), Some(&body)) {
            Ok(answer) => answer,
            // There was no token to ask with.
            Err(error) => return Committed::Failed(error),
        };
        match answer {
            Answer::Said(200, text) => {
                let loaded = self.parsed(Answer::Said(200, text), &what);
                match loaded.and_then(|loaded| self.table(ident, loaded)) {
                    Ok(table) => Committed::Done(Box::new(table)),
                    Err(error) => Committed::Unknown(error),
                }
            }
            answer @ Answer::Said(409, _) => Committed::Rejected(self.refused(answer, &what)),
            answer @ (Answer::Said(400..500, _) | Answer::NotSent(_)) => {
                Committed::Failed(self.refused(answer, &what))
            }
            answer => Committed::Unknown(self.refused(answer, &what)),
        }
    }

    fn list(&self) -> Result<Vec<TableIdent>> {
        let mut namespaces = vec![];
        self.pages(&format!("{}namespaces", self.prefix), |page| {
            namespaces.extend(page.namespaces);
        })?;
        let mut tables = vec![];
        for namespace in namespaces {
            let Ok(namespace) = NamespaceIdent::from_vec(namespace) else {
                continue;
            };
            let path = format!("{}/tables", self.namespace_path(&namespace));
            self.pages(&path, |page| tables.extend(page.identifiers))?;
        }
        tables.sort_by_key(TableIdent::to_string);
        Ok(tables)
    }
}

fn answered(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Answer {
    use ureq::Error as E;
    use ureq::Timeout;
    match answer {
        Ok(mut response) => {
            let status = response.status().as_u16();
            // Metadata of a table with many snapshots is long.
            let body = response.body_mut().with_config().limit(1 << 30);
            match body.read_to_string() {
                Ok(text) => Answer::Said(status, text),
                Err(error) => Answer::Lost(error.to_string()),
            }
        }
        Err(error) => {
            let is_unsent = match &error {
                E::HostNotFound | E::BadUri(_) | E::ConnectionFailed | E::Tls(_) => true,
                E::Timeout(Timeout::Resolve | Timeout::Connect) => true,
                E::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
                _ => false,
            };
            match is_unsent {
                true => Answer::NotSent(error.to_string()),
                false => Answer::Lost(error.to_string()),
            }
        }
    }
}

/// What an error's body says, in the protocol's form or as it is.
fn message(text: &str) -> String {
    let parsed: Option<Value> = serde_json::from_str(text).ok();
    let said = parsed.and_then(|value| Some(value["error"]["message"].as_str()?.to_owned()));
    said.unwrap_or_else(|| text.chars().take(200).collect())
}

/// Servers take an absent key and not always a null.
fn without_nulls(mut value: Value) -> Value {
    if let Value::Object(fields) = &mut value {
        fields.retain(|_, value| !value.is_null());
    }
    value
}

/// Percent-encoded for a part of a path or a query.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests;
