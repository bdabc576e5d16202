//! One import: its outlook, for an administrator to confirm, and its execution.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufReader;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;
use vestibule_schema::object;
use vestibule_schema::path::ComponentPath;
use vestibule_schema::value::{Object, Value};
use zip::ZipArchive;

use super::Transfers;
use super::archive::{self, Contents, TableEntry};
use super::error::{DocumentProblem, TransferError};
use super::fill::{Checking, Filler, Filling};
use super::plan::{Existing, NamesOf, Plan};
use super::reading::{self, Layout, Numbers, ReadDocument};
use super::states::{self, Format, Import, Mode};
use super::swap::{self, Hidden};
use super::under_way::Stop;
use super::uploads::PartsReader;
use crate::database::{Catalog, Destination, TableMeta, component_of, local_name, stored_name};
use crate::files::{OBJECTS, STORAGE, parse_sha256, parse_uuid, work};

/// How often an import tells how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// Plans of one import, each on a newer catalog.
const PLANS_MAX: usize = 3;
/// Tables that a confirmation lists.
const LISTED_MAX: usize = 100;

/// Where the documents of one table are.
enum Source {
    /// The upload itself.
    Whole(Layout),
    /// An entry of the archive.
    Entry(TableEntry),
}

/// The file of an import, opened.
struct Opened {
    reader: PartsReader,
    archive: Option<ZipArchive<PartsReader>>,
    contents: Contents,
    sources: BTreeMap<String, Source>,
    /// Its name in errors, when it is no archive.
    file: String,
}

/// The outlook of an import.
pub struct Outlook {
    /// In words.
    pub message: String,
    /// Whether existing documents go.
    pub removes: bool,
}

impl Transfers {
    /// Looks at an import and says what it would do.
    pub(super) fn look_at(&self, import: &Import, stop: &Stop) -> Result<Outlook, TransferError> {
        let mut opened = self.open_import(import, stop)?;
        let catalog = self.database.definitions().catalog.clone();
        let counts = self.count_existing(&catalog, import, &opened, stop)?;
        let plan = opened.plan(import, &existing(&counts), &catalog)?;
        let mut lines = vec!["Import change summary:".to_string()];
        let mut removes = false;
        let listed = plan.filled.iter().filter(|(name, _)| *name != OBJECTS);
        for (name, filled) in listed.take(LISTED_MAX) {
            let added = opened.count(name)?;
            let here = counts.get(name).copied().unwrap_or_default();
            let removed = if filled.in_place { 0 } else { here };
            removes |= removed > 0;
            lines.push(format!(
                "  {name}: create {added}, delete {removed} of {here}"
            ));
        }
        for name in plan.moved.keys() {
            let here = counts.get(name).copied().unwrap_or_default();
            removes |= here > 0;
            lines.push(format!("  {name}: delete {here} of {here}"));
        }
        lines.extend(
            opened
                .contents
                .skipped
                .iter()
                .map(|text| format!("  {text}")),
        );
        if removes {
            lines.push("Documents that are deleted cannot be brought back.".to_string());
        }
        Ok(Outlook {
            message: lines.join("\n"),
            removes,
        })
    }

    /// Runs an import. Returns how many documents were written. When it fails, none of its documents are visible,
    /// except those appended to tables that had documents, which are noted.
    pub(super) fn perform(&self, import: &Import, stop: &Stop) -> Result<u64, TransferError> {
        let mut opened = self.open_import(import, stop)?;
        // Contents of files have no visible documents until the very end.
        let _hold = self.files.hold();
        let mut tries = 0;
        let (catalog, plan, hidden) = loop {
            tries += 1;
            let catalog = self.database.definitions().catalog.clone();
            let counts = self.count_existing(&catalog, import, &opened, stop)?;
            let plan = opened.plan(import, &existing(&counts), &catalog)?;
            plan.check_references(&catalog)?;
            let planned = plan.clone();
            let hiding = work::begin_write(&self.database, move |tx| swap::hide(tx, &planned))?;
            match hiding.wait() {
                // A table that was made since may have the number.
                Err(TransferError::NumberTaken { .. }) if tries < PLANS_MAX => {}
                hidden => break (catalog, plan, hidden?),
            }
        };
        let names = Arc::new(plan.names(&catalog));
        let mut performing = Performing {
            transfers: self,
            import,
            plan: &plan,
            hidden: &hidden,
            catalog: &catalog,
            names,
            filler: Filler::new(&self.database, import.id, stop),
            told: self.database.clock().elapsed(),
            done: opened.contents.skipped.clone(),
            contents: Vec::new(),
        };
        let filled = performing.fill(&mut opened);
        let written = filled.and_then(|()| performing.finish());
        // Files in tables in use have documents, and contents go after those.
        let has_documents = plan.filled.get(STORAGE).is_some_and(|files| files.in_place);
        if written.is_err() && !has_documents {
            for key in std::mem::take(&mut performing.contents) {
                self.files.move_back(key);
            }
        }
        written
    }

