//! The allowed values of the two variables, and the answers where a rule cannot be applied.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::json;
use vestibule_schema::identity::Identity;
use vestibule_schema::object;
use vestibule_schema::path::FunctionPath;
use vestibule_schema::validator::{Field, Validator};
use vestibule_schema::value::Value;

use super::*;
use crate::auth::AuthConfig;
use crate::database::{Catalog, IndexId, IndexMeta, Owner};
use crate::deployment::{
    Deployment, FunctionKind, PushInfo, PushedFunction, Variables, Visibility,
};

struct Functions(HashMap<FunctionPath, (FunctionKind, Validator)>);

impl CallableMutations for Functions {
    fn callable(&self, path: &FunctionPath) -> Option<Callable<'_>> {
        let (kind, args) = self.0.get(path)?;
        Some(Callable { kind: *kind, args })
    }
}

fn functions() -> Functions {
    let named = |fields: &[(&str, Field)]| Validator::object(fields.iter().cloned());
    let text = Field::required(Validator::String);
    let functions = [
        ("users:store", FunctionKind::Mutation, named(&[])),
        (
            "users:named",
            FunctionKind::Mutation,
            named(&[
                ("name", text.clone()),
                ("email", Field::optional(Validator::String)),
                ("age", Field::optional(Validator::Number)),
            ]),
        ),
        ("users:anything", FunctionKind::Mutation, Validator::Any),
        ("users:list", FunctionKind::Query, named(&[])),
    ];
    let functions = functions.map(|(path, kind, args)| (path.parse().unwrap(), (kind, args)));
    Functions(functions.into())
}

fn catalog() -> Catalog {
    let mut catalog = Catalog::default();
    let mut users = catalog.new_table("users", catalog.next_number(), Owner::Pushed);
    let index = |id, name: &str, staged| IndexMeta {
        method: vestibule_schema::table::IndexMethod::Order,
        id: IndexId(id),
        name: name.to_owned(),
        fields: vec!["clerkId".parse().unwrap()],
        unique: false,
        ready: true,
        staged,
    };
    users.indexes = vec![index(90, "by_clerk_id", false), index(91, "by_later", true)];
    catalog.set(users);
    catalog
}

fn refused(with: &str, when: &str) -> String {
    let rules = match ProvisioningRules::parse(Some(with), Some(when)) {
        Err(error) => return error.to_string(),
        Ok(rules) => rules,
    };
    let checked = rules.check_against(&functions(), &catalog());
    checked.unwrap_err().to_string()
}

fn ada() -> Identity {
    let claims = object! { "name" => "Ada", "roles" => Value::Array(vec!["editor".into()]) };
    Identity::new("https://issuer.test", "user_1", claims)
}

fn arguments(with: &str) -> Value {
    let rules = ProvisioningRules::parse(Some(with), None).unwrap();
    let functions = functions();
    let resolved = rules.resolve(&functions, &catalog()).unwrap();
    resolved.mutation.unwrap().arguments_for(&ada())
}

