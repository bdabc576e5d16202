//! Reading what the two variables say.

use serde_json::{Deserializer, Value as Json};
use vestibule_schema::path::{FunctionPath, check_identifier};

use super::arguments::Template;
use super::error::RulesError;
use super::{
    ALTERNATIVES_MAX, DocumentRule, MutationRule, PROVISION_WHEN, PROVISION_WITH,
    ProvisioningRules, With,
};

/// The word for "nothing to provision".
const NONE: &str = "none";
const SEPARATOR: char = '|';

impl ProvisioningRules {
    /// Reads both variables; an empty one counts as unset.
    pub fn parse(with: Option<&str>, when: Option<&str>) -> Result<ProvisioningRules, RulesError> {
        let with = parse_with(with.unwrap_or_default().trim())?;
        let when = parse_when(when.unwrap_or_default().trim())?;
        match with == With::Nothing && !when.is_empty() {
            true => Err(RulesError::Contradiction),
            false => Ok(ProvisioningRules { with, when }),
        }
    }
}

fn parse_with(text: &str) -> Result<With, RulesError> {
    match text {
        "" => return Ok(With::Unsaid),
        NONE => return Ok(With::Nothing),
        _ => {}
    }
    let mut mutations = Vec::new();
    let mut rest = text;
    loop {
        let (rule, behind) = parse_mutation(rest)?;
        mutations.push(rule);
        if mutations.len() > ALTERNATIVES_MAX {
            return Err(RulesError::TooMany(PROVISION_WITH));
        }
        let behind = behind.trim_start();
        match behind.strip_prefix(SEPARATOR) {
            Some(next) => rest = next,
            None if behind.is_empty() => return Ok(With::Mutations(mutations)),
            None => {
                let read = text.len() - behind.len();
                return Err(RulesError::Separator {
                    variable: PROVISION_WITH,
                    after: text[..read].trim_end().to_owned(),
                });
            }
        }
    }
}

/// One alternative, and what stands behind it.
fn parse_mutation(text: &str) -> Result<(MutationRule, &str), RulesError> {
    let text = text.trim_start();
    let ends_path = |c: char| c == SEPARATOR || c == '{' || c.is_whitespace();
    let (path, behind) = text.split_at(text.find(ends_path).unwrap_or(text.len()));
    let path = parse_path(path)?;
    let behind = behind.trim_start();
    if !behind.starts_with('{') {
        let arguments = None;
        return Ok((MutationRule { path, arguments }, behind));
    }
    let wrong = |reason: String| RulesError::Arguments {
        path: path.to_string(),
        reason,
    };
    let mut json = Deserializer::from_str(behind).into_iter::<Json>();
    let arguments = match json.next() {
        Some(Ok(Json::Object(fields))) => Template::read(&fields).map_err(wrong)?,
        Some(Err(error)) => return Err(wrong(error.to_string())),
        Some(Ok(_)) | None => return Err(wrong("it is no object".to_owned())),
    };
    let behind = &behind[json.byte_offset()..];
    let arguments = Some(arguments);
    Ok((MutationRule { path, arguments }, behind))
}

fn parse_path(text: &str) -> Result<FunctionPath, RulesError> {
    let is_component = text.starts_with("components.") || text.matches(':').count() > 1;
    if is_component {
        return Err(RulesError::Component(text.to_owned()));
    }
    let wrong = |reason: String| RulesError::Path(text.to_owned(), reason);
    let path: FunctionPath = text.parse().map_err(|error| wrong(format!("{error}")))?;
    match path.is_system() {
        true => Err(wrong("it is a function of the server".to_owned())),
        false => Ok(path),
    }
}

fn parse_when(text: &str) -> Result<Vec<DocumentRule>, RulesError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    if text.matches(SEPARATOR).count() >= ALTERNATIVES_MAX {
        return Err(RulesError::TooMany(PROVISION_WHEN));
    }
    text.split(SEPARATOR).map(parse_document).collect()
}

fn parse_document(text: &str) -> Result<DocumentRule, RulesError> {
    let text = text.trim();
    let wrong = || RulesError::Document(text.to_owned());
    let (place, claim) = text.split_once(':').ok_or_else(wrong)?;
    let (table, index) = place.split_once('.').ok_or_else(wrong)?;
    let (table, index, claim) = (table.trim(), index.trim(), claim.trim());
    let is_name = |name| check_identifier(name).is_ok();
    match is_name(table) && is_name(index) && !claim.is_empty() && !table.starts_with('_') {
        true => Ok(DocumentRule {
            table: table.to_owned(),
            index: index.to_owned(),
            claim: claim.strip_prefix('$').unwrap_or(claim).to_owned(),
        }),
        false => Err(wrong()),
    }
}
