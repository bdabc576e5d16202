//! The tables and indexes of a deployment, by name and by number.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use vestibule_schema::id::TableNumber;
use vestibule_schema::key::{decode_key, encode_key};
use vestibule_schema::object;
use vestibule_schema::path::{ComponentPath, FieldPath};
use vestibule_schema::table::{IndexDefinition, IndexMethod};
use vestibule_schema::validator::{TableNames, Validator};
use vestibule_schema::value::{Object, Value};

use super::keys::IndexId;
use super::namespaces::{StoredNames, component_of, local_name, stored_name};
use super::pending::PendingRules;

/// Name of the automatic index over document ids.
pub const BY_ID: &str = "by_id";
/// Name of the automatic index over creation times.
pub const BY_CREATION_TIME: &str = "by_creation_time";

/// Tables that an app may have.
pub const TABLES_MAX: usize = 10_000;

/// Every table, immutable while transactions use it.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    tables: BTreeMap<String, Arc<TableMeta>>,
    /// The tables of the app and of the server, by their numbers.
    by_number: BTreeMap<TableNumber, Arc<TableMeta>>,
    /// Those of each component. Their numbers are their own: an archive may have given other components the same ones.
    of_components: BTreeMap<String, BTreeMap<TableNumber, Arc<TableMeta>>>,
    /// Numbers of tables that an import fills out of sight, to be theirs at its end. Not stored: no import outlives the
    /// process.
    reserved: BTreeSet<TableNumber>,
}

/// One table as transactions see it.
#[derive(Clone, Debug)]
pub struct TableMeta {
    /// The name under which it is stored; that of a component's table begins with the component's path.
    pub name: String,
    /// Its number in document ids. No other table of its component has it, and none of the server's.
    pub number: TableNumber,
    /// The index that holds its documents.
    pub by_id: IndexId,
    /// The index that a full scan walks.
    pub by_creation_time: IndexId,
    /// The declared indexes.
    pub indexes: Vec<IndexMeta>,
    /// The validator that all stored and all future documents of the table match.
    pub document: Validator,
    /// The owner that declares it.
    pub owner: Owner,
    /// The rules that its documents must keep once the push under way is live.
    pub pending: Option<Arc<PendingRules>>,
}

/// The declarer of a table. A table has one owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The server itself.
    System,
    /// The schema of the program, or nothing any more.
    Program,
    /// The schema that was pushed, or a function that inserted into it.
    Pushed,
}

impl Owner {
    fn name(self) -> &'static str {
        match self {
            Owner::System => "system",
            Owner::Program => "program",
            Owner::Pushed => "pushed",
        }
    }

    /// Entries written before there were owners are the program's.
    fn named(name: Option<&Value>) -> Owner {
        match name.and_then(Value::as_str) {
            Some("system") => Owner::System,
            Some("pushed") => Owner::Pushed,
            _ => Owner::Program,
        }
    }
}

/// One declared index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexMeta {
    /// Where its entries live.
    pub id: IndexId,
    /// Its name.
    pub name: String,
    /// The indexed fields. In an index of order, `_creationTime` and the id follow them in every key. In one of words or
    /// of vectors, the first holds them, and searches may filter by the others.
    pub fields: Vec<FieldPath>,
    /// Whether two documents may hold the same indexed values.
    pub unique: bool,
    /// How it finds documents.
    pub method: IndexMethod,
    /// False while its entries are being built.
    pub ready: bool,
    /// Whether its entries are kept although queries may not use it yet.
    pub staged: bool,
}

impl IndexMeta {
    /// Whether queries may use it.
    pub fn is_usable(&self) -> bool {
        self.ready && !self.staged
    }

    /// Whether it is what `definition` says, staged or not.
    pub fn is(&self, definition: &IndexDefinition) -> bool {
        let IndexDefinition {
            name,
            fields,
            unique,
            method,
        } = definition;
        self.name == *name
            && self.fields == *fields
            && self.unique == *unique
            && self.method == *method
    }

    /// Whether its entries are not keys of the document's fields in order.
    pub(super) fn is_derived(&self) -> bool {
        match self.method {
            IndexMethod::Order => false,
            IndexMethod::Search | IndexMethod::Vector { .. } => true,
        }
    }

    /// The field whose words or vectors are indexed, and those to filter by.
    pub(super) fn content_and_filters(&self) -> (&FieldPath, &[FieldPath]) {
        let parts = self.fields.split_first();
        parts.expect("every index has a field")
    }
}

impl Catalog {
    /// Adds or replaces a table.
    pub fn set(&mut self, table: TableMeta) {
        let table = Arc::new(table);
        let by_number = match table.component() {
            "" => &mut self.by_number,
            component => self.of_components.entry(component.to_owned()).or_default(),
        };
        by_number.insert(table.number, table.clone());
        self.tables.insert(table.name.clone(), table);
    }

