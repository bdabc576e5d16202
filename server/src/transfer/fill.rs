//! Filling tables: documents go in as commits of bounded size, a few of them under way at the same time. So memory
//! stays flat for any import.

use std::collections::VecDeque;

use vestibule_schema::id::DocumentId;

use super::appended;
use super::error::{DocumentProblem, TransferError};
use super::options::{
    BATCH_BYTES_MAX, BATCH_DOCUMENTS_MAX, BATCH_INDEX_ENTRIES_MAX, BATCHES_UNDER_WAY_MAX,
};
use super::reading::ReadDocument;
use super::states::Import;
use super::under_way::Stop;
use crate::database::{Database, DatabaseError, Destination, ImportedDocument, Transaction};
use crate::files::OBJECTS;
use crate::files::work::{Writing, begin_write};

/// Fills tables from one thread that may wait.
pub struct Filler<'d> {
    database: &'d Database,
    /// The import that fills them.
    import: DocumentId,
    stop: &'d Stop,
    under_way: VecDeque<Writing<(), TransferError>>,
    written: u64,
}

/// One table that is being filled.
pub struct Filling {
    to: Destination,
    /// Whether its documents are seen as they come.
    in_place: bool,
    /// Its name in errors.
    file: String,
    batch: Vec<ImportedDocument>,
    bytes: usize,
    /// Entries of search and vector indexes that the batch may have.
    entries: usize,
    /// Documents before those of the batch.
    before: u64,
}

/// Documents that are looked at before any of them is written.
pub struct Checking<'d> {
    database: &'d Database,
    filling: Filling,
}

impl<'d> Checking<'d> {
    pub fn new(database: &'d Database, filling: Filling) -> Checking<'d> {
        Checking { database, filling }
    }

    /// Looks at one more document, perhaps later.
    pub fn add(&mut self, document: ReadDocument) -> Result<(), DocumentProblem> {
        match self.filling.add(document) {
            true => Ok(self.finish()?),
            false => Ok(()),
        }
    }

    /// Looks at what is left.
    pub fn finish(&mut self) -> Result<(), TransferError> {
        let snapshot = self.database.read_at()?.snapshot;
        let environment = self.database.environment();
        let mut tx = Transaction::read_only(&snapshot, environment);
        let (to, file, before) = self.filling.about();
        let batch = self.filling.take();
        tx.uncharged(|tx| {
            for (document, number) in batch.into_iter().zip(before + 1..) {
                tx.check_import(&to, document)
                    .map_err(|error| refused(&file, number, error))?;
            }
            Ok(())
        })
    }
}

impl<'d> Filler<'d> {
    pub fn new(database: &'d Database, import: DocumentId, stop: &'d Stop) -> Filler<'d> {
        Filler {
            database,
            import,
            stop,
            under_way: VecDeque::new(),
            written: 0,
        }
    }

    /// Documents that were handed over.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Adds a document to a table.
    pub fn add(
        &mut self,
        filling: &mut Filling,
        document: ReadDocument,
    ) -> Result<(), DocumentProblem> {
        match filling.add(document) {
            true => Ok(self.hand_over(filling)?),
            false => Ok(()),
        }
    }

    /// Hands over what a table has left.
    pub fn hand_over(&mut self, filling: &mut Filling) -> Result<(), TransferError> {
        self.stop.check()?;
        if filling.batch.is_empty() {
            return Ok(());
        }
        while self.under_way.len() >= BATCHES_UNDER_WAY_MAX {
            self.wait_for_one()?;
        }
        let (to, file, before) = filling.about();
        let batch = filling.take();
        // The table of content places holds no user's documents.
        if filling.to.name != OBJECTS {
            self.written += batch.len() as u64;
        }
        let (import, in_place) = (self.import, filling.in_place);
        let writing = begin_write(self.database, move |tx| {
            // In the same transaction: nothing is written behind the commit that canceled the import.
            Import::check_in_progress(tx, import)?;
            let mut written = Vec::with_capacity(batch.len());
            for (document, number) in batch.into_iter().zip(before + 1..) {
                let imported = tx.import(&to, document);
                written.push(imported.map_err(|error| refused(&file, number, error))?);
            }
            match in_place {
                true => Ok(appended::note(tx, import, &to.name, &written)?),
                false => Ok(()),
            }
        })?;
        self.under_way.push_back(writing);
        Ok(())
    }

