//! Archives as other servers and this one write them: the places of all entries in the zip, and the refused forms.
//!
//! `_tables/documents.jsonl` says which number each table has, so that ids keep their meaning. A table `rooms` is
//! `rooms/documents.jsonl`, and `rooms/generated_schema.jsonl` says how its values are written. Files are described in
//! `_storage/documents.jsonl` and lie beside it, named by their id. All of it may lie below one more directory. What belongs to
//! a component lies below `_components/name/` in the same form.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufReader, ErrorKind, Read, Seek};

use serde::Deserialize;
use vestibule_schema::id::TableNumber;
use vestibule_schema::path::ComponentPath;
use zip::ZipArchive;

use super::error::{DocumentProblem, TransferError};
use super::options::{ENTRIES_MAX, TransferOptions};
use super::reading::{Layout, Numbers, each_line};
use crate::database::{component_of, local_name};
use crate::files::FileError;

/// The documents of a table.
pub const DOCUMENTS: &str = "documents.jsonl";
/// How the values of a table are written.
pub const GENERATED_SCHEMA: &str = "generated_schema.jsonl";
/// The directory with the numbers of all tables.
pub const TABLES: &str = "_tables";
/// The directory of files.
pub const STORAGE: &str = "_storage";
/// The directory of what belongs to components.
pub const COMPONENTS: &str = "_components";
/// The content of [`GENERATED_SCHEMA`] where values are written in the one way that needs no description.
pub const UNIFORM: &str = "\"uniform\"";
/// Bytes of a [`GENERATED_SCHEMA`] that are read.
const GENERATED_SCHEMA_BYTES_MAX: u64 = 1 << 20;
/// The size in bytes that any archive may unpack to, however small it is packed.
const UNPACKED_BYTES_FREE: u64 = 1 << 30;

/// Where everything in an archive is.
#[derive(Debug, Default)]
pub struct Contents {
    /// The tables, by the names under which they are stored, with the entries of their documents and how those are written.
    pub tables: BTreeMap<String, TableEntry>,
    /// Files, by the text of their ids.
    pub files: HashMap<String, usize>,
    /// The entry that describes the files.
    pub storage: Option<TableEntry>,
    /// The number of each table, where the archive says so.
    pub numbers: BTreeMap<String, TableNumber>,
    /// The skipped entries, in words.
    pub skipped: Vec<String>,
}

/// The documents of a table in an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableEntry {
    /// Which entry of the archive.
    pub index: usize,
    /// How its values are written.
    pub numbers: Numbers,
}

/// A line of `_tables/documents.jsonl`.
#[derive(Deserialize)]
struct TableLine {
    name: String,
    id: u32,
}

impl TableEntry {
    /// How its documents are read.
    pub fn layout(&self) -> Layout {
        Layout::JsonLines(self.numbers)
    }
}

/// Opens an archive and finds the place of each entry. `packed_bytes` is the archive's size.
pub fn open<R: Read + Seek>(
    reader: R,
    packed_bytes: u64,
    options: &TransferOptions,
) -> Result<(ZipArchive<R>, Contents), TransferError> {
    let mut archive = ZipArchive::new(reader)?;
    if archive.len() > ENTRIES_MAX {
        let problem = format!("it has more than {ENTRIES_MAX} entries");
        return Err(TransferError::Archive(problem));
    }
    check_unpacked(&mut archive, packed_bytes, options)?;
    let contents = find(&mut archive)?;
    Ok((archive, contents))
}

/// Refuses an archive that unpacks to more than any export holds.
fn check_unpacked<R: Read + Seek>(
    archive: &mut ZipArchive<R>,
    packed_bytes: u64,
    options: &TransferOptions,
) -> Result<(), TransferError> {
    let mut unpacked: u64 = 0;
    for index in 0..archive.len() {
        unpacked = unpacked.saturating_add(archive.by_index_raw(index)?.size());
    }
    let by_ratio = packed_bytes.saturating_mul(options.unpacked_ratio_max);
    let max = options
        .unpacked_bytes_max
        .min(by_ratio.max(UNPACKED_BYTES_FREE));
    match unpacked > max {
        true => Err(TransferError::Archive(format!(
            "its {packed_bytes} bytes unpack to {unpacked}"
        ))),
        false => Ok(()),
    }
}