    /// Takes a table out.
    pub fn remove(&mut self, name: &str) {
        let Some(table) = self.tables.remove(name) else {
            return;
        };
        match self.of_components.get_mut(table.component()) {
            Some(of_component) => {
                of_component.remove(&table.number);
                if of_component.is_empty() {
                    self.of_components.remove(table.component());
                }
            }
            None => {
                self.by_number.remove(&table.number);
            }
        }
    }

    /// The tables by their numbers, those of each component apart.
    fn numbered(&self) -> impl Iterator<Item = &BTreeMap<TableNumber, Arc<TableMeta>>> {
        std::iter::once(&self.by_number).chain(self.of_components.values())
    }

    /// The number of the next table, behind every one in use while there is one; system tables have their own.
    pub fn next_number(&self) -> TableNumber {
        let last = self.numbered().filter_map(|tables| {
            let mut seen = tables.values().filter(|table| !table.is_hidden());
            seen.next_back().map(|table| table.number)
        });
        let last = last.max().max(self.reserved.last().copied());
        let next = match last {
            Some(last) => last.get().checked_add(1).and_then(TableNumber::new),
            None => Some(TableNumber::FIRST_USER),
        };
        match next.filter(|next| !next.is_hidden()) {
            Some(next) => next.max(TableNumber::FIRST_USER),
            None => self.free_number(TableNumber::FIRST_USER),
        }
    }

    /// The first number from `first` on that no table has.
    pub(super) fn free_number(&self, first: TableNumber) -> TableNumber {
        let mut numbers = (first.get()..).filter_map(TableNumber::new);
        let is_free = |number: &TableNumber| {
            let is_taken = self.numbered().any(|tables| tables.contains_key(number));
            !is_taken && !self.reserved.contains(number)
        };
        let free = numbers.find(is_free);
        free.expect("there are far more numbers than tables")
    }

    /// Keeps a number from new tables.
    pub fn reserve(&mut self, number: TableNumber) {
        self.reserved.insert(number);
    }

    /// Lets go of all reserved numbers.
    pub fn release_reserved(&mut self) {
        self.reserved.clear();
    }

    /// The id behind every id in use. Ids of removed indexes are used again only after their entries are gone.
    pub fn next_index_id(&self) -> IndexId {
        let used = self.tables.values().flat_map(|table| table.places());
        IndexId(used.map(|id| id.0 + 1).max().unwrap_or(IndexId::FIRST_USER))
    }

    /// A new table, free of rules and without declared indexes.
    pub fn new_table(&self, name: &str, number: TableNumber, owner: Owner) -> TableMeta {
        let first_index = self.next_index_id();
        TableMeta {
            name: name.to_string(),
            number,
            by_id: first_index,
            by_creation_time: IndexId(first_index.0 + 1),
            indexes: Vec::new(),
            document: Validator::Any,
            owner,
            pending: None,
        }
    }

    /// The table named `name`.
    pub fn table(&self, name: &str) -> Option<&Arc<TableMeta>> {
        self.tables.get(name)
    }

    /// The table that functions of `component` call `name`.
    pub fn table_in(&self, component: &ComponentPath, name: &str) -> Option<&Arc<TableMeta>> {
        self.table(&stored_name(component, name))
    }

    /// The table whose documents have ids with `number`, one of the app's or of the server's.
    pub fn table_numbered(&self, number: TableNumber) -> Option<&Arc<TableMeta>> {
        self.by_number.get(&number)
    }

    /// The same, as the component with this path knows it: one of its own or of the server's.
    pub fn table_numbered_in(
        &self,
        component: &str,
        number: TableNumber,
    ) -> Option<&Arc<TableMeta>> {
        if component.is_empty() {
            return self.table_numbered(number);
        }
        let own = self.of_components.get(component);
        let own = own.and_then(|tables| tables.get(&number));
        let of_server = || {
            self.table_numbered(number)
                .filter(|table| table.name.starts_with('_'))
        };
        own.or_else(of_server)
    }

    /// The table that stands in the way of one with this name and number: ids of both would look alike to some component.
    pub fn holder(&self, name: &str, number: TableNumber) -> Option<&Arc<TableMeta>> {
        let (component, is_of_server) = (component_of(name), name.starts_with('_'));
        let known = self.table_numbered_in(component, number);
        let mut elsewhere = self.of_components.values().filter(|_| is_of_server);
        known.or_else(|| elsewhere.find_map(|tables| tables.get(&number)))
    }