#[test]
fn a_mutation_is_called_with_the_claims_that_its_arguments_name() {
    assert_eq!(arguments("users:store"), Value::Object(object! {}));
    assert_eq!(
        arguments(r#" users:named {"name":"$name","email":"$email"} "#),
        Value::Object(object! { "name" => "Ada" })
    );
    assert_eq!(
        arguments(
            r#"users:anything {"who":{"id":"$subject","all":["$issuer","$gone"]},"cost":"$$5","n":1,"s":"$"}"#
        ),
        Value::Object(object! {
            "who" => Value::Object(object! {
                "id" => "user_1",
                "all" => Value::Array(vec!["https://issuer.test".into()]),
            }),
            "cost" => "$5",
            "n" => 1.0,
            "s" => "$",
        })
    );
}

#[test]
fn the_first_alternative_that_exists_counts() {
    let rules = ProvisioningRules::parse(
        Some(r#"users:gone {"a":"|"} | users:list|users:store|users:anything"#),
        Some("people.by_x:email | users.by_clerk_id:subject"),
    );
    let rules = rules.unwrap();
    let functions = functions();
    let catalog = catalog();
    let resolved = rules.resolve(&functions, &catalog).unwrap();
    assert_eq!(resolved.mutation.unwrap().path.to_string(), "users:store");
    let document = resolved.document.unwrap();
    assert_eq!(
        (document.to_string(), document.value_for(&ada())),
        ("users.by_clerk_id".to_owned(), Some("user_1".into()))
    );
    assert_eq!(
        rules.modules().collect::<Vec<_>>(),
        ["users.js", "users.js", "users.js", "users.js"]
    );
}

#[test]
fn nothing_said_and_nothing_to_do_are_told_apart() {
    let unsaid = ProvisioningRules::parse(None, Some(" ")).unwrap();
    let none = ProvisioningRules::parse(Some("none"), None).unwrap();
    assert!(unsaid.is_unsaid() && !none.is_unsaid());
    for rules in [unsaid, none] {
        let functions = functions();
        let resolved = rules.resolve(&functions, &Catalog::default()).unwrap();
        assert_eq!((resolved.mutation, resolved.document), (None, None));
    }
}

#[test]
fn each_mistake_has_its_sentence() {
    let cases = [
        (
            "users:st-ore",
            "",
            "\"users:st-ore\" is not the path of a mutation",
        ),
        ("users:", "", "\"users:\" is not the path of a mutation"),
        ("_system/x:y", "", "it is a function of the server"),
        ("components.auth.users", "", "is in a component"),
        ("auth:users:store", "", "is in a component"),
        ("users:store {", "", "are not an object in JSON"),
        (
            "users:store {\"a\":1} more",
            "",
            "there must be a | between",
        ),
        ("users:store users:list", "", "there must be a | between"),
        ("users:store|", "", "\"\" is not the path of a mutation"),
        ("none|users:gone", "", "no such function"),
        ("none", "users.by_clerk_id:subject", "remove one of them"),
        (
            "users:gone",
            "",
            "names users:gone, and there is no such function",
        ),
        (
            "users:gone|users:list",
            "",
            "names users:list, which is a Query",
        ),
        (
            "users:list|users:gone",
            "",
            "names users:list, which is a Query",
        ),
        (
            "users:named",
            "",
            "needs the argument name: write its arguments behind it",
        ),
        (
            "users:named {\"nam\":\"$name\"}",
            "",
            "the argument nam, which it does not take",
        ),
        (
            "users:named {\"name\":1}",
            "",
            "arguments that it does not take",
        ),
        (
            "users:named {\"name\":\"$name\",\"age\":\"$subject\"}",
            "",
            "arguments that it does not take",
        ),
        ("", "users:subject", "does not name an index and a claim"),
        (
            "",
            "users.by_clerk_id",
            "does not name an index and a claim",
        ),
        (
            "",
            "_users.by_id:subject",
            "does not name an index and a claim",
        ),
        ("", "people.by_x:subject", "there is no table people"),
        (
            "",
            "users.by_x:subject",
            "names users.by_x, and there is no such index",
        ),
        ("", "users.by_later:subject", "is a staged index"),
    ];
    for (with, when, expected) in cases {
        let refused = refused(with, when);
        assert!(refused.contains(expected), "{with} {when}: {refused}");
    }
    let many = vec!["users:store"; ALTERNATIVES_MAX + 1].join("|");
    assert!(refused(&many, "").contains("more than 16 alternatives"));
    let many = vec!["users.by_clerk_id:subject"; ALTERNATIVES_MAX + 1].join("|");
    assert!(refused("", &many).contains("more than 16 alternatives"));
}

// ---- who says it -------------------------------------------------------------------------------------------

fn variables(with: Option<&str>) -> Variables {
    let with = with.map(|with| (PROVISION_WITH.to_owned(), with.to_owned()));
    with.into_iter().collect()
}

fn pushed(with: Option<&str>) -> Deployment {
    let mut deployment = Deployment::new(variables(with));
    deployment.push = Some(PushInfo {
        id: "1".to_owned(),
        message: None,
        at_millis: 0.0,
    });
    deployment
}

fn change(stated: &Stated, live: &Deployment, with: Option<&str>) -> Result<(), RulesError> {
    stated.check_change(live, &variables(with), &functions(), &catalog())
}

#[test]
fn before_the_first_push_every_value_is_taken_and_afterwards_what_is_possible() {
    let stated = Stated::by_variables();
    let before = Deployment::default();
    for with in ["users:gone", "!", "none"] {
        assert_eq!(change(&stated, &before, Some(with)), Ok(()));
    }
    let live = pushed(None);
    assert_eq!(change(&stated, &live, Some("users:store")), Ok(()));
    assert_eq!(
        change(&stated, &live, Some("users:gone")),
        Err(RulesError::NoFunction("users:gone".to_owned()))
    );
    // A push that takes the function away fails, and so does one that comes after a wrong value.
    let checked = stated.check_push(&pushed(Some("users:gone")), &functions(), &catalog());
    assert_eq!(
        checked,
        Err(RulesError::NoFunction("users:gone".to_owned()))
    );
    // Other variables may change while something is wrong.
    assert_eq!(change(&stated, &pushed(Some("!")), Some("!")), Ok(()));
}

#[test]
fn a_flag_goes_before_the_variable_and_another_value_is_refused() {
    let stated = Stated::ByDeployment {
        with: Some("users:store".to_owned()),
        when: None,
    };
    let live = pushed(None);
    assert_eq!(
        stated.rules(&variables(Some("users:gone"))),
        ProvisioningRules::parse(Some("users:store"), None)
    );
    assert_eq!(change(&stated, &live, Some("users:store")), Ok(()));
    assert_eq!(
        change(&stated, &live, Some("users:anything")),
        Err(RulesError::FlagGiven {
            variable: PROVISION_WITH,
            flag: "users:store".to_owned()
        })
    );
    assert_eq!(change(&stated, &pushed(Some("users:gone")), None), Ok(()));
    assert_eq!(stated.check_start(&variables(Some("users:gone"))), Ok(()));
}

#[test]
fn a_program_that_says_it_takes_no_variable() {
    let rules = ProvisioningRules::mutation("users:store".parse().unwrap());
    let stated = Stated::ByProgram(rules.clone());
    let says = Err(RulesError::ProgramSays(PROVISION_WITH));
    assert_eq!(stated.rules(&variables(Some("none"))), Ok(rules));
    assert_eq!(change(&stated, &Deployment::default(), Some("none")), says);
    assert_eq!(stated.check_start(&variables(Some("none"))), says);
    assert_eq!(stated.check_start(&variables(None)), Ok(()));
}

// ---- candidates --------------------------------------------------------------------------------------------

fn app(functions: &[(&str, FunctionKind, Visibility)]) -> Deployment {
    let mut deployment = pushed(None);
    for (path, kind, visibility) in functions {
        let path: FunctionPath = path.parse().unwrap();
        let function = PushedFunction {
            path: path.clone(),
            kind: *kind,
            visibility: *visibility,
            args: Validator::Any,
            returns: None,
            environment: Default::default(),
            line: None,
        };
        deployment.functions.insert(path, Arc::new(function));
    }
    let auth = json!({"providers": [{"domain": "https://issuer.test", "applicationID": "convex"}]});
    deployment.auth = Some(AuthConfig::from_json(&auth).unwrap());
    deployment
}

#[test]
fn candidates_are_mutations_that_ask_who_calls_and_insert() {
    use FunctionKind::{Mutation, Query};
    use Visibility::{Internal, Public};
    let deployment = app(&[
        ("users:join", Mutation, Public),
        ("users:rename", Mutation, Public),
        ("users:me", Query, Public),
        ("auth:store", Mutation, Public),
        ("hooks:make", Mutation, Internal),
    ]);
    let users = r#"import {mutation} from "./_generated/server.js";
        var join = mutation({handler: async (ctx) => {
            const who = await ctx.auth.getUserIdentity(); await ctx.db.insert("users", {id: who.subject}); }});
        var rename = mutation({handler: async (ctx) => { await ctx.auth.getUserIdentity(); ctx.db.patch(1, {}); }});
        var me = query({handler: (ctx) => ctx.auth.getUserIdentity()});
        export {join, rename, me};"#;
    let hooks = r#"import {who} from "./_deps/AB12.js"; var make=internalMutation(async (ctx)=>{
        await who(ctx); await ctx.db.insert("users",{})});"#;
    let deps = "export const who = (ctx) => ctx.auth.getUserIdentity();";
    let sources = BTreeMap::from([
        ("users.js".to_owned(), users),
        ("hooks.js".to_owned(), hooks),
        ("_deps/AB12.js".to_owned(), deps),
    ]);
    assert_eq!(
        candidates(&deployment, &sources),
        Candidates {
            paths: vec!["users:join".to_owned(), "hooks:make".to_owned()],
            is_by_name: false
        }
    );
    let by_name = candidates(&deployment, &BTreeMap::new());
    assert_eq!(
        (by_name.paths, by_name.is_by_name),
        (vec!["auth:store".to_owned()], true)
    );
}

#[test]
fn an_app_that_signs_people_in_and_says_nothing_is_warned() {
    let stated = Stated::by_variables();
    let deployment = app(&[("users:store", FunctionKind::Mutation, Visibility::Public)]);
    let warning = stated.warning(&deployment, &BTreeMap::new()).unwrap();
    for part in [
        "a first visit may find no user",
        "(a guess): users:store.",
        "npx convex env set VESTIBULE_PROVISION_WITH users:store",
        "VESTIBULE_PROVISION_WHEN users.by_clerk_id:subject",
        "to none",
    ] {
        assert!(warning.contains(part), "{warning}");
    }
    let said = deployment.with_variables(variables(Some("none")));
    assert_eq!(stated.warning(&said, &BTreeMap::new()), None);
    let without_auth = pushed(None);
    assert_eq!(stated.warning(&without_auth, &BTreeMap::new()), None);
}
