//! The start of a push: the request becomes a manifest and a deployment, fully checked, and nothing goes live.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use serde_json::Value as Json;

use super::components;
use super::error::PushError;
use super::plans::Plan;
use super::replies;
use super::request::{ModuleBody, StartPush, UnchangedModule};
use super::stored::{self, trouble};
use super::tables::Target;
use super::{Program, Pushes};
use crate::database::ChunkHash;
use crate::deployment::modules::{
    AUTH_CONFIG_MODULE, MODULES_BYTES_MAX, ModulePathError, module_hash,
};
use crate::deployment::{
    Analysis, AnalyzeError, AnalyzeInput, Deployment, DeploymentError, ImportPhase,
    MANIFEST_VERSION, Manifest, Module, ModuleEnvironment, SourceModule,
};

/// Bytes of texts that are stored in one commit.
const CHUNK_COMMIT_BYTES_MAX: usize = 1 << 20;

/// An evaluated push, before it is kept.
pub(super) struct Evaluated {
    pub manifest: Manifest,
    pub deployment: Deployment,
    /// The deployment that was live.
    pub live: Arc<Deployment>,
    /// Texts of the modules that are not stored yet.
    texts: Vec<Arc<str>>,
}

impl Pushes {
    /// Starts a push: evaluates and checks it, stores its texts, and remembers it. Nothing goes live.
    pub async fn start(&self, request: StartPush) -> Result<Json, PushError> {
        let is_dry_run = request.dry_run;
        // Until the plan is kept, nothing names the texts.
        let _unnamed = self.unnamed_chunks.read().await;
        let Evaluated {
            manifest,
            deployment,
            live,
            texts,
        } = self.counts.step(self.evaluate(request).await)?;
        let origins = self.origins();
        let mut reply = replies::started(&live, &deployment, &manifest.push_id, &origins);
        components::add_to(&mut reply, &manifest, &deployment)?;
        if !is_dry_run {
            self.store_texts(texts).await?;
        }
        let base = live.push.as_ref().map(|push| push.id.clone());
        let now = self.clock.elapsed();
        self.plans.add(Plan::new(manifest, deployment, base, now));
        Ok(reply)
    }

    /// Says what would change, without any trace.
    pub async fn evaluate_push(&self, request: StartPush) -> Result<Json, PushError> {
        let evaluated = self.evaluate(request).await?;
        Ok(replies::evaluated(&evaluated.live, &evaluated.deployment))
    }

    pub(super) async fn evaluate(&self, request: StartPush) -> Result<Evaluated, PushError> {
        check_node_version(request.node_version.as_deref())?;
        let live = self.live();
        let app = request.app_definition;
        let sources = self
            .sources(&live, app.changed_modules, app.unchanged_module_hashes)
            .await?;
        let import = self.import_phase(&live, &sources);
        let mut components = self
            .components(request.component_definitions, &import)
            .await?;
        let input = AnalyzeInput {
            modules: sources.clone(),
            schema: app.schema.map(SourceModule::from),
            definition: app.definition.map(SourceModule::from),
            components: components.names(app.dependencies.iter()),
            variables: self.visible_variables(&live),
            node_version: request.node_version.clone(),
            node_dependencies: request.node_dependencies.clone(),
            seed: import.seed,
            time_millis: import.time_millis,
        };
        let analysis = self.analyze(input).await?;
        let mut texts = std::mem::take(&mut components.texts);
        texts.extend(texts_of(&sources));
        let manifest = Manifest {
            version: MANIFEST_VERSION,
            push_id: new_push_id(),
            message: None,
            pushed_at_millis: self.now_millis(),
            functions: request.functions,
            server_version: app.udf_server_version.unwrap_or_default(),
            import,
            modules: sources.iter().map(stored_module).collect(),
            analysis: analysis.modules,
            schema: analysis.schema,
            auth_config: analysis.auth_config,
            definition: analysis.definition,
            components: components.into_manifests(),
            node_dependencies: request.node_dependencies,
            node_version: request.node_version,
        };
        let deployment = Deployment::from_manifest(&manifest, live.variables.clone())?
            .with_settings(live.settings.clone());
        self.check_fit(&deployment)?;
        Ok(Evaluated {
            manifest,
            deployment,
            live,
            texts,
        })
    }

