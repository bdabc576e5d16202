//! Taking tables away that no schema names.

use vestibule_schema::path::ComponentPath;

use super::Pushes;
use super::error::PushError;
use super::stored::trouble;
use crate::database::stored_name;
use crate::functions::Registry;
use crate::transfer::put_away;

impl Pushes {
    /// Takes tables away, all of them or none. Their documents are still to be cleared away, by
    /// [`Transfers::clear_hidden`](crate::transfer::Transfers::clear_hidden).
    pub async fn delete_tables(
        &self,
        component: ComponentPath,
        names: Vec<String>,
    ) -> Result<(), PushError> {
        let program = self.program.tables.clone();
        self.transact(move |tx| {
            let definitions = tx.definitions().clone();
            let part = Registry::of(&definitions).deployment().part(&component);
            let schema = part.and_then(|part| part.schema.as_ref());
            for name in &names {
                let is_declared = schema.is_some_and(|schema| schema.table(name).is_some());
                if name.starts_with('_') {
                    return Err(PushError::SystemTable(name.clone()));
                }
                let stored = stored_name(&component, name);
                if is_declared || program.contains(&*stored) {
                    return Err(PushError::DeclaredTable(name.clone()));
                }
                let mut tables = schema.iter().flat_map(|schema| schema.schema.tables());
                if let Some(referrer) = tables.find(|table| table.document.refers_to(name)) {
                    return Err(PushError::ReferredTable {
                        table: name.clone(),
                        referrer: referrer.name.clone(),
                    });
                }
                if name.contains('/') || !put_away(tx, &stored).map_err(trouble)? {
                    return Err(PushError::UnknownTable(name.clone()));
                }
            }
            Ok(())
        })
        .await
    }

    /// Takes the tables of a component away that is not mounted any more, those of its own components among them.
    pub async fn delete_component(&self, component: ComponentPath) -> Result<(), PushError> {
        self.transact(move |tx| {
            let definitions = tx.definitions().clone();
            let deployment = Registry::of(&definitions).deployment();
            if deployment.part(&component).is_some() {
                return Err(PushError::MountedComponent(component.to_string()));
            }
            let is_its = |owner: &str| {
                let owner = owner.parse::<ComponentPath>();
                owner.is_ok_and(|owner| owner.is_within(&component))
            };
            let catalog = tx.catalog();
            let tables = catalog.tables().filter(|table| is_its(table.component()));
            let names: Vec<&String> = tables.map(|table| &table.name).collect();
            if names.is_empty() {
                return Err(PushError::UnknownComponent(component.to_string()));
            }
            for name in names {
                put_away(tx, name).map_err(trouble)?;
            }
            Ok(())
        })
        .await
    }
}