    fn open_import(&self, import: &Import, stop: &Stop) -> Result<Opened, TransferError> {
        let reader = self.uploads.read(&import.upload, stop)?;
        let mut opened = Opened {
            reader,
            archive: None,
            contents: Contents::default(),
            sources: BTreeMap::new(),
            file: import.request.table.clone().unwrap_or_default(),
        };
        let layout = match import.request.format {
            Format::Csv => Layout::Csv,
            Format::JsonLines => Layout::JsonLines(Numbers::Float),
            Format::JsonArray => Layout::JsonArray,
            Format::Zip => {
                opened.open_archive(&self.options, &import.request.component)?;
                return Ok(opened);
            }
        };
        let request = &import.request;
        let table = request.table.as_deref().unwrap_or_default();
        let table = stored_name(&request.component, table).into_owned();
        opened.sources.insert(table, Source::Whole(layout));
        Ok(opened)
    }

    /// How many documents every table has that the import may touch.
    fn count_existing(
        &self,
        catalog: &Catalog,
        import: &Import,
        opened: &Opened,
        stop: &Stop,
    ) -> Result<BTreeMap<String, u64>, TransferError> {
        let mut counts = BTreeMap::new();
        let is_asked = |table: &&Arc<TableMeta>| match table.name.as_str() {
            // Files that the archive says nothing of stay.
            STORAGE | OBJECTS => opened.sources.contains_key(&table.name),
            name => !name.starts_with('_'),
        };
        // Tables of components that the import does not speak of stay, in this mode too.
        let named = opened.sources.keys().map(|name| component_of(name));
        let mut components: BTreeSet<&str> = named.collect();
        components.insert(import.request.component.as_str());
        let is_reached = |table: &&Arc<TableMeta>| {
            import.request.mode != Mode::ReplaceAll || components.contains(table.component())
        };
        for table in catalog.tables().filter(is_asked) {
            if !is_reached(&table) {
                // An empty one may give up its number.
                if self.count_at_most(table, 1, stop)? == 0 {
                    counts.insert(table.name.clone(), 0);
                }
                continue;
            }
            let is_all = import.request.mode == Mode::ReplaceAll;
            let is_filled = opened.sources.contains_key(&table.name);
            let count = match is_all || is_filled {
                true => self.count(table, stop)?,
                // For the others it matters only whether they are empty.
                false => self.count_at_most(table, 1, stop)?,
            };
            counts.insert(table.name.clone(), count);
        }
        Ok(counts)
    }
}

fn existing(counts: &BTreeMap<String, u64>) -> BTreeMap<String, Existing> {
    let existing = counts.iter().map(|(name, count)| {
        let is_empty = *count == 0;
        (name.clone(), Existing { is_empty })
    });
    existing.collect()
}

impl Opened {
    /// Opens an archive of `component` and what it mounts.
    fn open_archive(
        &mut self,
        options: &super::TransferOptions,
        component: &ComponentPath,
    ) -> Result<(), TransferError> {
        let bytes = self.reader.bytes();
        let (archive, contents) = archive::open(self.reader.clone(), bytes, options)?;
        let contents = contents.below(component);
        for (name, entry) in &contents.tables {
            states::check_table_name(local_name(name))?;
            self.sources.insert(name.clone(), Source::Entry(*entry));
        }
        if let Some(entry) = contents.storage {
            self.sources
                .insert(STORAGE.to_string(), Source::Entry(entry));
            // The table of content places is not in the archive, and is filled beside.
            self.sources
                .insert(OBJECTS.to_string(), Source::Entry(entry));
        }
        (self.archive, self.contents) = (Some(archive), contents);
        Ok(())
    }

    fn plan(
        &mut self,
        import: &Import,
        existing: &BTreeMap<String, Existing>,
        catalog: &Catalog,
    ) -> Result<Plan, TransferError> {
        let mut wanted = BTreeMap::new();
        for name in self.sources.keys().cloned().collect::<Vec<_>>() {
            let is_new = catalog.table(&name).is_none() || import.request.mode != Mode::Append;
            let number = match self.contents.numbers.get(&name) {
                _ if name == OBJECTS => None,
                Some(number) => Some(*number),
                // Ids say which number their table had.
                None if is_new => self.first_number(&name)?,
                None => None,
            };
            wanted.insert(name, number);
        }
        Plan::new(import.request.mode, &wanted, existing, catalog)
    }