    /// Refuses what this server cannot make live, whatever else it is.
    pub(super) fn check_fit(&self, deployment: &Deployment) -> Result<(), PushError> {
        check_program(&self.program, deployment)?;
        self.check_providers(deployment)
    }

    /// Refuses auth providers whose keys would come over plain http from elsewhere.
    pub(super) fn check_providers(&self, deployment: &Deployment) -> Result<(), PushError> {
        let mut configs = deployment.auth.iter();
        let checked = configs.try_for_each(|config| config.check_secure(&self.own));
        Ok(checked.map_err(DeploymentError::from)?)
    }

    /// The texts of all modules: those that were sent, and those that stay, read from the store.
    async fn sources(
        &self,
        live: &Deployment,
        changed: Vec<ModuleBody>,
        unchanged: Vec<UnchangedModule>,
    ) -> Result<Vec<SourceModule>, PushError> {
        let mut sources: Vec<SourceModule> = changed.into_iter().map(SourceModule::from).collect();
        let mut kept = Vec::new();
        for UnchangedModule {
            path,
            environment,
            sha256,
        } in unchanged
        {
            let module = live
                .modules
                .get(&path)
                .filter(|module| module.hash == sha256 && module.environment == environment);
            let module = module.ok_or(PushError::Race("The modules changed during the push"))?;
            kept.push(module.clone());
        }
        let kept = self.stored_sources(kept);
        sources.extend(kept.await?);
        sources.sort_by(|one, other| one.path.cmp(&other.path));
        if let Some(pair) = sources.windows(2).find(|pair| pair[0].path == pair[1].path) {
            return Err(DeploymentError::from(ModulePathError::Twice(pair[0].path.clone())).into());
        }
        check_sources(&sources)?;
        Ok(sources)
    }

    /// The texts of modules that are stored.
    pub(super) async fn stored_sources(
        &self,
        modules: Vec<Module>,
    ) -> Result<Vec<SourceModule>, PushError> {
        self.read(move |tx| {
            let text = |tx: &mut _, hash: &str| -> Result<Arc<str>, PushError> {
                let text = stored::chunk(tx, &stored::hash(hash)?)?;
                let text = String::from_utf8(text);
                Ok(text
                    .map_err(|error| PushError::Stored(error.to_string()))?
                    .into())
            };
            let read = modules.into_iter().map(|module| {
                let map = module.source_map.as_deref();
                Ok(SourceModule {
                    source: text(tx, &module.source)?,
                    source_map: map.map(|map| text(tx, map)).transpose()?,
                    path: module.path,
                    environment: module.environment,
                })
            });
            read.collect::<Result<Vec<_>, PushError>>()
        })
        .await
    }

    /// Evaluates modules on a thread that no other work waits for.
    pub(super) async fn analyze(&self, input: AnalyzeInput) -> Result<Analysis, PushError> {
        let analyzer = self.analyzer.clone();
        let analyzed = tokio::task::spawn_blocking(move || analyzer.analyze(input)).await;
        match analyzed {
            Ok(analysis) => Ok(analysis?),
            Err(error) => {
                tracing::error!(%error, "analysing modules failed");
                Err(AnalyzeError::Broken.into())
            }
        }
    }

    /// Seed and time of importing: those of the live deployment as long as its modules stay as they are.
    fn import_phase(&self, live: &Deployment, sources: &[SourceModule]) -> ImportPhase {
        let is_as_before = |module: &SourceModule| {
            let stored = live.modules.get(&module.path);
            stored.is_some_and(|stored| stored.hash == hash_of(module))
        };
        let all = live.modules.len() == sources.len() && sources.iter().all(is_as_before);
        match all && live.push.is_some() {
            true => live.import.clone(),
            false => ImportPhase {
                seed: rand::random(),
                time_millis: self.now_millis(),
            },
        }
    }

