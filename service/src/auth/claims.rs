//! The claims of a verified token: its subject, and its scopes in the configured claims.

use super::{Actor, Scope, TokenError};
use crate::config::auth::ScopesConfig;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use unicode_normalization::is_nfc;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

const MAX_SUBJECT_BYTES: usize = 128;

/// Claims whose signature, issuer, audience and times were verified.
pub(super) type Claims = Map<String, Value>;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("service.auth.scopes.names[{index}].grants: there is no scope {name:?}; there are {}", known())]
pub struct UnknownScope {
    index: usize,
    name: String,
}

fn known() -> String {
    Scope::ALL.map(|(scope, _)| scope.name()).join(", ")
}

/// Which claims hold scopes, and what the names in them grant.
pub(super) struct Grants {
    claims: Vec<String>,
    prefixes: Vec<String>,
    names: BTreeMap<String, BTreeSet<Scope>>,
}

impl Grants {
    pub(super) fn new(config: &ScopesConfig) -> Result<Self, UnknownScope> {
        let mut names = BTreeMap::<_, BTreeSet<_>>::new();
        for (index, entry) in config.names.iter().enumerate() {
            for name in &entry.grants {
                let scope = Scope::named(name).ok_or_else(|| UnknownScope { index, name: name.clone() })?;
                names.entry(entry.name.clone()).or_default().insert(scope);
            }
        }
        Ok(Self { claims: config.claims.to_vec(), prefixes: config.prefixes.clone(), names })
    }

    pub(super) fn actor(&self, claims: &Claims) -> Result<Actor, TokenError> {
        // An array would pass the library's check when it merely contains the issuer.
        text(claims, "iss")?;
        let subject = text(claims, "sub")?;
        check_subject(subject)?;
        Ok(Actor { scopes: self.scopes(claims)?, subject: subject.to_owned() })
    }

    fn scopes(&self, claims: &Claims) -> Result<BTreeSet<Scope>, TokenError> {
        let mut scopes = BTreeSet::new();
        for claim in &self.claims {
            let malformed = || TokenError::ScopeClaim(claim.clone());
            match find(claims, claim) {
                None | Some(Value::Null) => {}
                Some(Value::String(names)) => {
                    scopes.extend(names.split_whitespace().flat_map(|name| self.granted(name)));
                }
                Some(Value::Array(names)) => {
                    for name in names {
                        scopes.extend(self.granted(name.as_str().ok_or_else(malformed)?));
                    }
                }
                Some(_) => return Err(malformed()),
            }
        }
        Ok(scopes)
    }

    /// Scopes that a name grants; names of other services grant nothing.
    fn granted(&self, name: &str) -> impl Iterator<Item = Scope> {
        let own = if self.prefixes.is_empty() {
            Scope::named(name)
        } else {
            let mut stripped = self.prefixes.iter().filter_map(|prefix| name.strip_prefix(prefix.as_str()));
            stripped.find_map(Scope::named)
        };
        self.names.get(name).into_iter().flatten().copied().chain(own)
    }
}

/// Finds a claim by its name, which may contain dots, or else by its path, such as `realm_access.roles`.
fn find<'a>(claims: &'a Claims, path: &str) -> Option<&'a Value> {
    claims.get(path).or_else(|| {
        let (first, rest) = path.split_once('.')?;
        find(claims.get(first)?.as_object()?, rest)
    })
}

fn text<'a>(claims: &'a Claims, name: &'static str) -> Result<&'a str, TokenError> {
    claims.get(name).and_then(Value::as_str).ok_or(TokenError::Claim(name))
}

/// Prefix in the audit log of database users, who read it without the service (migration 10).
const DATABASE_USERS: &str = "database:";

/// Audit rows name the subject: to an auditor, two subjects that look alike would be one.
fn check_subject(subject: &str) -> Result<(), TokenError> {
    if subject.is_empty() || subject.len() > MAX_SUBJECT_BYTES {
        return Err(TokenError::SubjectLength);
    }
    if subject.chars().any(is_unseen) || !is_nfc(subject) {
        return Err(TokenError::SubjectLookalike);
    }
    if subject.to_lowercase().starts_with(DATABASE_USERS) {
        return Err(TokenError::SubjectReserved);
    }
    Ok(())
}

