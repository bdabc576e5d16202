//! A snapshot's documents on their way into an archive. They are copied as they are first, so that the snapshot is let
//! go long before all of them are packed.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use vestibule_schema::id::INTERNAL_ID_BYTES;

use crate::database::ExportedDocument;

/// Bytes that are written or read at a time.
const BUFFER_BYTES: usize = 1 << 20;

/// Documents one after another, in a file without a name.
pub struct Spool {
    writer: BufWriter<File>,
    /// Bytes so far.
    bytes: u64,
}

/// Where the documents of one table are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spooled {
    start: u64,
    /// How many documents there are.
    pub documents: u64,
    /// How many bytes they have as they are stored.
    pub bytes: u64,
}

impl Spool {
    /// An empty spool in `directory`.
    pub fn new(directory: &Path) -> io::Result<Spool> {
        let name = directory.join(format!("spool-{}", uuid::Uuid::new_v4()));
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&name)?;
        // It goes with the last one who has it open.
        std::fs::remove_file(&name)?;
        Ok(Spool {
            writer: BufWriter::with_capacity(BUFFER_BYTES, file),
            bytes: 0,
        })
    }

    /// Begins a table.
    pub fn begin(&self) -> Spooled {
        Spooled {
            start: self.bytes,
            documents: 0,
            bytes: 0,
        }
    }

    /// Adds a document to the table that was begun last.
    pub fn add(&mut self, table: &mut Spooled, document: &ExportedDocument) -> io::Result<()> {
        let (id, bytes) = document.parts();
        let length = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidData)?;
        self.writer.write_all(id)?;
        self.writer.write_all(&length.to_be_bytes())?;
        self.writer.write_all(bytes)?;
        let added = (id.len() + size_of::<u32>() + bytes.len()) as u64;
        self.bytes += added;
        table.bytes += added;
        table.documents += 1;
        Ok(())
    }

    /// Hands the documents of a table to `visit`.
    pub fn each<E: From<io::Error>>(
        &mut self,
        table: Spooled,
        mut visit: impl FnMut(ExportedDocument) -> Result<(), E>,
    ) -> Result<(), E> {
        self.writer.flush()?;
        let file = self.writer.get_mut();
        file.seek(SeekFrom::Start(table.start))?;
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, &mut *file);
        for _ in 0..table.documents {
            let (mut id, mut length) = ([0; INTERNAL_ID_BYTES], [0; size_of::<u32>()]);
            reader.read_exact(&mut id)?;
            reader.read_exact(&mut length)?;
            let mut bytes = vec![0; u32::from_be_bytes(length) as usize];
            reader.read_exact(&mut bytes)?;
            visit(ExportedDocument::from_parts(id, bytes))?;
        }
        drop(reader);
        file.seek(SeekFrom::Start(self.bytes))?;
        Ok(())
    }
}