    /// Waits until everything has committed.
    pub fn finish(&mut self) -> Result<(), TransferError> {
        while !self.under_way.is_empty() {
            self.wait_for_one()?;
        }
        Ok(())
    }

    fn wait_for_one(&mut self) -> Result<(), TransferError> {
        match self.under_way.pop_front() {
            Some(writing) => writing.wait(),
            None => Ok(()),
        }
    }
}

impl Filling {
    pub fn new(to: Destination, in_place: bool, file: String) -> Filling {
        Filling {
            to,
            in_place,
            file,
            batch: Vec::new(),
            bytes: 0,
            entries: 0,
            before: 0,
        }
    }

    /// Adds a document to the batch; says whether it is full.
    fn add(&mut self, document: ReadDocument) -> bool {
        let ReadDocument {
            id,
            creation_time,
            fields,
        } = document;
        let bytes = vestibule_schema::value::object_size(&fields);
        self.bytes += bytes;
        self.entries += self.to.table.derived_entries_max(bytes);
        self.batch.push(ImportedDocument {
            id,
            creation_time,
            fields,
        });
        self.batch.len() >= BATCH_DOCUMENTS_MAX
            || self.bytes >= BATCH_BYTES_MAX
            || self.entries >= BATCH_INDEX_ENTRIES_MAX
    }

    /// Where the batch goes, its name in errors, and how many documents came before it.
    fn about(&self) -> (Destination, String, u64) {
        (self.to.clone(), self.file.clone(), self.before)
    }

    /// Takes the batch out.
    fn take(&mut self) -> Vec<ImportedDocument> {
        let batch = std::mem::take(&mut self.batch);
        self.bytes = 0;
        self.entries = 0;
        self.before += batch.len() as u64;
        batch
    }
}

fn refused(file: &str, number: u64, error: DatabaseError) -> TransferError {
    match error {
        DatabaseError::Query(error) => TransferError::File {
            file: file.to_string(),
            problem: format!("document {number}: {error}"),
        },
        DatabaseError::Storage(_) => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use vestibule_schema::id::TableNumber;
    use vestibule_schema::object;
    use vestibule_schema::table::IndexMethod;

    use super::*;
    use crate::database::{Catalog, IndexId, IndexMeta, Owner};

    /// A table that is to be filled, with an index of words over this many fields, or without one.
    fn filling(fields: usize) -> Filling {
        let mut table =
            Catalog::default().new_table("notes", TableNumber::FIRST_USER, Owner::Pushed);
        let fields = (0..fields).map(|at| format!("f{at}").parse().unwrap());
        let index = IndexMeta {
            id: IndexId(1_000),
            name: "by_text".into(),
            fields: fields.collect(),
            unique: false,
            method: IndexMethod::Search,
            ready: true,
            staged: false,
        };
        table
            .indexes
            .extend(Some(index).filter(|index| !index.fields.is_empty()));
        let to = Destination {
            name: "notes".into(),
            number: table.number,
            table: Arc::new(table),
            names: Arc::new(Catalog::default()),
        };
        Filling::new(to, false, "notes".into())
    }

    /// Documents of this many bytes, give or take a few, that one batch holds.
    fn documents_of_a_batch(filling: &mut Filling, bytes: usize) -> usize {
        let document = || ReadDocument {
            id: None,
            creation_time: None,
            fields: object! { "f0" => "a ".repeat(bytes / 2) },
        };
        let full = (1..).find(|_| filling.add(document()));
        assert_eq!(filling.take().len(), full.unwrap());
        full.unwrap()
    }

    #[test]
    fn a_batch_is_bounded_by_the_entries_of_its_documents_too() {
        // Each is taken for 1,000 words, in the list of all and in those of three fields to filter by.
        let mut filtered = filling(4);
        let documents = documents_of_a_batch(&mut filtered, 2_000);
        let expected = BATCH_INDEX_ENTRIES_MAX / 4_000;
        assert!(
            (expected - 1..=expected + 1).contains(&documents),
            "{documents}"
        );
        // A batch that was handed over leaves nothing for the next one.
        assert_eq!(documents_of_a_batch(&mut filtered, 2_000), documents);
        // Without such an index, the documents and their bytes count alone.
        let plain = documents_of_a_batch(&mut filling(0), 2_000);
        assert!(plain > 4 * documents, "{plain}");
        // One large document is a batch, and not refused.
        assert_eq!(documents_of_a_batch(&mut filling(16), 1 << 20), 1);
    }
}
