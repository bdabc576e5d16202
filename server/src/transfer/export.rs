//! One export: a snapshot of all tables, and of the files if the request includes them, as an archive.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;
use vestibule_schema::JsonFormat;
use vestibule_schema::id::{DocumentId, TableNumber};
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::value::{Object, Value};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::Transfers;
use super::archive::{COMPONENTS, DOCUMENTS, GENERATED_SCHEMA, STORAGE, TABLES, UNIFORM};
use super::error::TransferError;
use super::spool::{Spool, Spooled};
use super::under_way::Stop;
use crate::database::{ReadAt, TableMeta, component_of, each_stored, local_name};
use crate::files::OBJECTS;

/// Bytes of an entry from which on its size needs more room in an archive.
const LARGE_BYTES: u64 = 1 << 30;
/// The compression level of documents: most of the possible gain, at most of the speed.
const PACKED_LEVEL: i64 = 3;
/// An archive's description of itself.
const README: &str = "# An export\n\nEach directory is a table, with a document a line in `documents.jsonl`. \
Whole numbers are integers (`7`), all others have a fraction or an exponent (`7.0`).\n\
`_tables` holds the tables' numbers, which ids begin with, `_storage` the files, and `_components` the tables of components.\n\
Import it with `npx convex import --replace-all FILE.zip`.\n";

/// Tables of a snapshot, copied.
struct Copied {
    ts: Timestamp,
    tables: Vec<(Arc<TableMeta>, Spooled)>,
    storage: Option<(Arc<TableMeta>, Spooled)>,
    /// Where the content of each file lies.
    contents: HashMap<DocumentId, Uuid>,
}

/// An export that is done.
pub struct Exported {
    /// The commit that it shows.
    pub ts: Timestamp,
    /// How many bytes the archive has.
    pub bytes: u64,
}

type Archive = ZipWriter<BufWriter<File>>;

impl Transfers {
    /// Writes an archive to `path`. It is whole and durable when this returns.
    pub(super) fn export_to(
        &self,
        path: &Path,
        with_files: bool,
        stop: &Stop,
    ) -> Result<Exported, TransferError> {
        // Contents of files that are deleted meanwhile stay until the archive has them.
        let _hold = self.files.hold();
        let mut spool = Spool::new(&self.exports)?;
        let copied = self.copy_tables(&mut spool, with_files, stop)?;
        let arriving = path.with_extension("arriving");
        let written = self.write_archive(&arriving, &mut spool, &copied, stop);
        let written = written.and_then(|bytes| stop.check().map(|()| bytes));
        match written {
            Ok(bytes) => {
                std::fs::rename(&arriving, path)?;
                File::open(&self.exports)?.sync_all()?;
                let ts = copied.ts;
                Ok(Exported { ts, bytes })
            }
            Err(error) => {
                let _ = std::fs::remove_file(&arriving);
                Err(error)
            }
        }
    }

    fn copy_tables(
        &self,
        spool: &mut Spool,
        with_files: bool,
        stop: &Stop,
    ) -> Result<Copied, TransferError> {
        let ReadAt { snapshot, catalog } = self.database.read_at()?;
        let mut copied = Copied {
            ts: crate::storage::ReadView::ts(&snapshot),
            tables: Vec::new(),
            storage: None,
            contents: HashMap::new(),
        };
        let mut copy = |table: &TableMeta| -> Result<Spooled, TransferError> {
            let mut spooled = spool.begin();
            each_stored(&snapshot, table, |document| {
                stop.check()?;
                spool
                    .add(&mut spooled, &document)
                    .map_err(TransferError::from)
            })?;
            Ok(spooled)
        };
        for table in catalog
            .tables()
            .filter(|table| !table.name.starts_with('_'))
        {
            copied.tables.push((table.clone(), copy(table)?));
        }
        let storage = catalog.table(STORAGE).filter(|_| with_files);
        if let Some(storage) = storage {
            copied.storage = Some((storage.clone(), copy(storage)?));
        }
        let objects = catalog.table(OBJECTS).filter(|_| with_files);
        if let Some(objects) = objects {
            each_stored(&snapshot, objects, |object| {
                stop.check()?;
                let fields = object.fields(objects.number)?;
                let text = |name: &str| fields.get(name).and_then(Value::as_str);
                let id = text("storageId").and_then(|id| id.parse().ok());
                let uuid = text("uuid").and_then(|uuid| uuid.parse().ok());
                if let (Some(id), Some(uuid)) = (id, uuid) {
                    copied.contents.insert(id, uuid);
                }
                Ok::<(), TransferError>(())
            })?;
        }
        Ok(copied)
    }

