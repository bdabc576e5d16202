//! The stand-in for `js` in a build without the feature `typescript`. There is no engine, so no value of these types:
//! what was pushed is known and cannot be called, and a push is refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use vestibule_schema::path::{ComponentPath, FunctionPath};

use self::code::Code;
use self::node::code::NodeCode;
use super::CodePart;
use super::error::Result;
use super::http_routes::HttpRoute;
use super::options::JsOptions;
use super::places::Places;
use super::registry::{Registered, Registry};
use crate::auth::TokenSigner;
use crate::clock::Clock;
use crate::deployment::{
    Analysis, AnalyzeError, AnalyzeInput, Analyzer, Deployment, ImportPhase, SourceModule,
};

/// Would run JavaScript functions.
pub enum Js {}

/// Would be a query that was sent as a text.
pub struct InlineQuery {
    pub(super) function: Registered,
}

pub mod code {
    //! Would hold the compiled modules of a deployment.

    /// Modules of one push.
    pub enum Code {}

    impl Code {
        /// Would say how much memory a run takes.
        pub fn bytes_expected(&self) -> usize {
            match *self {}
        }
    }
}

pub mod node {
    //! Would run actions in Node.js.

    pub mod code {
        //! Would hold the modules of a deployment for Node.js.

        /// Modules of one push.
        pub enum NodeCode {}
    }
}

impl Js {
    /// The runner of this build: none.
    pub fn of_this_build(_: &str, _: JsOptions, _: Arc<dyn Clock>) -> Option<Arc<Js>> {
        None
    }

    /// Would say whether images are being made ready.
    pub fn is_warming(&self) -> bool {
        match *self {}
    }

    /// Would make images ready.
    pub fn warm_later(self: &Arc<Self>, _: &Registry) {
        match **self {}
    }

    /// Would make images ready.
    pub fn warm(self: &Arc<Self>, _: &Registry) {
        match **self {}
    }

    /// Would let go of images.
    pub fn retire(&self, _: &Registry) {
        match *self {}
    }

    /// Would be the places of its actions.
    pub fn places(&self) -> &Arc<Places> {
        match *self {}
    }

    /// Would count stuck actions.
    pub fn stuck(&self) -> usize {
        match *self {}
    }

    /// Would end actions.
    pub fn end_actions(&self) {
        match *self {}
    }

    /// Would hand in what signs tokens.
    pub fn sign_with(&self, _: TokenSigner) {
        match *self {}
    }

    /// Would compile modules.
    pub fn code(
        &self,
        _: &[SourceModule],
        _: BTreeMap<String, String>,
        _: ImportPhase,
    ) -> Arc<Code> {
        match *self {}
    }

    /// Would compile the modules of the app or a component.
    pub fn code_of(&self, _: &CodePart, _: ImportPhase) -> Arc<Code> {
        match *self {}
    }

    pub(super) fn spare_threads(&self) -> Option<usize> {
        match *self {}
    }

    pub(super) fn mutation_time_max(&self) -> std::time::Duration {
        match *self {}
    }

    pub(super) fn functions(
        &self,
        _: &Deployment,
        _: &Arc<Code>,
        _: Option<&Arc<NodeCode>>,
    ) -> Vec<Registered> {
        match *self {}
    }

    /// Would be the code of a deployment for Node.js.
    pub fn node_code(
        &self,
        _: &Deployment,
        _: &[SourceModule],
        _: &BTreeMap<String, String>,
    ) -> Option<Arc<NodeCode>> {
        match *self {}
    }

    /// Would say why Node.js is missing.
    pub fn node_refusal(&self) -> Option<String> {
        match *self {}
    }

    /// Would be the routes of a deployment.
    pub fn http_routes(
        &self,
        _: &Deployment,
        _: &BTreeMap<ComponentPath, Arc<Code>>,
    ) -> Option<Vec<HttpRoute>> {
        match *self {}
    }
}

impl Analyzer for Js {
    fn analyze(self: Arc<Self>, _: AnalyzeInput) -> Result<Analysis, AnalyzeError> {
        match *self {}
    }
}

impl InlineQuery {
    /// Would compile a query.
    pub fn new(
        js: &Js,
        _: &SourceModule,
        _: FunctionPath,
        _: BTreeMap<String, String>,
        _: ImportPhase,
    ) -> Result<InlineQuery> {
        match *js {}
    }
}