    pub(super) fn visible_variables(&self, live: &Deployment) -> BTreeMap<String, String> {
        let variables = live.variables.iter();
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        variables.chain(self.built_in(live)).collect()
    }

    /// Stores texts in commits of a bounded size.
    async fn store_texts(&self, texts: Vec<Arc<str>>) -> Result<(), PushError> {
        let mut texts = texts.into_iter().peekable();
        while texts.peek().is_some() {
            let mut bytes = 0;
            let mut batch = Vec::new();
            while bytes < CHUNK_COMMIT_BYTES_MAX
                && let Some(text) = texts.next()
            {
                bytes += text.len();
                batch.push(text);
            }
            self.transact(move |tx| {
                for text in &batch {
                    tx.put_chunk(text.as_bytes()).map_err(trouble)?;
                }
                Ok(())
            })
            .await?;
        }
        Ok(())
    }
}

/// Versions of Node.js that an app may ask for.
const NODE_VERSIONS: [&str; 3] = ["20", "22", "24"];

fn check_node_version(version: Option<&str>) -> Result<(), PushError> {
    match version.filter(|version| !NODE_VERSIONS.contains(version)) {
        None => Ok(()),
        Some(version) => Err(PushError::NodeVersion(version.to_owned())),
    }
}

pub(super) fn check_sources(sources: &[SourceModule]) -> Result<(), PushError> {
    let bytes: usize = sources
        .iter()
        .map(|module| module.source.len() + module.source_map.as_ref().map_or(0, |map| map.len()))
        .sum();
    if bytes > MODULES_BYTES_MAX {
        return Err(DeploymentError::ModulesTooLarge(bytes).into());
    }
    for module in sources {
        crate::deployment::modules::check_module_path(&module.path)
            .map_err(DeploymentError::from)?;
        let is_node = module.environment == ModuleEnvironment::Node;
        if is_node && module.path == AUTH_CONFIG_MODULE {
            return Err(DeploymentError::NotForNode(module.path.clone()).into());
        }
    }
    Ok(())
}

/// Refuses functions, tables and routes that the server's own program has.
fn check_program(program: &Program, deployment: &Deployment) -> Result<(), PushError> {
    let native = deployment
        .functions
        .keys()
        .filter(|path| program.functions.contains(path));
    if let Some(path) = native.min() {
        return Err(PushError::NativeFunction(path.to_string()));
    }
    let places = deployment.http_places();
    let routes = places.iter().flat_map(|(prefix, component)| {
        let part = deployment.part(component);
        let routes = part
            .into_iter()
            .flat_map(|part| part.http_routes.iter().flatten());
        routes.map(move |route| format!("{} {prefix}{}", route.method, route.path))
    });
    let mut seen = HashSet::new();
    for route in routes {
        if program.routes.contains(&route) {
            return Err(PushError::NativeRoute(route));
        }
        if let Some(route) = seen.replace(route) {
            return Err(PushError::RepeatedRoute(route));
        }
    }
    Target::of(deployment, &program.tables).check()
}

/// The texts of modules, their source maps among them.
pub(super) fn texts_of(modules: &[SourceModule]) -> impl Iterator<Item = Arc<str>> + '_ {
    modules.iter().flat_map(|module| {
        let map = module.source_map.iter();
        std::iter::once(&module.source).chain(map).cloned()
    })
}

fn hash_of(module: &SourceModule) -> String {
    module_hash(&module.source, module.source_map.as_deref())
}

pub(super) fn stored_module(module: &SourceModule) -> Module {
    let chunk = |text: &Arc<str>| ChunkHash::of(text.as_bytes()).to_string();
    Module {
        path: module.path.clone(),
        environment: module.environment,
        hash: hash_of(module),
        source: chunk(&module.source),
        source_map: module.source_map.as_ref().map(chunk),
    }
}

fn new_push_id() -> String {
    HEXLOWER.encode(&rand::random::<[u8; 8]>())
}