fn find<R: Read + Seek>(archive: &mut ZipArchive<R>) -> Result<Contents, TransferError> {
    let mut found = Found::default();
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index)?;
        let is_plain = !entry.encrypted() && !entry.is_symlink();
        let (name, is_directory) = (entry.name()?.into_owned(), entry.is_dir());
        drop(entry);
        check_name(&name)?;
        if !is_plain {
            let problem = format!("the entry \"{}\" is a link, or encrypted", shown(&name));
            return Err(TransferError::Archive(problem));
        }
        if !is_directory {
            found.add(index, &name)?;
        }
    }
    found.into_contents(archive)
}

/// The result of a walk over the names.
#[derive(Default)]
struct Found {
    /// The directory below which everything lies, ended by a slash; empty when that is the archive itself.
    root: Option<String>,
    documents: BTreeMap<String, usize>,
    schemas: BTreeMap<String, usize>,
    files: HashMap<String, usize>,
    other: Vec<String>,
}

impl Found {
    fn add(&mut self, index: usize, name: &str) -> Result<(), TransferError> {
        let (root, component, name) = placed(name)?;
        let parts: Vec<&str> = name.split('/').collect();
        let [between @ .., directory, file] = &parts[..] else {
            // Files such as README.md, which say nothing.
            return Ok(());
        };
        let is_stored = *directory == STORAGE && *file != DOCUMENTS && *file != GENERATED_SCHEMA;
        if !is_stored && *file != DOCUMENTS && *file != GENERATED_SCHEMA {
            return Ok(());
        }
        let root = root.into_iter().chain(between.iter().copied());
        self.check_root(&root.collect::<Vec<_>>().join("/"))?;
        let directory = &*match component.is_root() {
            true => directory.to_string(),
            false => format!("{component}/{directory}"),
        };
        let (before, key) = match (is_stored, *file) {
            // Files are the app's: those of a component have no place here.
            (true, _) if !component.is_root() => return Ok(()),
            (true, file) => {
                let id = file.split('.').next().unwrap_or_default();
                (self.files.insert(id.to_string(), index), file)
            }
            (false, DOCUMENTS) => {
                let name = directory.to_string();
                (self.documents.insert(name, index), directory)
            }
            (false, _) => {
                let name = directory.to_string();
                (self.schemas.insert(name, index), directory)
            }
        };
        match before {
            Some(_) => Err(TransferError::Archive(format!(
                "\"{}\" is in it twice",
                shown(key)
            ))),
            None => Ok(()),
        }
    }

    /// Everything lies below one directory: two exports in one archive are refused.
    fn check_root(&mut self, root: &str) -> Result<(), TransferError> {
        match self.root.get_or_insert_with(|| root.to_string()) == root {
            true => Ok(()),
            false => Err(TransferError::Archive(
                "its tables lie below several directories".to_string(),
            )),
        }
    }

    fn into_contents<R: Read + Seek>(
        mut self,
        archive: &mut ZipArchive<R>,
    ) -> Result<Contents, TransferError> {
        let mut contents = Contents::default();
        let numbers: Vec<String> = self
            .documents
            .keys()
            .filter(|key| is_of_numbers(key))
            .cloned()
            .collect();
        for key in numbers {
            let index = self.documents.remove(&key);
            let index = index.expect("it is a key of the map");
            contents.add_numbers(component_of(&key), read_numbers(archive, index)?);
        }
        for (table, index) in std::mem::take(&mut self.documents) {
            let numbers = match self.schemas.get(&table) {
                Some(schema) => read_numbers_kind(archive, *schema, &table)?,
                // Made by hand: as any other JSON.
                None => Numbers::Float,
            };
            let entry = TableEntry { index, numbers };
            match table.as_str() {
                STORAGE => contents.storage = Some(entry),
                _ if local_name(&table).starts_with('_') => self.other.push(table),
                _ => {
                    contents.tables.insert(table, entry);
                }
            }
        }
        contents.files = self.files;
        for table in self.other {
            let words = format!("skipped the system table \"{table}\"");
            contents.skipped.push(words);
        }
        Ok(contents)
    }
}

