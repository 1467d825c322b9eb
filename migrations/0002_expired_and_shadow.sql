-- An admitted image whose deadline passed, or whose client went away, before the model ran: neither refused nor failed.
ALTER TABLE predictions DROP CONSTRAINT predictions_outcome_check;
ALTER TABLE predictions ADD CONSTRAINT predictions_outcome_check
    CHECK (outcome IN ('predicted', 'rejected', 'expired', 'failed'));

-- What a candidate said of an image that another model answered. Kept apart: nobody acted on it, and it may be missing.
CREATE TABLE shadow_predictions (
    -- The answered image. Its row was committed before this one is written.
    prediction_id  uuid NOT NULL,
    recorded_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    model_name     text NOT NULL,
    model_version  text NOT NULL,
    bundle_digest  text NOT NULL CHECK (bundle_digest ~ '^[0-9a-f]{64}$'),
    variant        text NOT NULL,
    execution      jsonb NOT NULL CHECK (jsonb_typeof(execution) = 'object'),
    policy_digest  text NOT NULL CHECK (policy_digest ~ '^[0-9a-f]{64}$'),
    logit          double precision NOT NULL CHECK (logit > '-Infinity' AND logit < 'Infinity'),
    probability    double precision NOT NULL CHECK (probability BETWEEN 0 AND 1),
    threshold      double precision NOT NULL CHECK (threshold BETWEEN 0 AND 1),
    decision       text NOT NULL CHECK (decision IN ('positive', 'negative')),
    -- The answer's, so that the two can be compared without a join.
    answered_probability  double precision NOT NULL CHECK (answered_probability BETWEEN 0 AND 1),
    answered_decision     text NOT NULL CHECK (answered_decision IN ('positive', 'negative')),
    PRIMARY KEY (prediction_id, bundle_digest, variant),
    CONSTRAINT shadow_decision_follows_threshold CHECK ((decision = 'positive') = (probability >= threshold))
);

CREATE TRIGGER shadow_predictions_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON shadow_predictions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE shadow_predictions ENABLE ALWAYS TRIGGER shadow_predictions_append_only;
