//! The caller of a function, as a value that only verification can make.
//!
//! Every run of a function is given a [`Caller`]. The named constructors below are the only way to one, and each says
//! what must have happened before. A user's identity becomes visible to functions only with a [`ProvisioningProof`],
//! which is how the first-login guarantee holds wherever a function is started from.

use std::fmt;
use std::sync::{Arc, OnceLock};

use sha2::{Digest, Sha256};
use vestibule_schema::identity::{Identity, IdentityKey};
use vestibule_schema::timestamp::Timestamp;

use super::admin::{AdminRights, KeyId};
use super::user_identity::ClaimsRead;

/// The caller of a function. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Caller(CallerKind);

#[derive(Clone, Debug)]
enum CallerKind {
    Nobody,
    Provisioned(Arc<Person>, ProvisioningProof),
    Pending(Arc<Identity>),
    /// With the key that let it in, where that is known.
    Admin(AdminRights, Option<KeyId>),
    AdminActingAs(Arc<Person>, AdminRights),
    System,
    Job,
    Unidentified,
    UnidentifiedAdmin,
}

/// An identity that functions may see, with its place in the cache for results that read no claim.
struct Person {
    identity: Arc<Identity>,
    fingerprint: OnceLock<[u8; 32]>,
}

/// Proof that an identity's provisioning committed, and when.
///
/// Only the provisioning room makes one, through [`ProvisioningProof::issue`]; a test enforces that for the rest of the
/// server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProvisioningProof {
    committed_at: Timestamp,
}

/// The answer a function gets when it asks for the caller's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityAccess<'a> {
    /// The identity, or that there is none.
    Known(Option<&'a Arc<Identity>>),
    /// There is an identity that must not be seen yet: the function is suspended, and runs again when it may see it.
    Suspended,
}

/// Which functions of the system a caller may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemAccess {
    None,
    QueriesOnly,
    All,
}

/// The callers with which a caller may share cached results, among those for which the identity was read. Other results
/// are shared by all callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CacheScope {
    /// Results of a caller without an identity.
    Anonymous,
    /// Results of an identity that says just this where it was looked at, by a SHA-256 of that.
    Identity([u8; 32]),
}

impl ProvisioningProof {
    /// States that an identity's provisioning committed at `committed_at`, or that the deployment provisions no
    /// identities ([`Timestamp::ZERO`]). For the provisioning room alone: calling this opens the gate.
    pub fn issue(committed_at: Timestamp) -> ProvisioningProof {
        ProvisioningProof { committed_at }
    }

    /// The commit at or past which everything of this caller must read.
    pub fn committed_at(self) -> Timestamp {
        self.committed_at
    }
}

impl Caller {
    /// Without an identity: signed out, or never signed in.
    pub fn nobody() -> Caller {
        Caller::of(CallerKind::Nobody)
    }

    /// A verified identity whose provisioning committed.
    pub fn provisioned(identity: Arc<Identity>, proof: ProvisioningProof) -> Caller {
        Caller::of(CallerKind::Provisioned(Person::of(identity), proof))
    }

    /// A verified identity whose provisioning has not committed. A function that looks at it is suspended.
    pub fn pending(identity: Arc<Identity>) -> Caller {
        Caller::of(CallerKind::Pending(identity))
    }

    /// The holder of a verified admin key. No identity.
    pub fn admin() -> Caller {
        Caller::of(CallerKind::Admin(AdminRights::All, None))
    }

    /// The holder of a verified admin key who looks at the deployment as `identity`.
    pub fn admin_acting_as(identity: impl Into<Arc<Identity>>) -> Caller {
        Caller::admin_with(AdminRights::All, Some(identity.into()))
    }

    /// The holder of a verified admin key with these rights, who looks at the deployment as a user or not.
    pub fn admin_with(rights: AdminRights, acting_as: Option<Arc<Identity>>) -> Caller {
        Caller::of(match acting_as {
            Some(identity) => CallerKind::AdminActingAs(Person::of(identity), rights),
            None => CallerKind::Admin(rights, None),
        })
    }