    fn write_archive(
        &self,
        path: &Path,
        spool: &mut Spool,
        copied: &Copied,
        stop: &Stop,
    ) -> Result<u64, TransferError> {
        let file = BufWriter::with_capacity(1 << 20, File::create(path)?);
        let mut archive = ZipWriter::new(file);
        archive.start_file("README.md", packed(0))?;
        archive.write_all(README.as_bytes())?;
        write_numbers(&mut archive, copied)?;
        for (table, spooled) in &copied.tables {
            let directory = directory_of(&table.name);
            archive.start_file(format!("{directory}/{DOCUMENTS}"), packed(spooled.bytes))?;
            spool.each(*spooled, |document| {
                stop.check()?;
                let fields = document.fields(table.number)?;
                write_line(&mut archive, fields)
            })?;
            write_generated_schema(&mut archive, &directory)?;
        }
        if let Some((storage, spooled)) = &copied.storage {
            let files =
                self.write_file_documents(&mut archive, spool, storage, *spooled, copied)?;
            self.write_files(&mut archive, files, stop)?;
        }
        let file = archive.finish()?;
        let file = file
            .into_inner()
            .map_err(std::io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(file.metadata()?.len())
    }

    /// Writes the metadata of each file. Returns where their contents lie, and their names in the archive.
    fn write_file_documents(
        &self,
        archive: &mut Archive,
        spool: &mut Spool,
        storage: &TableMeta,
        spooled: Spooled,
        copied: &Copied,
    ) -> Result<Vec<FileEntry>, TransferError> {
        archive.start_file(format!("{STORAGE}/{DOCUMENTS}"), packed(spooled.bytes))?;
        let mut files = Vec::new();
        spool.each(spooled, |document| {
            let mut fields = document.fields(storage.number)?;
            if let Some(file) = FileEntry::of(&fields, &copied.contents) {
                let uuid = Value::String(file.uuid.to_string());
                fields.insert("internalId".to_string(), uuid);
                files.push(file);
                write_line(archive, fields)?;
            }
            Ok::<(), TransferError>(())
        })?;
        write_generated_schema(archive, STORAGE)?;
        Ok(files)
    }

    fn write_files(
        &self,
        archive: &mut Archive,
        files: Vec<FileEntry>,
        stop: &Stop,
    ) -> Result<(), TransferError> {
        for file in files {
            stop.check()?;
            let options = match file.is_packed {
                true => packed(file.bytes),
                false => packed(file.bytes)
                    .compression_method(CompressionMethod::Stored)
                    .compression_level(None),
            };
            let name = format!("{STORAGE}/{}{}", file.id, file.extension);
            archive.start_file(name, options)?;
            self.files.move_out(file.uuid, |part| {
                // The reason is told by the flag.
                stop.check().map_err(std::io::Error::other)?;
                archive.write_all(part)
            })?;
        }
        Ok(())
    }
}

/// A file of an archive.
struct FileEntry {
    id: DocumentId,
    uuid: Uuid,
    bytes: u64,
    extension: &'static str,
    /// Whether it gets smaller by packing.
    is_packed: bool,
}

impl FileEntry {
    fn of(fields: &Object, contents: &HashMap<DocumentId, Uuid>) -> Option<FileEntry> {
        let id: DocumentId = fields.get("_id")?.as_str()?.parse().ok()?;
        let content_type = fields.get("contentType").and_then(Value::as_str);
        let (extension, is_packed) = extension_of(content_type.unwrap_or_default());
        Some(FileEntry {
            id,
            uuid: *contents.get(&id)?,
            bytes: fields.get("size")?.as_f64()? as u64,
            extension,
            is_packed,
        })
    }
}

/// The extension of files of a type, and whether compression makes them smaller.
fn extension_of(content_type: &str) -> (&'static str, bool) {
    let essence = content_type.split(';').next().unwrap_or_default();
    match essence.trim().to_ascii_lowercase().as_str() {
        "image/png" => (".png", false),
        "image/jpeg" => (".jpg", false),
        "image/gif" => (".gif", false),
        "image/webp" => (".webp", false),
        "image/svg+xml" => (".svg", true),
        "application/pdf" => (".pdf", false),
        "application/zip" => (".zip", false),
        "application/json" => (".json", true),
        "text/plain" => (".txt", true),
        "text/html" => (".html", true),
        "text/css" => (".css", true),
        "text/csv" => (".csv", true),
        "text/markdown" => (".md", true),
        "audio/mpeg" => (".mp3", false),
        "audio/wav" => (".wav", true),
        "video/mp4" => (".mp4", false),
        "video/webm" => (".webm", false),
        _ => ("", false),
    }
}

fn write_numbers(archive: &mut Archive, copied: &Copied) -> Result<(), TransferError> {
    let storage = copied.storage.iter().map(|(table, _)| table);
    let tables = copied.tables.iter().map(|(table, _)| table).chain(storage);
    let mut by_component: BTreeMap<&str, Vec<&TableMeta>> = BTreeMap::from([Default::default()]);
    for table in tables {
        by_component
            .entry(table.component())
            .or_default()
            .push(table);
    }
    for (component, tables) in by_component {
        let directory = below(component, TABLES);
        archive.start_file(format!("{directory}/{DOCUMENTS}"), packed(0))?;
        for table in tables {
            let number: TableNumber = table.number;
            let line = serde_json::json!({ "name": table.local_name(), "id": number.get() });
            writeln!(archive, "{line}")?;
        }
    }
    Ok(())
}

/// The directory of a table in an archive.
fn directory_of(table: &str) -> String {
    below(component_of(table), local_name(table))
}

/// A directory of the app or of a component.
fn below(component: &str, directory: &str) -> String {
    let names = component.split('/').filter(|name| !name.is_empty());
    let components: String = names.map(|name| format!("{COMPONENTS}/{name}/")).collect();
    components + directory
}

fn write_generated_schema(archive: &mut Archive, table: &str) -> Result<(), TransferError> {
    archive.start_file(format!("{table}/{GENERATED_SCHEMA}"), packed(0))?;
    writeln!(archive, "{UNIFORM}")?;
    Ok(())
}

fn write_line(archive: &mut Archive, fields: Object) -> Result<(), TransferError> {
    let json = Value::Object(fields).to_format(JsonFormat::Export);
    let mut line = json.to_string();
    line.push('\n');
    archive.write_all(line.as_bytes())?;
    Ok(())
}

fn packed(bytes: u64) -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(PACKED_LEVEL))
        .large_file(bytes >= LARGE_BYTES)
}