/// The parts of an entry's name: the directories before everything, the component that it belongs to, and the rest.
fn placed(name: &str) -> Result<(Vec<&str>, ComponentPath, &str), TransferError> {
    let (mut root, mut component, mut rest) = (Vec::new(), ComponentPath::ROOT, name);
    let mut before = Vec::new();
    while let Some((part, behind)) = rest.split_once('/') {
        if part == COMPONENTS {
            let (child, behind) = behind.split_once('/').unwrap_or((behind, ""));
            component = component.child(child).map_err(|_| {
                let problem = format!("\"{}\" is not the name of a component", shown(child));
                TransferError::Archive(problem)
            })?;
            root.append(&mut before);
            rest = behind;
        } else if component.is_root() {
            before.push(part);
            rest = behind;
        } else {
            break;
        }
    }
    match component.is_root() {
        true => Ok((Vec::new(), component, name)),
        false => Ok((root, component, rest)),
    }
}

fn is_of_numbers(key: &str) -> bool {
    local_name(key) == TABLES
}

impl Contents {
    /// The same as those of a component.
    pub fn below(self, component: &ComponentPath) -> Contents {
        if component.is_root() {
            return self;
        }
        let placed = |name: String| format!("{component}/{name}");
        let tables = self.tables.into_iter();
        let numbers = self.numbers.into_iter();
        Contents {
            tables: tables.map(|(name, entry)| (placed(name), entry)).collect(),
            numbers: numbers
                .map(|(name, number)| (placed(name), number))
                .collect(),
            ..self
        }
    }

    fn add_numbers(&mut self, component: &str, numbers: BTreeMap<String, TableNumber>) {
        let named = numbers.into_iter().map(|(name, number)| match component {
            "" => (name, number),
            component => (format!("{component}/{name}"), number),
        });
        self.numbers.extend(named);
    }
}

fn read_numbers<R: Read + Seek>(
    archive: &mut ZipArchive<R>,
    index: usize,
) -> Result<BTreeMap<String, TableNumber>, TransferError> {
    let mut numbers = BTreeMap::new();
    let reader = BufReader::new(archive.by_index(index)?);
    let read = each_line(&format!("{TABLES}/{DOCUMENTS}"), reader, |line| {
        let line: TableLine = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        let number = TableNumber::new(line.id)
            .ok_or_else(|| DocumentProblem::Text("no table has the number 0".to_string()))?;
        numbers.insert(line.name, number);
        Ok(())
    });
    read.map_err(of_entry)?;
    Ok(numbers)
}