    /// The server itself: scheduled functions and its own work. No identity.
    pub fn system() -> Caller {
        Caller::of(CallerKind::System)
    }

    /// A scheduled function or a cron: functions of an app, without an identity.
    pub fn job() -> Caller {
        Caller::of(CallerKind::Job)
    }

    /// A caller whose identity must not be looked at, used to find out whether a query looks at all. A query that does
    /// is suspended.
    pub fn unidentified() -> Caller {
        Caller::of(CallerKind::Unidentified)
    }

    /// The same, of callers with an admin key: it may look at what they may look at.
    pub fn unidentified_admin() -> Caller {
        Caller::of(CallerKind::UnidentifiedAdmin)
    }

    fn of(role: CallerKind) -> Caller {
        Caller(role)
    }

    /// The same, let in by the admin key of this id. One who acts as a user changes nothing of the deployment, so the key
    /// is not kept.
    pub fn by_key(self, key: KeyId) -> Caller {
        Caller(match self.0 {
            CallerKind::Admin(rights, _) => CallerKind::Admin(rights, Some(key)),
            role => role,
        })
    }

    /// The admin key that let it in, for the log.
    pub fn key_id(&self) -> Option<KeyId> {
        match self.0 {
            CallerKind::Admin(_, key) => key,
            _ => None,
        }
    }

