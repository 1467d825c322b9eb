//! An audit row as a FHIR R4 `AuditEvent` (hl7.org/fhir/R4/auditevent.html).

use crate::record::AuditRow;
use cxr::decide::DecisionKind;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Media type of one resource per line.
pub(super) const MEDIA_TYPE: &str = "application/fhir+ndjson";

// Code systems of FHIR.
const EVENT_TYPE: &str = "http://terminology.hl7.org/CodeSystem/audit-event-type";
const INTERACTION: &str = "http://hl7.org/fhir/restful-interaction";
const PARTICIPANT: &str = "http://terminology.hl7.org/CodeSystem/extra-security-role-type";
const SOURCE: &str = "http://terminology.hl7.org/CodeSystem/security-source-type";
const ENTITY: &str = "http://terminology.hl7.org/CodeSystem/audit-entity-type";
const ROLE: &str = "http://terminology.hl7.org/CodeSystem/object-role";

pub(super) fn audit_event(row: &AuditRow) -> Value {
    let outcome = match row.outcome.as_str() {
        "predicted" => "0",
        "rejected" | "expired" => "4",
        _ => "8",
    };
    let reason = row.reason.as_deref().or(row.decision_reason.as_deref());
    let recorded = row.recorded_at.map(instant);
    let mut event = json!({
        "resourceType": "AuditEvent",
        "id": row.id.to_string(),
        "type": { "system": EVENT_TYPE, "code": "rest", "display": "RESTful Operation" },
        "subtype": [{ "system": INTERACTION, "code": "create", "display": "create" }],
        "action": "E",
        "period": { "start": instant(row.received_at), "end": recorded },
        "recorded": recorded,
        "outcome": outcome,
        "agent": agents(row),
        "source": {
            "site": row.site,
            "observer": { "display": "cxr-service" },
            "type": [{ "system": SOURCE, "code": "4", "display": "Application Server" }],
        },
        "entity": entities(row),
    });
    if let (Some(members), Some(reason)) = (event.as_object_mut(), reason) {
        members.insert("outcomeDesc".into(), reason.into());
    }
    event
}

/// The client, and the model if one ran.
fn agents(row: &AuditRow) -> Vec<Value> {
    let asked = json!({
        "type": { "coding": [{ "system": PARTICIPANT, "code": "datacollector" }] },
        "who": { "identifier": { "value": row.actor } },
        "requestor": true,
    });
    let model = [&row.model_name, &row.model_version, &row.variant].map(|part| part.as_deref());
    let [Some(name), Some(version), Some(variant)] = model else { return vec![asked] };
    let digest = row.bundle_digest.as_deref().unwrap_or_default();
    let answered = json!({
        "type": { "coding": [{ "system": PARTICIPANT, "code": "dataprocessor" }] },
        "who": {
            "identifier": { "system": "urn:cxr:bundle-digest", "value": digest },
            "display": format!("{name} {version} {variant}"),
        },
        "requestor": false,
    });
    vec![asked, answered]
}

/// The image with its result, and the patient.
fn entities(row: &AuditRow) -> Vec<Value> {
    // Like the answer, the event of a referred image has no probability.
    let referred = row.decision.as_deref() == Some(DecisionKind::Refer.code());
    let number = |value: Option<f64>| value.map(|value| value.to_string());
    let details = [
        ("decision", row.decision.clone()),
        ("decision_reason", row.decision_reason.clone()),
        ("outcome", Some(row.outcome.clone())),
        ("policy_digest", row.policy_digest.clone()),
        ("probability", number(row.probability.filter(|_| !referred))),
        ("request_id", Some(row.request_id.clone())),
        ("review_required", row.review_required.map(|required| required.to_string())),
        ("threshold", number(row.threshold)),
    ];
    let details = details.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let detail: Vec<Value> =
        details.map(|(name, value)| json!({ "type": name, "valueString": value })).collect();
    let image = json!({
        "what": { "identifier": { "system": "urn:cxr:input-digest", "value": row.input_digest } },
        "type": { "system": ENTITY, "code": "2", "display": "System Object" },
        "role": { "system": ROLE, "code": "3", "display": "Report" },
        "detail": detail,
    });
    let person = row.subject.as_ref().map(|subject| {
        json!({
            "what": { "identifier": { "system": "urn:cxr:subject", "value": subject } },
            "type": { "system": ENTITY, "code": "1", "display": "Person" },
            "role": { "system": ROLE, "code": "1", "display": "Patient" },
        })
    });
    std::iter::once(image).chain(person).collect()
}

fn instant(at: OffsetDateTime) -> String {
    at.to_offset(time::UtcOffset::UTC).format(&Rfc3339).unwrap_or_default()
}