/// How the values of a table are written, by its generated schema.
fn read_numbers_kind<R: Read + Seek>(
    archive: &mut ZipArchive<R>,
    index: usize,
    table: &str,
) -> Result<Numbers, TransferError> {
    let mut text = String::new();
    let entry = archive.by_index(index)?;
    entry
        .take(GENERATED_SCHEMA_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(|error| of_entry(error.into()))?;
    match text.trim() {
        UNIFORM => Ok(Numbers::Exact),
        // Older servers describe the shapes they found; without integers and bytes the documents are plain JSON.
        shape if !shape.contains("int64") && !shape.contains("bytes") => Ok(Numbers::Float),
        _ => Err(TransferError::File {
            file: format!("{table}/{GENERATED_SCHEMA}"),
            problem: "the archive is of an old kind that this server does not read where it holds integers or bytes; export it again".to_string(),
        }),
    }
}

/// An error of reading an entry. An entry that does not unpack to what the archive says is the archive's fault, not the
/// disk's.
pub fn of_entry(error: TransferError) -> TransferError {
    let cause = match &error {
        TransferError::Io(cause) | TransferError::Files(FileError::Io(cause)) => cause,
        _ => return error,
    };
    match cause.kind() {
        ErrorKind::InvalidData
        | ErrorKind::InvalidInput
        | ErrorKind::UnexpectedEof
        | ErrorKind::Other => TransferError::Archive(format!("an entry is damaged: {cause}")),
        _ => error,
    }
}

/// Refuses names that would unpack outside their directory.
fn check_name(name: &str) -> Result<(), TransferError> {
    let is_safe = !name.is_empty()
        && !name.starts_with('/')
        && !name.contains(['\\', '\0', ':'])
        && !name.split('/').any(|part| part == ".." || part == ".");
    match is_safe {
        true => Ok(()),
        false => Err(TransferError::Archive(format!(
            "the name \"{}\" leads out of it",
            shown(name)
        ))),
    }
}

/// A name as an error shows it.
fn shown(name: &str) -> String {
    name.escape_debug().take(100).collect()
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    fn zip(entries: &[(&str, &str)]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, text) in entries {
            writer
                .start_file(*name, SimpleFileOptions::default())
                .unwrap();
            writer.write_all(text.as_bytes()).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn contents(entries: &[(&str, &str)]) -> Result<Contents, String> {
        let bytes = zip(entries);
        let packed = bytes.len() as u64;
        let opened = open(Cursor::new(bytes), packed, &TransferOptions::default());
        opened
            .map(|(_, contents)| contents)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn an_archive_is_found_out_below_any_directory() {
        for root in ["", "snapshot_x/", "a/b/"] {
            let name = |name: &str| format!("{root}{name}");
            let names = [
                name("README.md"),
                name("_tables/documents.jsonl"),
                name("rooms/documents.jsonl"),
                name("rooms/generated_schema.jsonl"),
                name("plain/documents.jsonl"),
                name("_storage/documents.jsonl"),
                name("_storage/kg2a.png"),
                name("_scheduled_jobs/documents.jsonl"),
                name("_components/foo/rooms/documents.jsonl"),
            ];
            let tables = "{\"name\":\"rooms\",\"id\":10001}\n{\"name\":\"_storage\",\"id\":520}\n";
            let texts = ["hi", tables, "", "\"uniform\"\n", "", "", "png", "", ""];
            let entries = names.iter().map(String::as_str).zip(texts);
            let contents = contents(&entries.collect::<Vec<_>>()).unwrap();
            let rooms = &contents.tables["rooms"];
            assert_eq!((rooms.index, rooms.numbers), (2, Numbers::Exact));
            assert_eq!(contents.tables["plain"].numbers, Numbers::Float);
            assert!(contents.tables.contains_key("foo/rooms"));
            assert_eq!(contents.tables.len(), 3);
            assert_eq!(contents.numbers["rooms"].get(), 10_001);
            assert_eq!(contents.files["kg2a"], 6);
            assert_eq!(contents.storage.unwrap().index, 5);
            assert_eq!(contents.skipped.len(), 1, "{:?}", contents.skipped);
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in [
            "../rooms/documents.jsonl",
            "a/../../documents.jsonl",
            "/rooms/documents.jsonl",
            "rooms\\documents.jsonl",
            "c:/rooms/documents.jsonl",
            "./rooms/documents.jsonl",
            "rooms/..",
            "_storage/../../secret",
        ] {
            let refused = contents(&[(name, "")]).unwrap_err();
            assert!(refused.contains("leads out"), "{name}: {refused}");
        }
    }

    #[test]
    fn an_archive_that_unpacks_to_too_much_is_refused() {
        let bytes = zip(&[("a/documents.jsonl", &" ".repeat(1 << 20))]);
        let options = TransferOptions {
            unpacked_bytes_max: 1_000,
            ..TransferOptions::default()
        };
        let packed = bytes.len() as u64;
        let refused = open(Cursor::new(bytes), packed, &options).err().unwrap();
        assert!(refused.to_string().contains("unpack"), "{refused}");
    }

    #[test]
    fn broken_and_ambiguous_archives_are_refused() {
        for (entries, problem) in [
            (
                &[("a/x/documents.jsonl", ""), ("b/x/documents.jsonl", "")][..],
                "several directories",
            ),
            (
                &[("_storage/a.png", ""), ("_storage/a.jpg", "")][..],
                "twice",
            ),
            (&[("_tables/documents.jsonl", "{}")][..], "_tables/"),
            (
                &[("_tables/documents.jsonl", "{\"name\":\"a\",\"id\":0}")][..],
                "number 0",
            ),
            (
                &[
                    ("a/documents.jsonl", ""),
                    ("a/generated_schema.jsonl", "{\"x\":\"int64\"}"),
                ][..],
                "old kind",
            ),
        ] {
            let refused = contents(entries).unwrap_err();
            assert!(refused.contains(problem), "{refused}");
        }
        let whole = zip(&[("a/documents.jsonl", "{}")]);
        for cut in 0..whole.len() {
            let opened = open(
                Cursor::new(&whole[..cut]),
                cut as u64,
                &TransferOptions::default(),
            );
            assert!(opened.is_err(), "{cut}");
        }
    }
}