    /// The answer a function gets when it asks for the caller's identity.
    pub fn identity(&self) -> IdentityAccess<'_> {
        match &self.0 {
            CallerKind::Nobody | CallerKind::Admin(..) | CallerKind::System | CallerKind::Job => {
                IdentityAccess::Known(None)
            }
            CallerKind::Provisioned(person, _) | CallerKind::AdminActingAs(person, _) => {
                IdentityAccess::Known(Some(&person.identity))
            }
            CallerKind::Pending(_) | CallerKind::Unidentified | CallerKind::UnidentifiedAdmin => {
                IdentityAccess::Suspended
            }
        }
    }

    /// The caller's identity for the server's own records, such as the one that makes a re-sent mutation harmless.
    /// Known for a pending identity too, and so never for functions.
    pub fn identity_key(&self) -> Option<IdentityKey> {
        match &self.0 {
            CallerKind::Provisioned(person, _) | CallerKind::AdminActingAs(person, _) => {
                Some(person.identity.key())
            }
            CallerKind::Pending(identity) => Some(identity.key()),
            CallerKind::Nobody
            | CallerKind::Admin(..)
            | CallerKind::System
            | CallerKind::Job
            | CallerKind::Unidentified
            | CallerKind::UnidentifiedAdmin => None,
        }
    }

    /// The proof that this caller's provisioning committed, for a provisioned identity.
    pub fn proof(&self) -> Option<ProvisioningProof> {
        match &self.0 {
            CallerKind::Provisioned(_, proof) => Some(*proof),
            CallerKind::Nobody
            | CallerKind::Pending(_)
            | CallerKind::Admin(..)
            | CallerKind::AdminActingAs(..)
            | CallerKind::System
            | CallerKind::Job
            | CallerKind::Unidentified
            | CallerKind::UnidentifiedAdmin => None,
        }
    }

    /// The kind of caller, as logs name it.
    pub fn kind(&self) -> &'static str {
        match &self.0 {
            CallerKind::Provisioned(..) | CallerKind::Pending(_) => "user",
            CallerKind::Admin(..) => "instance_admin",
            CallerKind::AdminActingAs(..) => "team_acting_user",
            CallerKind::System | CallerKind::Job => "system",
            CallerKind::Nobody | CallerKind::Unidentified | CallerKind::UnidentifiedAdmin => {
                "unknown"
            }
        }
    }

    /// Whether it may start mutations and actions, which write.
    pub fn may_write(&self) -> bool {
        match self.0 {
            CallerKind::Admin(rights, _) | CallerKind::AdminActingAs(_, rights) => {
                rights == AdminRights::All
            }
            CallerKind::Nobody
            | CallerKind::Provisioned(..)
            | CallerKind::Pending(_)
            | CallerKind::System
            | CallerKind::Job
            | CallerKind::Unidentified => true,
            CallerKind::UnidentifiedAdmin => false,
        }
    }

    /// Whether it may start internal functions from outside.
    pub fn may_call_internal(&self) -> bool {
        self.is_admin() || matches!(self.0, CallerKind::System | CallerKind::Job)
    }

    /// Whether an admin key has let it in. Nothing of an error is hidden from its holder.
    pub fn is_admin(&self) -> bool {
        match self.0 {
            CallerKind::Admin(..)
            | CallerKind::AdminActingAs(..)
            | CallerKind::UnidentifiedAdmin => true,
            CallerKind::Nobody
            | CallerKind::Provisioned(..)
            | CallerKind::Pending(_)
            | CallerKind::Unidentified
            | CallerKind::Job
            | CallerKind::System => false,
        }
    }

    /// Which functions of the system it may start.
    pub fn may_call_system(&self) -> SystemAccess {
        match self.0 {
            CallerKind::Admin(AdminRights::All, _) | CallerKind::System => SystemAccess::All,
            CallerKind::Admin(AdminRights::ReadOnly, _)
            | CallerKind::AdminActingAs(..)
            | CallerKind::UnidentifiedAdmin => SystemAccess::QueriesOnly,
            CallerKind::Nobody
            | CallerKind::Provisioned(..)
            | CallerKind::Pending(_)
            | CallerKind::Job
            | CallerKind::Unidentified => SystemAccess::None,
        }
    }

    /// The callers with which it may share results when `read` was read of its identity; `None` while reading suspends.
    ///
    /// Functions see only the identity of a caller. So callers whose identities agree in all that was read share
    /// results, and so do all callers without an identity.
    pub fn cache_scope(&self, read: &ClaimsRead) -> Option<CacheScope> {
        match &self.0 {
            CallerKind::Nobody | CallerKind::Admin(..) | CallerKind::System | CallerKind::Job => {
                Some(CacheScope::Anonymous)
            }
            CallerKind::Provisioned(person, _) | CallerKind::AdminActingAs(person, _) => {
                Some(CacheScope::Identity(person.fingerprint(read)))
            }
            CallerKind::Pending(_) | CallerKind::Unidentified | CallerKind::UnidentifiedAdmin => {
                None
            }
        }
    }

    /// Whether a function that looks at its identity is suspended.
    pub fn is_suspending(&self) -> bool {
        self.identity() == IdentityAccess::Suspended
    }
}

impl Person {
    fn of(identity: Arc<Identity>) -> Arc<Person> {
        Arc::new(Person {
            identity,
            fingerprint: OnceLock::new(),
        })
    }

