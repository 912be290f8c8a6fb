//! [`SqlPointers`]: the tables of pyiceberg's and Java's SQL catalog, in SQLite or PostgreSQL.
//!
//! ```text
//! iceberg_tables(catalog_name, table_namespace, table_name, metadata_location,
//!                previous_metadata_location, iceberg_type)
//! iceberg_namespace_properties(catalog_name, namespace, property_key, property_value)
//! ```
//!
//! A swap is one statement, `UPDATE … WHERE metadata_location = <what it was>`, outside of a transaction:
//! so it is done when its answer comes, and an answer that says otherwise than "no connection" proves
//! that nothing was changed.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use iceberg::{NamespaceIdent, TableIdent};
use millstream_core::{Error, ErrorKind, Result};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use sqlx::{ConnectOptions, Connection};

use super::pointer::{Pointers, Swapped};
use crate::iceberg::blocking::block_on;

/// How long a statement waits for others that hold the database, and for a connection.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

const TABLES: &str = "CREATE TABLE IF NOT EXISTS iceberg_tables (
    catalog_name VARCHAR(255) NOT NULL,
    table_namespace VARCHAR(255) NOT NULL,
    table_name VARCHAR(255) NOT NULL,
    metadata_location VARCHAR(1000),
    previous_metadata_location VARCHAR(1000),
    iceberg_type VARCHAR(5),
    PRIMARY KEY (catalog_name, table_namespace, table_name))";

const NAMESPACES: &str = "CREATE TABLE IF NOT EXISTS iceberg_namespace_properties (
    catalog_name VARCHAR(255) NOT NULL,
    namespace VARCHAR(255) NOT NULL,
    property_key VARCHAR(255) NOT NULL,
    property_value VARCHAR(1000) NOT NULL,
    PRIMARY KEY (catalog_name, namespace, property_key))";

const GET: &str = "SELECT metadata_location FROM iceberg_tables \
    WHERE catalog_name = $1 AND table_namespace = $2 AND table_name = $3 \
    AND (iceberg_type = 'TABLE' OR iceberg_type IS NULL)";

const LIST: &str = "SELECT table_namespace, table_name FROM iceberg_tables \
    WHERE catalog_name = $1 AND (iceberg_type = 'TABLE' OR iceberg_type IS NULL) \
    ORDER BY table_namespace, table_name";

const ADD: &str = "INSERT INTO iceberg_tables (catalog_name, table_namespace, table_name, \
    metadata_location, iceberg_type) VALUES ($1, $2, $3, $4, 'TABLE') ON CONFLICT DO NOTHING";

const SWAP: &str = "UPDATE iceberg_tables \
    SET metadata_location = $4, previous_metadata_location = $5 \
    WHERE catalog_name = $1 AND table_namespace = $2 AND table_name = $3 \
    AND metadata_location = $5";

const ADD_NAMESPACE: &str = "INSERT INTO iceberg_namespace_properties \
    (catalog_name, namespace, property_key, property_value) VALUES ($1, $2, 'exists', 'true') \
    ON CONFLICT DO NOTHING";

/// Pointers in a database.
pub struct SqlPointers {
    database: Database,
    catalog: String,
    /// For messages: where the database is, without a password.
    place: String,
}

enum Database {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// Runs the same statement on either database. SQLite takes `$1` as PostgreSQL does.
macro_rules! on {
    ($database:expr, $pool:ident => $run:expr) => {
        match $database {
            Database::Sqlite($pool) => block_on($run),
            Database::Postgres($pool) => block_on($run),
        }
    };
}

impl SqlPointers {
    /// The catalog `catalog` in the SQLite file at `path`, which is made if it is not there.
    ///
    /// # Errors
    /// `Unavailable` if the file cannot be opened or others hold it for too long.
    pub fn sqlite(path: &Path, catalog: &str) -> Result<Self> {
        let place = format!("catalog `{}`", path.display());
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|error| Error::io(&folder.to_string_lossy(), &error))?;
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = SqlitePoolOptions::new()
            .max_connections(2)
            .acquire_timeout(BUSY_TIMEOUT);
        let pool = block_on(pool.connect_with(options));
        let pool = pool.map_err(|error| failed(&place, &error))?;
        Self::open(Database::Sqlite(pool), catalog, place)
    }