    /// The table that this one is a later state of, or the other way round: where the entry is the same.
    pub(super) fn same_entry(&self, table: &TableMeta) -> Option<&Arc<TableMeta>> {
        match table.component() {
            "" => self.by_number.get(&table.number),
            component => self.of_components.get(component)?.get(&table.number),
        }
    }

    /// Whether there is no room for one more table of an app.
    pub fn is_full(&self) -> bool {
        self.is_over(TABLES_MAX - 1)
    }

    /// Whether an app has more tables than it may.
    pub fn is_overfull(&self) -> bool {
        self.is_over(TABLES_MAX)
    }

    fn is_over(&self, max: usize) -> bool {
        let of_apps = |table: &&Arc<TableMeta>| table.owner != Owner::System && !table.is_hidden();
        self.tables.len() > max && self.tables.values().filter(of_apps).count() > max
    }

    /// All tables, by name.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<TableMeta>> {
        self.tables.values()
    }
}

impl StoredNames for Catalog {
    fn stored_number(&self, name: &str) -> Option<TableNumber> {
        self.table(name).map(|table| table.number)
    }

    fn stored_name_in(&self, component: &str, number: TableNumber) -> Option<&str> {
        let table = self.table_numbered_in(component, number);
        table.map(|table| table.name.as_str())
    }
}

/// The tables that the app itself knows.
impl TableNames for Catalog {
    fn table_number(&self, name: &str) -> Option<TableNumber> {
        self.namespace(&ComponentPath::ROOT).table_number(name)
    }

    fn table_name(&self, number: TableNumber) -> Option<&str> {
        self.stored_name_in("", number)
    }
}

impl TableMeta {
    /// The path of the component whose table it is; empty for the app.
    pub fn component(&self) -> &str {
        component_of(&self.name)
    }

    /// Its name within its component.
    pub fn local_name(&self) -> &str {
        local_name(&self.name)
    }

    /// The declared index named `name`.
    pub fn index(&self, name: &str) -> Option<&IndexMeta> {
        self.indexes.iter().find(|index| index.name == name)
    }

    /// Whether queries may use an index of this table which they cannot use in `next`, its successor.
    pub(super) fn has_index_that_is_gone_from(&self, next: &TableMeta) -> bool {
        let is_kept = |index: &IndexMeta| {
            let mut others = next.indexes.iter();
            others.any(|other| other.id == index.id && other.is_usable())
        };
        let mut usable = self.indexes.iter().filter(|index| index.is_usable());
        usable.any(|index| !is_kept(index))
    }

    /// The declared indexes in which a document has one key, made of its fields in order.
    pub(super) fn ordered(&self) -> impl Iterator<Item = &IndexMeta> {
        self.indexes.iter().filter(|index| !index.is_derived())
    }

    /// The declared indexes of words and of vectors.
    pub(super) fn derived(&self) -> impl Iterator<Item = &IndexMeta> {
        self.indexes.iter().filter(|index| index.is_derived())
    }

    /// The indexes in which a document has one key, with their fields: `by_creation_time` first, then [`Self::ordered`].
    pub(super) fn keyed(&self) -> impl Iterator<Item = (IndexId, &[FieldPath])> {
        let declared = self.ordered();
        let declared = declared.map(|index| (index.id, &*index.fields));
        std::iter::once((self.by_creation_time, &[][..])).chain(declared)
    }

    /// Every place that the table's documents and their entries are in.
    pub(super) fn places(&self) -> impl Iterator<Item = IndexId> {
        let declared = self.indexes.iter().map(|index| index.id);
        declared.chain([self.by_creation_time, self.by_id])
    }
}

/// Marks of an index's method in its table's entry.
const SEARCH: &str = "search";
const DIMENSIONS: &str = "dimensions";

/// Where the fields of an index are in its table's entry. Versions that know indexes of order alone ask for `fields`.
/// They refuse to open a file with any other index, where they would put entries of theirs.
fn fields_name(is_derived: bool) -> &'static str {
    match is_derived {
        true => "contentAndFilters",
        false => "fields",
    }
}

