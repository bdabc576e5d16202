//! Pushes and variables as they are stored: documents of the server's own tables, and chunks that they name.

use std::collections::BTreeMap;

use vestibule_schema::object;
use vestibule_schema::value::{Object, Value};

use super::error::PushError;
use super::settings::{self, by};
use crate::database::{
    ChunkHash, DatabaseError, Dependency, Order, Query, RawDocument, Source, Transaction,
};
use crate::deployment::{Deployment, Manifest, Module, Variables};
use crate::functions::SystemError;

/// Pushes that are kept, to go back to.
pub const PUSHES_MAX: usize = 20;

const PUSHES: &str = "_pushes";
const MODULES: &str = "_modules";
const VARIABLES: &str = "_environment_variables";

/// One push that is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredPush {
    /// Its id.
    pub id: String,
    /// The message of the person who pushed.
    pub message: Option<String>,
    /// When it was pushed, in milliseconds since 1970.
    pub pushed_at_millis: f64,
    /// Its manifest.
    pub manifest: ChunkHash,
}

/// The deployment as it is stored.
pub fn load(tx: &mut Transaction<'_>) -> Result<Deployment, PushError> {
    let variables = read_variables(tx).map_err(trouble)?;
    let newest = pushes(tx)?.into_iter().next();
    let deployment = match newest {
        Some(push) => Deployment::from_manifest(&manifest(tx, &push)?, variables)
            .map_err(|error| PushError::Stored(error.to_string()))?,
        None => Deployment::new(variables),
    };
    let settings = settings::read(tx).map_err(trouble)?;
    Ok(deployment.with_settings(settings))
}

/// The pushes that are kept, the newest first.
pub fn pushes(tx: &mut Transaction<'_>) -> Result<Vec<StoredPush>, PushError> {
    let documents = tx.collect(&newest_first(PUSHES)).map_err(trouble)?;
    documents.into_iter().map(read_push).collect()
}

/// The manifest of a push.
pub fn manifest(tx: &mut Transaction<'_>, push: &StoredPush) -> Result<Manifest, PushError> {
    let text = chunk(tx, &push.manifest)?;
    serde_json::from_slice(&text).map_err(|error| PushError::Stored(error.to_string()))
}

/// The content of a chunk that must be there.
pub fn chunk(tx: &mut Transaction<'_>, hash: &ChunkHash) -> Result<Vec<u8>, PushError> {
    let content = tx.chunk(hash).map_err(trouble)?;
    content.ok_or_else(|| PushError::Stored(format!("the chunk {hash} is missing")))
}

/// A hash as a manifest names it.
pub fn hash(text: &str) -> Result<ChunkHash, PushError> {
    let hash = ChunkHash::parse(text);
    hash.ok_or_else(|| PushError::Stored(format!("{text:?} is not the hash of a chunk")))
}

/// Writes a push as the newest, and forgets the oldest beyond those that are kept.
pub fn write_push(tx: &mut Transaction<'_>, manifest: &Manifest) -> Result<(), DatabaseError> {
    let text = serde_json::to_vec(manifest).expect("a manifest is plain data");
    let hash = tx.put_chunk(&text)?;
    let message = manifest.message.clone().map_or(Value::Null, Value::String);
    tx.insert(
        PUSHES,
        object! {
            "pushId" => manifest.push_id.as_str(),
            "message" => message,
            "pushedAt" => manifest.pushed_at_millis,
            "manifest" => hash.to_string(),
        },
    )?;
    for old in tx
        .collect(&newest_first(PUSHES))?
        .into_iter()
        .skip(PUSHES_MAX)
    {
        tx.delete(old.id)?;
    }
    Ok(())
}

/// Brings the documents of modules in line, and makes stale what depends on those that changed.
pub fn write_modules(
    tx: &mut Transaction<'_>,
    modules: &BTreeMap<String, Module>,
) -> Result<(), DatabaseError> {
    let stored = tx.collect(&newest_first(MODULES))?;
    let mut missing: BTreeMap<&str, &Module> = modules
        .iter()
        .map(|(path, module)| (&**path, module))
        .collect();
    for document in stored {
        let path = text(&document.fields, "path");
        match missing.remove(path.as_str()) {
            Some(module) => {
                let fields = module_fields(module);
                if same(&document.fields, &fields) {
                    continue;
                }
                tx.replace(document.id, fields)?;
            }
            None => tx.delete(document.id)?,
        }
        tx.touch(Dependency::Module(&path));
    }
    for (path, module) in missing {
        tx.insert(MODULES, module_fields(module))?;
        tx.touch(Dependency::Module(path));
    }
    Ok(())
}

fn module_fields(module: &Module) -> Object {
    object! {
        "path" => module.path.as_str(),
        "hash" => module.hash.as_str(),
        "environment" => module.environment.name(),
        "codeHash" => module.source.as_str(),
    }
}

/// Whether a document holds these fields already.
fn same(document: &Object, fields: &Object) -> bool {
    fields
        .iter()
        .all(|(name, value)| document.get(name) == Some(value))
}

/// Reads the environment variables.
pub fn read_variables(tx: &mut Transaction<'_>) -> Result<Variables, DatabaseError> {
    let documents = tx.collect(&newest_first(VARIABLES))?;
    let pairs = documents.iter().map(|document| {
        let fields = &document.fields;
        (text(fields, "name"), text(fields, "value"))
    });
    Ok(pairs.collect())
}

/// Brings the documents of variables in line, and makes stale what depends on those that changed.
pub fn write_variables(
    tx: &mut Transaction<'_>,
    before: &Variables,
    after: &Variables,
) -> Result<(), DatabaseError> {
    for (name, value) in after.iter() {
        if before.get(name) == Some(value) {
            continue;
        }
        let fields = object! { "name" => name, "value" => value };
        match tx.unique(&by(VARIABLES, "by_name", "name", name))? {
            Some(document) => tx.replace(document.id, fields)?,
            None => drop(tx.insert(VARIABLES, fields)?),
        }
        tx.touch(Dependency::Variable(name));
    }
    for (name, _) in before.iter() {
        if after.get(name).is_some() {
            continue;
        }
        if let Some(document) = tx.unique(&by(VARIABLES, "by_name", "name", name))? {
            tx.delete(document.id)?;
        }
        tx.touch(Dependency::Variable(name));
    }
    Ok(())
}

fn read_push(document: RawDocument) -> Result<StoredPush, PushError> {
    let fields = &document.fields;
    let message = fields.get("message").and_then(Value::as_str);
    Ok(StoredPush {
        id: text(fields, "pushId"),
        message: message.map(str::to_owned),
        pushed_at_millis: fields
            .get("pushedAt")
            .and_then(Value::as_f64)
            .unwrap_or_default(),
        manifest: hash(&text(fields, "manifest"))?,
    })
}

fn text(fields: &Object, name: &str) -> String {
    let text = fields.get(name).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

fn newest_first(table: &'static str) -> Query {
    Query {
        table: table.into(),
        source: Source::FullTableScan,
        order: Order::Desc,
        operators: Vec::new(),
    }
}

/// The trouble of a database that is asked nothing impossible.
pub(super) fn trouble(error: DatabaseError) -> PushError {
    match error {
        DatabaseError::Storage(error) => SystemError::Storage(error).into(),
        DatabaseError::Query(error) => PushError::Stored(error.to_string()),
    }
}
