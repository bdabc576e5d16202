//! Names of modules: relative imports resolved as paths.

use crate::known::KNOWN_MODULE;

/// The module that `import` names inside `base`, or nothing if the import is not relative or leaves the root. One name is
/// the engine's own.
pub(crate) fn resolve(base: &str, import: &str) -> Option<String> {
    if import == KNOWN_MODULE {
        return Some(import.to_owned());
    }
    if !(import.starts_with("./") || import.starts_with("../")) {
        return None;
    }
    let mut parts: Vec<&str> = base.split('/').collect();
    parts.pop();
    for part in import.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The sentence for an import that leads nowhere.
pub(crate) fn unresolved(base: &str, import: &str) -> String {
    format!("Could not resolve \"{import}\", which \"{base}\" imports")
}

#[cfg(test)]
mod tests {
    use super::resolve;

    #[test]
    fn relative_imports_are_resolved_as_paths() {
        let cases = [
            ("rooms.js", "./_deps/AB.js", Some("_deps/AB.js")),
            ("admin/rooms.js", "../_deps/AB.js", Some("_deps/AB.js")),
            ("a/b/c.js", "./../d.js", Some("a/d.js")),
            ("_deps/AB.js", "./CD.js", Some("_deps/CD.js")),
            ("a.js", "../b.js", None),
            ("a.js", "zod", None),
            ("a.js", "/b.js", None),
            ("a/b.js", "vestibule:known", Some("vestibule:known")),
        ];
        for (base, import, expected) in cases {
            assert_eq!(
                resolve(base, import).as_deref(),
                expected,
                "{base} {import}"
            );
        }
    }
}