/// A table's catalog entry: its key and its bytes.
pub fn encode_entry(table: &TableMeta) -> (Bytes, Bytes) {
    let indexes = table.indexes.iter().map(|index| {
        let mut entry = object! {
            "id" => i64::from(index.id.0),
            "name" => index.name.as_str(),
            "unique" => index.unique,
            "ready" => index.ready,
            "staged" => index.staged,
        };
        let fields = index
            .fields
            .iter()
            .map(|field| Value::from(field.to_string()));
        entry.insert(
            fields_name(index.is_derived()).to_owned(),
            Value::Array(fields.collect()),
        );
        // Earlier versions wrote no method: all their indexes were of order.
        match index.method {
            IndexMethod::Order => {}
            IndexMethod::Search => {
                entry.insert(SEARCH.to_owned(), Value::Boolean(true));
            }
            IndexMethod::Vector { dimensions } => {
                entry.insert(DIMENSIONS.to_owned(), Value::Int64(dimensions.into()));
            }
        }
        Value::Object(entry)
    });
    let entry = object! {
        "name" => table.name.as_str(),
        "number" => i64::from(table.number.get()),
        "byId" => i64::from(table.by_id.0),
        "byCreationTime" => i64::from(table.by_creation_time.0),
        "indexes" => Value::Array(indexes.collect()),
        "document" => table.document.to_json().to_string(),
        "owner" => table.owner.name(),
    };
    let mut bytes = Vec::new();
    encode_key(&mut bytes, Some(&Value::Object(entry)));
    (entry_key(table), bytes.into())
}

/// Where a table's catalog entry is stored: numbers of components' tables are unique within their component.
pub fn entry_key(table: &TableMeta) -> Bytes {
    let (index, number) = (IndexId::CATALOG.0, table.number.get());
    let component = table.component().as_bytes();
    [&index.to_be_bytes()[..], &number.to_be_bytes(), component]
        .concat()
        .into()
}

/// Reads back what [`encode_entry`] wrote. The error says which part is missing.
pub fn decode_entry(bytes: &[u8]) -> Result<TableMeta, String> {
    let entry = match decode_key(bytes) {
        Ok((Some(Value::Object(entry)), _)) => entry,
        Ok(_) => return Err("an entry is not an object".into()),
        Err(error) => return Err(error.to_string()),
    };
    let number = u32_field(&entry, "number")?;
    let indexes = match entry.get("indexes") {
        Some(Value::Array(indexes)) => {
            indexes.iter().map(decode_index).collect::<Result<_, _>>()?
        }
        _ => return Err("an entry lacks `indexes`".into()),
    };
    Ok(TableMeta {
        name: str_field(&entry, "name")?,
        number: TableNumber::new(number).ok_or("table number 0")?,
        by_id: IndexId(u32_field(&entry, "byId")?),
        by_creation_time: IndexId(u32_field(&entry, "byCreationTime")?),
        indexes,
        document: decode_validator(&str_field(&entry, "document")?),
        owner: Owner::named(entry.get("owner")),
        pending: None,
    })
}

/// A validator that cannot be read back counts as none: the documents are then checked again.
fn decode_validator(text: &str) -> Validator {
    let json = serde_json::from_str(text).ok();
    let validator = json.and_then(|json| Validator::from_json(&json).ok());
    validator.unwrap_or(Validator::Any)
}

fn decode_index(value: &Value) -> Result<IndexMeta, String> {
    let Value::Object(index) = value else {
        return Err("an index is not an object".into());
    };
    let name = fields_name(index.contains_key(SEARCH) || index.contains_key(DIMENSIONS));
    let fields: Vec<FieldPath> = match index.get(name) {
        Some(Value::Array(fields)) => fields.iter().map(decode_field).collect::<Result<_, _>>()?,
        _ => return Err(format!("an index lacks `{name}`")),
    };
    let method = match (index.get(SEARCH), index.get(DIMENSIONS)) {
        (None, None) => IndexMethod::Order,
        (Some(_), None) => IndexMethod::Search,
        (None, Some(_)) => IndexMethod::Vector {
            dimensions: u32_field(index, DIMENSIONS)?,
        },
        (Some(_), Some(_)) => return Err("an index has two methods".into()),
    };
    if fields.is_empty() {
        return Err("an index has no fields".into());
    }
    Ok(IndexMeta {
        id: IndexId(u32_field(index, "id")?),
        name: str_field(index, "name")?,
        fields,
        method,
        unique: matches!(index.get("unique"), Some(Value::Boolean(true))),
        ready: matches!(index.get("ready"), Some(Value::Boolean(true))),
        staged: matches!(index.get("staged"), Some(Value::Boolean(true))),
    })
}

fn decode_field(value: &Value) -> Result<FieldPath, String> {
    match value {
        Value::String(text) => text
            .parse()
            .map_err(|_| format!("`{text}` is not a field path")),
        _ => Err("a field is not a string".into()),
    }
}

fn u32_field(object: &Object, name: &str) -> Result<u32, String> {
    match object.get(name) {
        Some(Value::Int64(number)) => {
            u32::try_from(*number).map_err(|_| format!("`{name}` is out of range"))
        }
        _ => Err(format!("an entry lacks `{name}`")),
    }
}

fn str_field(object: &Object, name: &str) -> Result<String, String> {
    match object.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        _ => Err(format!("an entry lacks `{name}`")),
    }
}
