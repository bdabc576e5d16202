//! An app of many functions, written into a folder.

use std::fmt::Write;
use std::path::Path;

use tempfile::TempDir;

/// The app.
pub struct App {
    folder: TempDir,
    /// How many functions it has.
    pub functions: u32,
    /// Modules that they are spread over.
    pub modules: u32,
}

const PACKAGE: &str = r#"{ "name": "load-pushes", "private": true, "type": "module", "dependencies": { "convex": "1.49.0" } }"#;
const SCHEMA: &str = r#"import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";

export default defineSchema({
  notes: defineTable({ topic: v.number(), body: v.string() }).index("by_topic", ["topic"]),
});
"#;
const IMPORTS: &str = r#"import { mutationGeneric, queryGeneric } from "convex/server";
import { v } from "convex/values";
"#;

impl App {
    /// Writes all of it but the function that changes.
    pub fn new(functions: u32, modules: u32) -> anyhow::Result<App> {
        let app = App {
            folder: TempDir::with_prefix("vestibule-load-pushes-")?,
            functions,
            modules: modules.min(functions),
        };
        let convex = app.folder.path().join("convex");
        std::fs::create_dir(&convex)?;
        std::fs::write(app.folder.path().join("package.json"), PACKAGE)?;
        std::fs::write(convex.join("schema.ts"), SCHEMA)?;
        for module in 1..app.modules {
            let text = app.module(module, None);
            std::fs::write(convex.join(format!("module{module}.ts")), text)?;
        }
        Ok(app)
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The path of the function that changes: it tells its version.
    pub fn changed(&self) -> &'static str {
        "module0:version"
    }

    /// Writes the function that changes, and its module.
    pub fn write_version(&self, version: u32) -> anyhow::Result<()> {
        let path = self.folder.path().join("convex/module0.ts");
        Ok(std::fs::write(path, self.module(0, Some(version)))?)
    }

    /// The text of a module. The function that tells the version takes the place of its first.
    fn module(&self, module: u32, version: Option<u32>) -> String {
        let mut text = IMPORTS.to_string();
        for function in (module..self.functions).step_by(self.modules as usize) {
            // Writing into a string does not fail.
            let _ = match version {
                Some(version) if function == module => writeln!(
                    text,
                    "\nexport const version = queryGeneric({{ args: {{}}, handler: async () => {version} }});"
                ),
                _ => text.write_str(&self.function(function)),
            };
        }
        text
    }

    fn function(&self, function: u32) -> String {
        match function % 2 {
            0 => format!(
                "\nexport const list{function} = queryGeneric({{\n  args: {{ most: v.number() }},\n  \
                 handler: (ctx, {{ most }}) =>\n    ctx.db.query(\"notes\")\
                 .withIndex(\"by_topic\", (q) => q.eq(\"topic\", {function})).take(most),\n}});\n"
            ),
            _ => format!(
                "\nexport const add{function} = mutationGeneric({{\n  args: {{ body: v.string() }},\n  \
                 handler: (ctx, {{ body }}) => ctx.db.insert(\"notes\", {{ topic: {function}, body }}),\n}});\n"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_functions_are_there_once() {
        let app = App::new(7, 3).unwrap();
        app.write_version(2).unwrap();
        let convex = app.folder().join("convex");
        let read = |module: u32| std::fs::read_to_string(convex.join(format!("module{module}.ts")));
        let texts: String = (0..3).map(|module| read(module).unwrap()).collect();
        assert_eq!(texts.matches("export const").count(), 7);
        assert_eq!(texts.matches("async () => 2").count(), 1);
        assert!(read(3).is_err());
    }
}
