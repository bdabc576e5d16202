//! Measuring tables for tools: how many documents they have, and how large these are. Large tables take a while, and
//! writers go on meanwhile.

use std::collections::BTreeMap;

use super::Pushes;
use super::backfill::GONE;
use super::error::PushError;
use super::stored::trouble;
use crate::database::{Catalog, TableMeta, Transaction};

/// Documents of one table that are counted. Tools ask for confirmation from 100,000 on.
const COUNTED_MAX: usize = 100_001;
/// Bytes of one table that are measured. Tools warn of documents to check from 128 MiB on.
const MEASURED_BYTES_MAX: usize = 256 << 20;

/// How closely a table is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Precision {
    /// Its documents are counted.
    Count,
    /// Their bytes are added up, too.
    Bytes,
}

/// The size of a table, as far as it matters.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    documents: usize,
    bytes: usize,
}

/// The sizes of tables. One that does not exist is empty.
pub(super) struct Measures(BTreeMap<String, Size>);

impl Measures {
    /// Whether there is such a table.
    pub fn has(&self, table: &str) -> bool {
        self.0.contains_key(table)
    }

    /// Its documents, up to [`COUNTED_MAX`].
    pub fn documents(&self, table: &str) -> usize {
        self.0.get(table).map_or(0, |size| size.documents)
    }

    /// Their bytes, up to [`MEASURED_BYTES_MAX`].
    pub fn bytes(&self, table: &str) -> usize {
        self.0.get(table).map_or(0, |size| size.bytes)
    }
}

impl Pushes {
    /// Measures those of these tables that exist.
    pub(super) async fn measure(
        &self,
        catalog: &Catalog,
        wanted: BTreeMap<String, Precision>,
    ) -> Result<Measures, PushError> {
        let mut measures = BTreeMap::new();
        for (table, precision) in wanted {
            if catalog.table(&table).is_some() {
                let size = self.measure_table(&table, precision).await?;
                measures.insert(table, size);
            }
        }
        Ok(Measures(measures))
    }

    async fn measure_table(&self, table: &str, precision: Precision) -> Result<Size, PushError> {
        let name = table.to_owned();
        let counted = self.read(move |tx| {
            let catalog = tx.catalog();
            let table = catalog.table(&name).ok_or(GONE)?;
            tx.count_documents(table, COUNTED_MAX).map_err(trouble)
        });
        let documents = counted.await?;
        let bytes = match precision {
            Precision::Count => 0,
            Precision::Bytes => self.bytes_of(table).await?,
        };
        Ok(Size { documents, bytes })
    }

    async fn bytes_of(&self, table: &str) -> Result<usize, PushError> {
        let look = |tx: &mut Transaction<'_>, table: &TableMeta, after, max| {
            tx.measure_documents(table, after, max)
        };
        let mut bytes = 0;
        let walked = self.walk(table, look, |_, more| {
            bytes += more;
            bytes < MEASURED_BYTES_MAX
        });
        walked.await?;
        Ok(bytes.min(MEASURED_BYTES_MAX))
    }
}
