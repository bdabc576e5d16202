//! The tables that the server keeps for itself, as ordinary documents: read, watched and indexed like any other.
//!
//! Their names begin with `_` and their numbers lie below those of an app's tables. Functions of an app can name two of
//! them, `_storage` and `_scheduled_functions`, and only to read.

use vestibule_schema::table::{IndexDefinition, TableDefinition};

/// One table of the server's own.
#[derive(Clone, Copy, Debug)]
pub struct SystemTable {
    /// Its name.
    pub name: &'static str,
    /// Its number, the same in every deployment.
    pub number: u32,
    /// Its indexes: their names, fields, and whether they are unique.
    pub indexes: &'static [(&'static str, &'static [&'static str], bool)],
}

/// Every table of the server's own. Numbers are never used again.
pub const SYSTEM_TABLES: &[SystemTable] = &[
    SystemTable {
        name: "_storage",
        number: 1,
        indexes: &[],
    },
    SystemTable {
        name: "_scheduled_functions",
        number: 2,
        indexes: &[
            ("by_state_and_time", &["state.kind", "scheduledTime"], false),
            ("by_completed", &["completedTime"], false),
        ],
    },
    SystemTable {
        name: "_environment_variables",
        number: 3,
        indexes: &[("by_name", &["name"], true)],
    },
    SystemTable {
        name: "_modules",
        number: 4,
        indexes: &[("by_path", &["path"], true)],
    },
    SystemTable {
        name: "_pushes",
        number: 5,
        indexes: &[],
    },
    SystemTable {
        name: "_crons",
        number: 6,
        indexes: &[
            // Each component has crons of its own.
            ("by_name", &["name", "component"], true),
            ("by_state_and_time", &["state.kind", "nextRun"], false),
        ],
    },
    SystemTable {
        name: "_cron_runs",
        number: 7,
        indexes: &[("by_name", &["name"], false)],
    },
    SystemTable {
        name: "_exports",
        number: 8,
        indexes: &[],
    },
    SystemTable {
        name: "_imports",
        number: 9,
        indexes: &[],
    },
    SystemTable {
        name: "_revoked_admin_keys",
        number: 10,
        indexes: &[],
    },
    SystemTable {
        name: "_settings",
        number: 11,
        indexes: &[("by_key", &["key"], true)],
    },
    SystemTable {
        name: "_storage_objects",
        number: 12,
        indexes: &[
            ("by_storage_id", &["storageId"], true),
            ("by_uuid", &["uuid"], true),
        ],
    },
    SystemTable {
        name: "_storage_deletions",
        number: 13,
        indexes: &[("by_uuid", &["uuid"], false)],
    },
    SystemTable {
        name: "_signing_keys",
        number: 14,
        indexes: &[],
    },
    SystemTable {
        name: "_import_appended",
        number: 15,
        indexes: &[],
    },
];

impl SystemTable {
    /// The table's definition, as a schema would declare it.
    pub(super) fn definition(&self) -> TableDefinition {
        let indexes = self.indexes.iter().map(|(name, fields, unique)| {
            IndexDefinition::new(name, fields, *unique)
                .expect("the indexes of system tables are well formed")
        });
        TableDefinition {
            indexes: indexes.collect(),
            ..TableDefinition::new(self.name)
        }
    }

    /// The system table of this name.
    pub fn named(name: &str) -> Option<&'static SystemTable> {
        SYSTEM_TABLES.iter().find(|table| table.name == name)
    }
}