    fn fingerprint(&self, read: &ClaimsRead) -> [u8; 32] {
        let compute = || Sha256::digest(read.projection(&self.identity)).into();
        match read.is_empty() {
            true => *self.fingerprint.get_or_init(compute),
            false => compute(),
        }
    }
}

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.identity.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use vestibule_schema::value::{Object, Value};

    use super::*;

    fn ada() -> Arc<Identity> {
        Arc::new(Identity::new(
            "https://issuer.example",
            "ada",
            Object::new(),
        ))
    }

    fn provisioned(identity: Arc<Identity>) -> Caller {
        Caller::provisioned(identity, ProvisioningProof::issue(Timestamp(7)))
    }

    #[test]
    fn each_caller_has_its_rights() {
        use SystemAccess::{All, None as Nothing, QueriesOnly};
        let identity = ada();
        let known = IdentityAccess::Known(Some(&identity));
        let none = IdentityAccess::Known(None);
        let suspended = IdentityAccess::Suspended;
        let read_only = |acting_as| Caller::admin_with(AdminRights::ReadOnly, acting_as);
        let cases = [
            (Caller::nobody(), none, false, Nothing, true),
            (provisioned(ada()), known, false, Nothing, true),
            (Caller::pending(ada()), suspended, false, Nothing, true),
            (Caller::admin(), none, true, All, true),
            (
                Caller::admin_acting_as(ada()),
                known,
                true,
                QueriesOnly,
                true,
            ),
            (read_only(None), none, true, QueriesOnly, false),
            (read_only(Some(ada())), known, true, QueriesOnly, false),
            (Caller::system(), none, true, All, true),
            (Caller::job(), none, true, Nothing, true),
            (Caller::unidentified(), suspended, false, Nothing, true),
            (
                Caller::unidentified_admin(),
                suspended,
                true,
                QueriesOnly,
                false,
            ),
        ];
        for (caller, access, internal, system, writes) in cases {
            assert_eq!(caller.may_write(), writes, "{caller:?}");
            assert_eq!(caller.identity(), access, "{caller:?}");
            assert_eq!(caller.may_call_internal(), internal, "{caller:?}");
            assert_eq!(caller.may_call_system(), system, "{caller:?}");
        }
    }

    #[test]
    fn only_identities_equal_where_they_were_looked_at_share_results() {
        let editor = Object::from([("role".to_owned(), Value::String("editor".to_owned()))]);
        let editor = Arc::new(Identity::new("https://issuer.example", "ada", editor));
        let who = ClaimsRead::default();
        let same = |a: Caller, b: Caller| a.cache_scope(&who) == b.cache_scope(&who);
        assert!(same(provisioned(ada()), provisioned(editor.clone())));
        assert!(!same(provisioned(ada()), Caller::nobody()));
        let role = crate::auth::UserIdentity::new(editor.clone());
        role.text("role");
        let role = role.claims_read();
        let scope = |caller: Caller| caller.cache_scope(&role);
        assert_eq!(scope(provisioned(ada())), scope(provisioned(ada())));
        assert_eq!(
            scope(provisioned(ada())),
            scope(Caller::admin_acting_as(ada()))
        );
        assert_ne!(
            scope(provisioned(ada())),
            scope(provisioned(editor.clone()))
        );
        assert_ne!(scope(provisioned(ada())), scope(Caller::nobody()));
        assert_eq!(scope(Caller::admin()), Some(CacheScope::Anonymous));
        assert_eq!(scope(Caller::pending(ada())), None);
        assert_eq!(scope(Caller::unidentified()), None);
        // One caller's results are kept apart by the claims that each read, whatever it asked for first.
        let everything = crate::auth::UserIdentity::new(editor.clone());
        everything.to_value();
        let everything = everything.claims_read();
        let caller = provisioned(editor);
        let scopes = [&who, &role, &everything].map(|read| caller.cache_scope(read).unwrap());
        assert!(scopes[0] != scopes[1] && scopes[1] != scopes[2] && scopes[0] != scopes[2]);
    }

    #[test]
    fn a_proof_says_when_and_only_a_provisioned_caller_has_one() {
        let proof = provisioned(ada()).proof().unwrap();
        assert_eq!(proof.committed_at(), Timestamp(7));
        assert!(Caller::pending(ada()).proof().is_none());
        assert!(Caller::admin_acting_as(ada()).proof().is_none());
    }

    #[test]
    fn records_name_a_pending_identity_as_they_will_name_it_later() {
        let pending = Caller::pending(ada()).identity_key();
        assert_eq!(pending, Some(ada().key()));
        assert_eq!(pending, provisioned(ada()).identity_key());
        assert_eq!(Caller::nobody().identity_key(), None);
    }

    #[test]
    fn the_debug_form_names_nobody() {
        let shown = format!("{:?} {:?}", provisioned(ada()), Caller::pending(ada()));
        assert!(!shown.contains("ada"), "{shown}");
    }
}
