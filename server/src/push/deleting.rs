//! Taking tables away that no schema names.

use super::Pushes;
use super::error::PushError;
use super::stored::trouble;
use crate::functions::Registry;
use crate::transfer::put_away;

impl Pushes {
    /// Takes tables away, all of them or none. Their documents are still to be cleared away, by
    /// [`Transfers::clear_hidden`](crate::transfer::Transfers::clear_hidden).
    pub async fn delete_tables(&self, names: Vec<String>) -> Result<(), PushError> {
        let program = self.program.tables.clone();
        self.transact(move |tx| {
            let definitions = tx.definitions().clone();
            let schema = Registry::of(&definitions).deployment().schema.as_ref();
            for name in &names {
                let is_declared = schema.is_some_and(|schema| schema.table(name).is_some());
                if name.starts_with('_') {
                    return Err(PushError::SystemTable(name.clone()));
                }
                if is_declared || program.contains(name) {
                    return Err(PushError::DeclaredTable(name.clone()));
                }
                let mut tables = schema.iter().flat_map(|schema| schema.schema.tables());
                if let Some(referrer) = tables.find(|table| table.document.refers_to(name)) {
                    return Err(PushError::ReferredTable {
                        table: name.clone(),
                        referrer: referrer.name.clone(),
                    });
                }
                if !put_away(tx, name).map_err(trouble)? {
                    return Err(PushError::UnknownTable(name.clone()));
                }
            }
            Ok(())
        })
        .await
    }
}
