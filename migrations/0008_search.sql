-- A page of the search is the newest rows by id that a filter lets through. What few rows have needs an index that gives them in
-- that order; what many rows have is met soon on the way along the primary key, and needs none. Measured: docs/AUDIT.md.

-- A range of time is a range of ids.
DROP INDEX predictions_received_at;
DROP INDEX predictions_actor_received_at;
CREATE INDEX predictions_actor ON predictions (actor, id);
CREATE INDEX predictions_request ON predictions (request_id);
CREATE INDEX predictions_reason ON predictions ((coalesce(reason, decision_reason)), id);
CREATE INDEX predictions_not_predicted ON predictions (outcome, id) WHERE outcome <> 'predicted';
-- An old model's rows lie behind all that came after it.
CREATE INDEX predictions_model ON predictions (model_version, id);
CREATE INDEX predictions_bundle ON predictions (bundle_digest, id);

-- From a label to its images.
CREATE INDEX labels_by_label ON labels (label, prediction_id);