    /// The catalog `catalog` in the PostgreSQL database at `uri`.
    ///
    /// # Errors
    /// `InvalidInput` if it is no address; `Unavailable` if nobody answers there.
    pub fn postgres(uri: &str, catalog: &str) -> Result<Self> {
        let options = PgConnectOptions::from_str(uri)
            .map_err(|error| Error::invalid(format!("the catalog's `uri`: {error}")))?;
        let place = format!("catalog on `{}`", options.get_host());
        let pool = PgPoolOptions::new()
            .max_connections(4)
            .acquire_timeout(BUSY_TIMEOUT);
        let pool = block_on(pool.connect_with(options));
        let pool = pool.map_err(|error| failed(&place, &error))?;
        Self::open(Database::Postgres(pool), catalog, place)
    }

    fn open(database: Database, catalog: &str, place: String) -> Result<Self> {
        let opened = Self {
            database,
            catalog: catalog.to_owned(),
            place,
        };
        for statement in [TABLES, NAMESPACES] {
            let made = on!(&opened.database, pool => async {
                sqlx::query(statement).execute(pool).await.map(drop)
            });
            made.map_err(|error| failed(&opened.place, &error))?;
        }
        Ok(opened)
    }

    fn add_namespace(&self, namespace: &str) -> Result<(), sqlx::Error> {
        on!(&self.database, pool => async {
            let statement = sqlx::query(ADD_NAMESPACE).bind(&self.catalog).bind(namespace);
            statement.execute(pool).await.map(drop)
        })
    }

    fn change(&self, table: &TableIdent, from: Option<&str>, to: &str) -> Result<u64, sqlx::Error> {
        let namespace = joined(table.namespace());
        if from.is_none() {
            self.add_namespace(&namespace)?;
        }
        on!(&self.database, pool => async {
            let statement = sqlx::query(if from.is_some() { SWAP } else { ADD })
                .bind(&self.catalog)
                .bind(&namespace)
                .bind(table.name())
                .bind(to);
            let statement = match from {
                Some(from) => statement.bind(from),
                None => statement,
            };
            Ok(statement.execute(pool).await?.rows_affected())
        })
    }
}

impl Pointers for SqlPointers {
    fn get(&self, table: &TableIdent) -> Result<Option<String>> {
        let namespace = joined(table.namespace());
        let found: Result<Option<(Option<String>,)>, sqlx::Error> = on!(&self.database, pool => async {
            let query = sqlx::query_as(GET).bind(&self.catalog).bind(&namespace);
            query.bind(table.name()).fetch_optional(pool).await
        });
        let found = found.map_err(|error| failed(&self.place, &error))?;
        Ok(found.and_then(|(location,)| location))
    }

    fn swap(&self, table: &TableIdent, from: Option<&str>, to: &str) -> Swapped {
        match self.change(table, from, to) {
            Ok(0) => Swapped::Rejected,
            Ok(_) => Swapped::Done,
            Err(error) if is_proven(&error) => Swapped::Failed(failed(&self.place, &error)),
            Err(error) => Swapped::Unknown(failed(&self.place, &error)),
        }
    }

    fn list(&self) -> Result<Vec<TableIdent>> {
        let found: Result<Vec<(String, String)>, sqlx::Error> = on!(&self.database, pool => async {
            sqlx::query_as(LIST).bind(&self.catalog).fetch_all(pool).await
        });
        let found = found.map_err(|error| failed(&self.place, &error))?;
        let ident = |(namespace, table): (String, String)| {
            let parts = namespace.split('.').map(str::to_owned).collect();
            let namespace = NamespaceIdent::from_vec(parts).ok()?;
            Some(TableIdent::new(namespace, table))
        };
        Ok(found.into_iter().filter_map(ident).collect())
    }
}

