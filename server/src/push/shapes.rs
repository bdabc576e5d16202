//! The shapes of tables' documents, judged by some of them.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};
use vestibule_schema::id::DocumentId;
use vestibule_schema::path::ComponentPath;
use vestibule_schema::validator::TableNames;
use vestibule_schema::value::{Object, Value};

use super::Pushes;
use super::error::PushError;
use super::stored::trouble;
use crate::database::{Order, Owner, Query, Source, local_name};

/// Documents of one table that are looked at, the newest first.
const SAMPLED_MAX: usize = 256;
/// Field names beyond which an object is shown as any record.
const FIELDS_MAX: usize = 256;
/// Kinds of value beyond which a place is shown as anything.
const KINDS_MAX: usize = 16;

impl Pushes {
    /// The shape of the documents of each table of the app or of a component.
    pub async fn shapes(&self, component: ComponentPath) -> Result<Json, PushError> {
        self.read(move |tx| {
            let catalog = tx.catalog();
            let tables = catalog
                .tables()
                .filter(|table| table.owner != Owner::System)
                .filter(|table| table.component() == component.as_str());
            let names: Vec<String> = tables.map(|table| table.name.clone()).collect();
            let tables_known = catalog.namespace(&component);
            let mut shapes = Map::new();
            for name in names {
                let query = Query {
                    table: name.clone().into(),
                    source: Source::FullTableScan,
                    order: Order::Desc,
                    operators: Vec::new(),
                };
                let mut shape = Shape::default();
                for document in tx.take(&query, SAMPLED_MAX).map_err(trouble)? {
                    shape.see(&Value::Object(document.fields), &tables_known);
                }
                shapes.insert(local_name(&name).to_owned(), shape.to_json());
            }
            Ok(Json::Object(shapes))
        })
        .await
    }
}

/// The types seen at one place.
#[derive(Default)]
struct Shape {
    /// Kinds without parts, and tables of ids.
    plain: BTreeMap<String, Json>,
    elements: Option<Box<Shape>>,
    objects: Option<Fields>,
}

/// The fields of all objects that were seen at one place.
#[derive(Default)]
struct Fields {
    seen: usize,
    /// How often each field was there, and its values.
    fields: BTreeMap<String, (usize, Shape)>,
}

impl Shape {
    fn see(&mut self, value: &Value, tables: &dyn TableNames) {
        let plain = match value {
            Value::Array(elements) => {
                let shape = self.elements.get_or_insert_default();
                elements
                    .iter()
                    .for_each(|element| shape.see(element, tables));
                return;
            }
            Value::Object(object) => return self.see_object(object, tables),
            Value::String(text) => match table_of(text, tables) {
                Some(table) => json!({"type": "Id", "tableName": table}),
                None => json!({"type": "String"}),
            },
            Value::Null => json!({"type": "Null"}),
            Value::Int64(_) => json!({"type": "Int64"}),
            Value::Float64(_) => json!({"type": "Float64"}),
            Value::Boolean(_) => json!({"type": "Boolean"}),
            Value::Bytes(_) => json!({"type": "Bytes"}),
        };
        self.plain.insert(plain.to_string(), plain);
    }

    fn see_object(&mut self, object: &Object, tables: &dyn TableNames) {
        let objects = self.objects.get_or_insert_default();
        objects.seen += 1;
        for (name, value) in object {
            if objects.fields.len() >= FIELDS_MAX && !objects.fields.contains_key(name) {
                continue;
            }
            let (count, shape) = objects.fields.entry(name.clone()).or_default();
            *count += 1;
            shape.see(value, tables);
        }
    }

    fn to_json(&self) -> Json {
        let plain = self.plain.values().cloned();
        let elements = self.elements.iter();
        let arrays = elements.map(|shape| json!({"type": "Array", "shape": shape.to_json()}));
        let objects = self.objects.iter().map(Fields::to_json);
        let mut kinds: Vec<Json> = plain.chain(arrays).chain(objects).collect();
        match kinds.len() {
            0 => json!({"type": "Never"}),
            1 => kinds.remove(0),
            2..=KINDS_MAX => json!({"type": "Union", "shapes": kinds}),
            _ => json!({"type": "Unknown"}),
        }
    }
}

impl Fields {
    fn to_json(&self) -> Json {
        let fields = self.fields.iter().map(|(name, (count, shape))| {
            json!({
                "fieldName": name,
                "optional": *count < self.seen,
                "shape": shape.to_json(),
            })
        });
        json!({"type": "Object", "fields": fields.collect::<Vec<_>>()})
    }
}

fn table_of(text: &str, tables: &dyn TableNames) -> Option<String> {
    let id: DocumentId = text.parse().ok()?;
    tables.table_name(id.table()).map(str::to_owned)
}