    /// The number in the id of a table's first document.
    fn first_number(
        &mut self,
        name: &str,
    ) -> Result<Option<vestibule_schema::id::TableNumber>, TransferError> {
        let mut first = None;
        let read = self.each(name, &mut |document| {
            first = document.id.map(|id| id.table());
            // Enough.
            Err(DocumentProblem::Other(TransferError::Canceled))
        });
        match read {
            Ok(()) | Err(TransferError::Canceled) => Ok(first),
            Err(error) => Err(error),
        }
    }

    /// Hands every document of a table to `visit`.
    fn each(&mut self, name: &str, visit: &mut reading::Visit<'_>) -> Result<(), TransferError> {
        match (self.sources.get(name), &mut self.archive) {
            (Some(Source::Whole(layout)), _) => {
                let reader = BufReader::new(self.reader.clone());
                reading::read_documents(&self.file, *layout, reader, visit)
            }
            (Some(Source::Entry(entry)), Some(archive)) => {
                let reader = BufReader::new(archive.by_index(entry.index)?);
                let file = format!("{name}/{}", archive::DOCUMENTS);
                let read = reading::read_documents(&file, entry.layout(), reader, visit);
                read.map_err(archive::of_entry)
            }
            (Some(Source::Entry(_)), None) | (None, _) => Ok(()),
        }
    }

    fn count(&mut self, name: &str) -> Result<u64, TransferError> {
        match (self.sources.get(name), &mut self.archive) {
            (Some(Source::Whole(layout)), _) => {
                let reader = BufReader::new(self.reader.clone());
                reading::count_documents(&self.file, *layout, reader)
            }
            (Some(Source::Entry(entry)), Some(archive)) => {
                let reader = BufReader::new(archive.by_index(entry.index)?);
                let file = format!("{name}/{}", archive::DOCUMENTS);
                let counted = reading::count_documents(&file, entry.layout(), reader);
                counted.map_err(archive::of_entry)
            }
            (Some(Source::Entry(_)), None) | (None, _) => Ok(0),
        }
    }
}

/// An import while it is done.
struct Performing<'i> {
    transfers: &'i Transfers,
    import: &'i Import,
    plan: &'i Plan,
    hidden: &'i Hidden,
    catalog: &'i Catalog,
    names: Arc<super::plan::FutureNames>,
    filler: Filler<'i>,
    /// When it last told how far it is, on the clock's own count.
    told: Duration,
    /// The work it has done, in words.
    done: Vec<String>,
    /// Contents of files that have no visible documents yet.
    contents: Vec<Uuid>,
}

