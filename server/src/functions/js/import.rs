//! The environment of modules while they are loaded: the time and the seed of the push, the variables, and no
//! operations.

use std::collections::BTreeSet;
use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;
use vestibule_isolate::{ErrorClass, Host, HostError, HostValue};

use super::code::Code;
use super::common::{self, CommonOps};
use crate::functions::Console;

/// The host of the import phase. Nothing of it depends on when it runs.
pub struct ImportHost {
    code: Arc<Code>,
    rng: StdRng,
    /// The log lines of the modules.
    pub console: Console,
    /// The variables that were read, set or not.
    pub variables: BTreeSet<String>,
    /// A variable that was read and is not set.
    pub missing_variable: Option<String>,
    no_variables: Option<&'static str>,
    /// The evaluation that may not depend on when it happens, as error texts call it.
    no_chance: Option<&'static str>,
}

impl ImportHost {
    /// A host for modules of `code`.
    pub fn new(code: &Arc<Code>) -> ImportHost {
        ImportHost {
            rng: StdRng::from_seed(code.import.seed),
            code: code.clone(),
            console: Console::default(),
            variables: BTreeSet::new(),
            missing_variable: None,
            no_variables: None,
            no_chance: None,
        }
    }
}

impl ImportHost {
    /// Begins anew for another module: no module sees what was loaded before it.
    pub fn restart(&mut self) {
        self.rng = StdRng::from_seed(self.code.import.seed);
        self.console = Console::default();
        self.missing_variable = None;
        self.no_chance = None;
    }

    /// Refuses the time and random numbers until the next module, while `what` is evaluated.
    pub fn refuse_chance(&mut self, what: &'static str) {
        self.no_chance = Some(what);
    }

    /// Refuses to tell variables, in these words.
    pub fn refuse_variables(&mut self, text: &'static str) {
        self.no_variables = Some(text);
    }
}

impl CommonOps for ImportHost {
    fn now_millis(&mut self) -> f64 {
        self.code.import.time_millis
    }

    fn performance_millis(&mut self) -> f64 {
        0.0
    }

    fn elapsed_millis(&mut self) -> f64 {
        0.0
    }

    fn time_origin(&mut self) -> f64 {
        self.code.import.time_millis
    }

    fn fill_random(&mut self, bytes: &mut [u8]) {
        use rand::RngCore;
        self.rng.fill_bytes(bytes);
    }

    fn variable(&mut self, name: &str) -> Option<String> {
        if !self.variables.contains(name) {
            self.variables.insert(name.to_owned());
        }
        let value = self.code.variables.get(name).cloned();
        if value.is_none() {
            self.missing_variable.get_or_insert_with(|| name.to_owned());
        }
        value
    }

    fn console(&mut self) -> &mut Console {
        &mut self.console
    }

    fn code(&self) -> &Code {
        &self.code
    }
}

impl Host for ImportHost {
    fn call(&mut self, op: &str, args: &mut [HostValue]) -> Result<HostValue, HostError> {
        if let ("env", Some(text)) = (op, self.no_variables) {
            return Err(HostError::new(ErrorClass::Error, text));
        }
        let by_chance = match op {
            "time.now" => Some("The current time is"),
            "time.performance" | "time.origin" => Some("`performance` is"),
            "random" => Some("Random numbers are"),
            _ => None,
        };
        if let (Some(by_chance), Some(what)) = (by_chance, self.no_chance) {
            let text = format!("{by_chance} unsupported when evaluating {what}");
            return Err(HostError::new(ErrorClass::Error, text));
        }
        if let Some(answer) = common::call(self, op, args) {
            return answer;
        }
        Err(HostError::new(
            ErrorClass::Error,
            format!("{op} unsupported at import time"),
        ))
    }
}
