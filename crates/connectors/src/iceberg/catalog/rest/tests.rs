//! Against a server of a few lines that keeps tables in memory, and answers as it is told.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use iceberg::spec::{NestedField, PrimitiveType, Schema, TableMetadataBuilder, Type};
use millstream_core::env::Env;

use super::*;
use crate::iceberg::files::{Files, ObjectSettings};
use crate::test_env::TestEnv;

/// What the server does with commits, one after the other; then it takes them.
#[derive(Debug, Clone, Copy)]
enum Next {
    Say(u16),
    /// Takes the commit and breaks the connection.
    TakeAndBreak,
}

#[derive(Default)]
struct World {
    table: Option<TableMetadata>,
    commits: VecDeque<Next>,
    seen: Vec<String>,
}

fn serve(world: Arc<Mutex<World>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    std::thread::Builder::new()
        .spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                while answer(&stream, &world).is_some() {}
            }
        })
        .unwrap();
    uri
}

/// First line, token and body of a request; `None` at the end of the connection.
fn request(stream: &TcpStream) -> Option<(String, String, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok().filter(|n| *n > 0)?;
    let (mut length, mut token) = (0, String::new());
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let lower = line.trim().to_ascii_lowercase();
        if lower.is_empty() {
            break;
        }
        if let Some(number) = lower.strip_prefix("content-length: ") {
            length = number.parse().unwrap();
        }
        if let Some(found) = lower.strip_prefix("authorization: bearer ") {
            token = found.to_owned();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((first, token, body))
}

/// Answers one request; `None` to close the connection.
fn answer(stream: &TcpStream, world: &Mutex<World>) -> Option<()> {
    let (first, token, body) = request(stream)?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?, words.next()?);
    let mut world = world.lock().unwrap();
    world.seen.push(format!("{method} {path}"));
    let (status, text) = match (method, path) {
        ("GET", "/v1/config?warehouse=w") => {
            (200, json!({"overrides": {"prefix": "p"}}).to_string())
        }
        ("POST", "/v1/oauth/tokens") => {
            let form = String::from_utf8(body).unwrap();
            assert!(form.contains("client_id=me&client_secret=secret"), "{form}");
            (200, json!({"access_token": "fresh"}).to_string())
        }
        _ if token != "fresh" => (401, "no".to_owned()),
        ("POST", "/v1/p/namespaces") => (409, "{}".to_owned()),
        ("GET", "/v1/p/namespaces/lake/tables/t") => loaded(world.table.as_ref()),
        ("POST", "/v1/p/namespaces/lake/tables") => {
            let request: Value = serde_json::from_slice(&body).unwrap();
            let schema: Schema = serde_json::from_value(request["schema"].clone()).unwrap();
            let creation = TableCreation::builder()
                .name("t".to_owned())
                .location("memory:///w/t".to_owned())
                .schema(schema)
                .build();
            let built = TableMetadataBuilder::from_table_creation(creation).unwrap();
            world.table = Some(built.build().unwrap().metadata);
            loaded(world.table.as_ref())
        }
        ("POST", "/v1/p/namespaces/lake/tables/t") => {
            let next = world.commits.pop_front();
            if let Some(Next::Say(status)) = next {
                (status, json!({"error": {"message": "told to"}}).to_string())
            } else {
                let request: Value = serde_json::from_slice(&body).unwrap();
                let updates: Vec<TableUpdate> =
                    serde_json::from_value(request["updates"].clone()).unwrap();
                let table = world.table.take().unwrap();
                let mut builder = table.into_builder(Some("memory:///w/t/0.json".to_owned()));
                for update in updates {
                    builder = update.apply(builder).unwrap();
                }
                world.table = Some(builder.build().unwrap().metadata);
                if next.is_some() {
                    return None;
                }
                loaded(world.table.as_ref())
            }
        }
        other => panic!("{other:?}"),
    };
    let mut stream = stream;
    let length = text.len();
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all((head + &text).as_bytes()).ok()
}

fn loaded(table: Option<&TableMetadata>) -> (u16, String) {
    match table {
        None => (404, "{}".to_owned()),
        Some(table) => {
            let location = "memory:///w/t/1.json";
            let answer = json!({"metadata-location": location, "metadata": table});
            (200, answer.to_string())
        }
    }
}

fn open(uri: String) -> Result<RestCatalog> {
    let env = TestEnv::default();
    assert_eq!(env.now_ms(), 0);
    let settings = RestSettings {
        uri,
        warehouse: Some("w".to_owned()),
        token: Some("stale".to_owned()),
        credential: Some("me:secret".to_owned()),
    };
    RestCatalog::open(settings, Files::new(ObjectSettings::default()).file_io())
}

fn ident() -> TableIdent {
    TableIdent::from_strs(["lake", "t"]).unwrap()
}

fn creation() -> TableCreation {
    let field = NestedField::optional(1, "a", Type::Primitive(PrimitiveType::Long));
    let schema = Schema::builder().with_fields([field.into()]).build();
    TableCreation::builder()
        .name("t".to_owned())
        .schema(schema.unwrap())
        .build()
}

fn set(key: &str) -> Vec<TableUpdate> {
    vec![TableUpdate::SetProperties {
        updates: [(key.to_owned(), "1".to_owned())].into(),
    }]
}

#[test]
fn a_table_is_made_loaded_and_changed() {
    let world = Arc::new(Mutex::new(World::default()));
    let catalog = open(serve(world.clone())).unwrap();
    assert!(catalog.load(&ident()).unwrap().is_none());
    let table = catalog.create(&ident(), creation()).unwrap();
    let Committed::Done(table) = catalog.commit(&table, vec![], set("x")) else {
        panic!("it was not done");
    };
    assert_eq!(table.metadata().properties()["x"], "1");
    let again = catalog.load(&ident()).unwrap().unwrap();
    assert_eq!(again.metadata().properties()["x"], "1");
    let seen = world.lock().unwrap().seen.clone();
    assert_eq!(
        seen[..4],
        [
            "GET /v1/config?warehouse=w",
            "GET /v1/p/namespaces/lake/tables/t",
            "POST /v1/oauth/tokens",
            "GET /v1/p/namespaces/lake/tables/t",
        ],
        "a token that is refused is renewed"
    );
}

#[test]
fn an_answer_says_what_is_proven() {
    let world = Arc::new(Mutex::new(World::default()));
    let catalog = open(serve(world.clone())).unwrap();
    let table = catalog.create(&ident(), creation()).unwrap();
    let commit = |next: Next| {
        world.lock().unwrap().commits.push_back(next);
        catalog.commit(&table, vec![], set("y"))
    };
    assert!(matches!(commit(Next::Say(409)), Committed::Rejected(_)));
    for status in [400, 403, 404, 429] {
        assert!(matches!(commit(Next::Say(status)), Committed::Failed(_)));
    }
    for status in [500, 502, 503, 504] {
        let Committed::Unknown(error) = commit(Next::Say(status)) else {
            panic!("{status} proves nothing");
        };
        assert!(error.to_string().contains("told to"), "{error}");
    }
    assert!(matches!(commit(Next::TakeAndBreak), Committed::Unknown(_)));
    let table = catalog.load(&ident()).unwrap().unwrap();
    assert_eq!(table.metadata().properties()["y"], "1", "it came true");
}

#[test]
fn nobody_there_proves_that_nothing_was_done() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let Err(error) = open(uri) else {
        panic!("it opened");
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}