impl Performing<'_> {
    fn fill(&mut self, opened: &mut Opened) -> Result<(), TransferError> {
        let names: Vec<String> = opened.sources.keys().cloned().collect();
        let plan = self.plan;
        let is_in_place = |name: &String| {
            let filled = plan.filled.get(name);
            filled.is_some_and(|filled| filled.in_place)
        };
        let (in_place, hidden): (Vec<String>, Vec<String>) =
            names.into_iter().partition(is_in_place);
        self.fill_all(hidden, opened)?;
        // Documents in tables in use are seen at once, so everything else that may fail has its turn before. Those of an
        // import that fails all the same are taken back.
        self.filler.finish()?;
        for name in in_place.iter().filter(|name| !name.starts_with('_')) {
            self.check_table(name, opened)?;
        }
        self.fill_all(in_place, opened)?;
        self.filler.finish()
    }

    fn fill_all(&mut self, names: Vec<String>, opened: &mut Opened) -> Result<(), TransferError> {
        for name in names {
            let before = self.filler.written();
            match name.as_str() {
                OBJECTS => continue,
                STORAGE => self.fill_files(opened)?,
                _ => self.fill_table(&name, opened)?,
            }
            let count = self.filler.written() - before;
            self.done
                .push(format!("Imported {count} documents into \"{name}\""));
        }
        Ok(())
    }

    /// Looks at every document of a table before the first one is written.
    fn check_table(&mut self, name: &str, opened: &mut Opened) -> Result<(), TransferError> {
        let mut checking = Checking::new(&self.transfers.database, self.filling(name)?);
        opened.each(name, &mut |document| {
            self.tell(name)?;
            checking.add(document)
        })?;
        checking.finish()
    }

    fn fill_table(&mut self, name: &str, opened: &mut Opened) -> Result<(), TransferError> {
        let mut filling = self.filling(name)?;
        opened.each(name, &mut |document| {
            self.tell(name)?;
            self.filler.add(&mut filling, document)
        })?;
        self.filler.hand_over(&mut filling)
    }

    /// Files: the content of each, then what is known of it.
    fn fill_files(&mut self, opened: &mut Opened) -> Result<(), TransferError> {
        let Some(mut contents) = opened.archive.clone() else {
            return Ok(());
        };
        let places = std::mem::take(&mut opened.contents.files);
        let (mut files, mut objects) = (self.filling(STORAGE)?, self.filling(OBJECTS)?);
        opened.each(STORAGE, &mut |document| {
            self.tell(STORAGE)?;
            let id = document.id.ok_or_else(|| "a file has no _id".to_string())?;
            let place = places.get(&id.to_string());
            let place = place.ok_or_else(|| format!("the archive lacks the content of {id}"))?;
            let mut content = contents.by_index(*place).map_err(TransferError::from)?;
            let about = About::read(&document.fields)?;
            let moved = self
                .transfers
                .files
                .move_in(about.uuid, &mut content, Some(about.sha256));
            let (key, written) = moved
                .map_err(TransferError::from)
                .map_err(archive::of_entry)?;
            self.contents.push(key);
            if written.bytes != about.bytes {
                let (found, said) = (written.bytes, about.bytes);
                return Err(format!("{id} has {found} bytes, not {said}").into());
            }
            let object = ReadDocument {
                id: None,
                creation_time: None,
                fields: crate::files::object_fields(id, key),
            };
            self.filler.add(&mut objects, object)?;
            let file = ReadDocument {
                fields: about.fields,
                ..document
            };
            self.filler.add(&mut files, file)
        })?;
        self.filler.hand_over(&mut objects)?;
        self.filler.hand_over(&mut files)
    }

    fn filling(&self, name: &str) -> Result<Filling, TransferError> {
        let filled = self.plan.filled.get(name);
        let table = match self.hidden.get(name) {
            Some(hidden) => Some(hidden),
            None => self.catalog.table(name),
        };
        let (Some(filled), Some(table)) = (filled, table) else {
            return Err(TransferError::SchemaChanged);
        };
        let to = Destination {
            name: name.to_string(),
            table: table.clone(),
            number: filled.number,
            names: Arc::new(NamesOf::new(&self.names, name)),
        };
        Ok(Filling::new(to, filled.in_place, name.to_string()))
    }

    /// Tells how far it is, now and then.
    fn tell(&mut self, table: &str) -> Result<(), TransferError> {
        let now = self.transfers.database.clock().elapsed();
        if now.saturating_sub(self.told) < PROGRESS_EVERY {
            return Ok(());
        }
        self.told = now;
        let written = self.filler.written();
        let message = format!("Importing \"{table}\" ({written} documents so far)");
        let state = states::in_progress(&message, &self.done);
        let id = self.import.id.to_string();
        let telling = work::begin_write(&self.transfers.database, move |tx| {
            let import = Import::find(tx, &id)?;
            match import.state_name() {
                "in_progress" => states::set_state(tx, import.id, state),
                _ => Err(TransferError::Canceled),
            }
        });
        telling?.wait()
    }

    /// Shows everything at once.
    fn finish(&mut self) -> Result<u64, TransferError> {
        let written = self.filler.written();
        let id = self.import.id.to_string();
        let (plan, hidden) = (self.plan.clone(), self.hidden.clone());
        let now = self.transfers.database.clock().now().0;
        let finishing = work::begin_write(&self.transfers.database, move |tx| {
            swap::swap(tx, &id, &plan, &hidden, states::completed(written, now))
        });
        finishing?.wait()?;
        Ok(written)
    }
}

/// An archive's entry about a file.
struct About {
    sha256: [u8; 32],
    bytes: u64,
    uuid: Option<Uuid>,
    /// The fields stored about it.
    fields: Object,
}

impl About {
    fn read(fields: &Object) -> Result<About, DocumentProblem> {
        let text = |name: &str| fields.get(name).and_then(Value::as_str);
        let sha256 = text("sha256").and_then(parse_sha256);
        let bytes = match fields.get("size") {
            Some(Value::Float64(bytes)) => Some(*bytes as u64),
            Some(Value::Int64(bytes)) => u64::try_from(*bytes).ok(),
            _ => None,
        };
        let (Some(sha256), Some(bytes)) = (sha256, bytes) else {
            return Err("a file needs sha256, in base64, and size"
                .to_string()
                .into());
        };
        let mut kept = object! {
            "sha256" => data_encoding::BASE64.encode(&sha256),
            "size" => bytes as f64,
        };
        if let Some(content_type) = text("contentType").filter(|text| !text.is_empty()) {
            kept.insert("contentType".to_string(), content_type.into());
        }
        Ok(About {
            sha256,
            bytes,
            uuid: text("internalId").and_then(parse_uuid),
            fields: kept,
        })
    }
}