/// Whether the character is a space, a control, a format (zero-width, bidirectional) or unassigned.
fn is_unseen(c: char) -> bool {
    use GeneralCategory::{
        Control, Format, LineSeparator, ParagraphSeparator, PrivateUse, SpaceSeparator, Surrogate, Unassigned,
    };
    let category = matches!(
        c.general_category(),
        Control
            | Format
            | SpaceSeparator
            | LineSeparator
            | ParagraphSeparator
            | PrivateUse
            | Surrogate
            | Unassigned
    );
    // Default-ignorable letters and marks (DerivedCoreProperties.txt), and the empty Braille pattern.
    let ignorable = matches!(c,
        '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{2800}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{e0100}'..='\u{e01ef}');
    category || ignorable
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::auth::ScopeName;
    use crate::config::values::Checked;
    use serde_json::json;

    fn config(claims: &[&str], prefixes: &[&str], names: &[(&str, &[&str])]) -> ScopesConfig {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let named =
            |(name, grants): &(&str, &[&str])| ScopeName { name: (*name).into(), grants: texts(grants) };
        ScopesConfig {
            claims: Checked::new(texts(claims)).unwrap(),
            prefixes: texts(prefixes),
            names: Checked::new(names.iter().map(named).collect()).unwrap(),
        }
    }

    fn scopes(config: &ScopesConfig, claims: Value) -> Vec<&'static str> {
        let Value::Object(mut claims) = claims else { panic!("no claim set") };
        claims.insert("iss".into(), "i".into());
        claims.insert("sub".into(), "s".into());
        let actor = Grants::new(config).unwrap().actor(&claims).unwrap();
        actor.scopes.into_iter().map(Scope::name).collect()
    }

    #[test]
    fn scopes_are_found_wherever_identity_providers_write_them() {
        let usual = config(&["scope", "scp"], &[], &[]);
        for claims in [
            json!({"scope": "predict openid audit:read"}),
            json!({"scope": ["predict", "audit:read"]}),
            json!({"scp": "predict audit:read"}),
            json!({"scp": ["predict", "openid"], "scope": "audit:read", "roles": ["admin"]}),
        ] {
            assert_eq!(scopes(&usual, claims.clone()), ["predict", "audit:read"], "{claims}");
        }
        let keycloak = config(&["realm_access.roles"], &["cxr-"], &[]);
        let token =
            json!({"realm_access": {"roles": ["cxr-predict", "admin", "offline_access"]}, "scope": "admin"});
        assert_eq!(scopes(&keycloak, token), ["predict"]);
        let auth0 = config(&["permissions", "https://h.example/cxr.roles"], &["", "api://cxr/"], &[]);
        let token = json!({"permissions": ["label", "api://cxr/predict"], "https://h.example/cxr.roles": ["monitor:read"]});
        assert_eq!(scopes(&auth0, token), ["predict", "label", "monitor:read"]);
        let site = config(&["groups"], &["never-"], &[("CXR Readers, main", &["predict", "label"])]);
        assert_eq!(scopes(&site, json!({"groups": ["CXR Readers, main", "admin"]})), ["predict", "label"]);
        assert_eq!(scopes(&site, json!({"groups": null})), [""; 0]);
    }

    #[test]
    fn a_malformed_claim_and_an_unknown_scope_are_named() {
        let grants = Grants::new(&config(&["a.b"], &[], &[])).unwrap();
        for wrong in [json!(7), json!(["predict", 7]), json!({"predict": true})] {
            let claims = json!({"iss": "i", "sub": "s", "a": {"b": wrong}});
            let error = grants.actor(claims.as_object().unwrap()).unwrap_err();
            assert_eq!(error, TokenError::ScopeClaim("a.b".into()));
        }
        let error = Grants::new(&config(&["scope"], &[], &[("Readers", &["predikt"])])).err().unwrap();
        let error = error.to_string();
        assert!(error.contains("names[0]") && error.contains("audit:read"), "{error}");
    }

    #[test]
    fn a_subject_that_could_be_mistaken_for_another_is_refused() {
        let names = ["pacs-7", "auth0|5f7c8ec7c33c6c004bbafe82", "CN=a,O=b"];
        for good in names.into_iter().chain(["h\u{f6}gskolan@h.example", "\u{5317}\u{4eac}"]) {
            assert_eq!(check_subject(good), Ok(()), "{good}");
        }
        let unseen = " \t\n\0\u{a0}\u{3000}\u{2009}\u{7f}\u{85}\u{200b}\u{200d}\u{2060}\u{feff}\u{ad}\u{202e}\
            \u{2066}\u{200f}\u{61c}\u{180e}\u{fe0f}\u{e0001}\u{3164}\u{2028}\u{e000}\u{2800}\u{34f}";
        assert_eq!(unseen.chars().count(), 26);
        for unseen in unseen.chars() {
            for subject in [format!("{unseen}pacs"), format!("pa{unseen}cs"), format!("pacs{unseen}")] {
                assert_eq!(check_subject(&subject), Err(TokenError::SubjectLookalike), "{subject:?}");
            }
        }
        assert_eq!(check_subject("ho\u{308}gskolan"), Err(TokenError::SubjectLookalike));
        assert_eq!(check_subject("database:cxr_owner"), Err(TokenError::SubjectReserved));
        assert_eq!(check_subject("Database:x"), Err(TokenError::SubjectReserved));
        assert_eq!(check_subject("databases:x"), Ok(()));
        assert_eq!(check_subject(""), Err(TokenError::SubjectLength));
        assert_eq!(check_subject(&"x".repeat(129)), Err(TokenError::SubjectLength));
    }
}