/// Copies the SQLite database at `from`, which others may be changing, to the new file `to`.
///
/// # Errors
/// `Unavailable` if others hold it for too long.
pub(crate) fn copy_sqlite(from: &Path, to: &Path) -> Result<()> {
    let place = format!("catalog `{}`", from.display());
    let options = SqliteConnectOptions::new()
        .filename(from)
        .busy_timeout(BUSY_TIMEOUT);
    let copied = block_on(async {
        let mut connection = options.connect().await?;
        sqlx::query("VACUUM INTO $1")
            .bind(to.to_string_lossy().into_owned())
            .execute(&mut connection)
            .await?;
        connection.close().await
    });
    copied.map_err(|error| failed(&place, &error))
}

/// A namespace as the database has it.
fn joined(namespace: &NamespaceIdent) -> String {
    namespace.as_ref().join(".")
}

/// Whether this error of a single statement proves that the statement had no effect.
fn is_proven(error: &sqlx::Error) -> bool {
    match error {
        // The statement was never sent.
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Configuration(_) => true,
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            // Of SQLite an error in reading or writing the file (10), which may come in the middle of a
            // commit; of PostgreSQL a connection that broke (08), a statement whose end is not known
            // (40003), and a server that is told to stop (57P01 to 57P03).
            let sqlite: Option<u32> = code.parse().ok().filter(|_| code.len() != 5);
            match sqlite {
                Some(code) => code & 0xff != 10,
                None => !code.starts_with("08") && code != "40003" && !code.starts_with("57P"),
            }
        }
        _ => false,
    }
}

fn failed(place: &str, error: &sqlx::Error) -> Error {
    let code = match error {
        sqlx::Error::Database(error) => error.code().unwrap_or_default(),
        _ => "".into(),
    };
    let kind = match &*code {
        // SQLITE_FULL; disk_full of PostgreSQL.
        "13" | "53100" => ErrorKind::StorageFull,
        // SQLITE_CORRUPT, SQLITE_NOTADB.
        "11" | "26" => ErrorKind::Corrupt,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("{place}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str) -> TableIdent {
        TableIdent::from_strs(["lake", name]).unwrap()
    }

    fn done(swapped: Swapped) -> bool {
        match swapped {
            Swapped::Done => true,
            Swapped::Rejected => false,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_swap_wants_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lake/catalog.db");
        let pointers = SqlPointers::sqlite(&path, "default").unwrap();
        let clicks = table("clicks");
        assert_eq!(pointers.get(&clicks).unwrap(), None);
        assert!(!done(pointers.swap(&clicks, Some("a"), "b")), "not there");
        assert!(done(pointers.swap(&clicks, None, "a")));
        assert!(!done(pointers.swap(&clicks, None, "b")), "there already");
        assert!(!done(pointers.swap(&clicks, Some("x"), "b")));
        assert!(done(pointers.swap(&clicks, Some("a"), "b")));
        assert_eq!(pointers.get(&clicks).unwrap().as_deref(), Some("b"));

        let again = SqlPointers::sqlite(&path, "default").unwrap();
        assert!(done(again.swap(&table("a"), None, "x")));
        assert_eq!(pointers.list().unwrap(), [table("a"), clicks.clone()]);
        let other = SqlPointers::sqlite(&path, "other").unwrap();
        assert_eq!(other.get(&clicks).unwrap(), None, "catalogs are apart");
    }

    #[test]
    fn of_two_at_once_one_wins() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.db");
        let first = SqlPointers::sqlite(&path, "default").unwrap();
        assert!(done(first.swap(&table("t"), None, "0")));
        let won: usize = std::thread::scope(|scope| {
            let swap = |name: usize| {
                let pointers = SqlPointers::sqlite(&path, "default").unwrap();
                usize::from(done(pointers.swap(
                    &table("t"),
                    Some("0"),
                    &name.to_string(),
                )))
            };
            let threads: Vec<_> = (1..5).map(|name| scope.spawn(move || swap(name))).collect();
            threads.into_iter().map(|one| one.join().unwrap()).sum()
        });
        assert_eq!(won, 1);
    }

    #[test]
    fn what_is_no_database_is_told_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.db");
        std::fs::write(
            &path,
            "this is not a database, and long enough to be seen as none",
        )
        .unwrap();
        let Err(error) = SqlPointers::sqlite(&path, "default") else {
            panic!("it opened");
        };
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains("catalog.db"), "{error}");
    }
}
