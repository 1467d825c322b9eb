-- One row for every image that was admitted: predicted, rejected or failed. Written once, before the answer leaves,
-- and never again: whoever reads a row reads what was known when the answer was given.

CREATE TABLE predictions (
    -- UUIDv7, made by the service: the id of the answer. Rising with time, so the primary key stays compact.
    id                     uuid PRIMARY KEY,
    -- Groups the images of one request.
    request_id             text NOT NULL CHECK (request_id ~ '^[A-Za-z0-9_-]{1,64}$'),
    -- The service's clock when the request began, and the database's own clock at the insert: the second one is
    -- evidence that does not come from the process whose work is recorded.
    received_at            timestamptz NOT NULL,
    recorded_at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The subject of the token, and the site from the configuration.
    actor                  text NOT NULL CHECK (length(actor) BETWEEN 1 AND 128),
    site                   text NOT NULL CHECK (length(site) BETWEEN 1 AND 64),
    -- How numbers and arrays of this row are to be read; raised when their meaning changes.
    encoding_version       smallint NOT NULL CHECK (encoding_version >= 1),

    outcome                text NOT NULL CHECK (outcome IN ('predicted', 'rejected', 'failed')),
    -- Why there is no prediction. Codes are only added to, so their list is not frozen here.
    reason                 text CHECK (reason ~ '^[a-z][a-z_]{0,63}$'),

    -- HMAC-SHA256 of the uploaded bytes under audit.input_key: whoever holds image and key can find its rows,
    -- whoever holds only the table can test no guess.
    input_digest           bytea NOT NULL CHECK (octet_length(input_digest) = 32),
    input_bytes            bigint NOT NULL CHECK (input_bytes >= 0),
    -- What was decoded; absent where decoding was refused.
    format                 text CHECK (format ~ '^[a-z0-9]{1,16}$'),
    width                  integer CHECK (width > 0),
    height                 integer CHECK (height > 0),
    significant_bits       smallint CHECK (significant_bits BETWEEN 1 AND 16),
    colour                 text CHECK (colour ~ '^[a-z]{1,16}$'),
    -- What the caller or the file stated.
    age_years              real CHECK (age_years BETWEEN 0 AND 120),
    view                   text CHECK (view IN ('PA', 'AP', 'LL', 'RL')),
    modality               text CHECK (modality IN ('CR', 'DX', 'RG')),
    -- What drift monitoring compares; the version says how each statistic is defined.
    statistics_version     smallint CHECK (statistics_version >= 1),
    image_statistics       jsonb CHECK (jsonb_typeof(image_statistics) = 'object'),

    -- What ran.
    model_name             text,
    model_version          text,
    bundle_digest          text CHECK (bundle_digest ~ '^[0-9a-f]{64}$'),
    variant                text,
    -- ONNX Runtime build, instruction set, provider, threads, precision: tells a replay whether to expect equal bits.
    execution              jsonb CHECK (jsonb_typeof(execution) = 'object'),

    -- What came out, and the rule that turned it into a decision.
    policy_digest          text CHECK (policy_digest ~ '^[0-9a-f]{64}$'),
    logit                  double precision CHECK (logit > '-Infinity' AND logit < 'Infinity'),
    probability            double precision CHECK (probability BETWEEN 0 AND 1),
    confidence             double precision CHECK (confidence BETWEEN 0 AND 1),
    threshold              double precision CHECK (threshold BETWEEN 0 AND 1),
    decision               text CHECK (decision IN ('positive', 'negative')),
    review_required        boolean,
    decision_reason        text CHECK (decision_reason ~ '^[a-z][a-z_]{0,63}$'),
    ood_score              double precision CHECK (ood_score >= 0),
    -- Coordinates of the embedding along the bundle's components: they cannot be computed later, the image is gone.
    embedding_coordinates  real[],
    -- Class activation map, row-major: the heatmap can be drawn again from it.
    cam                    real[],
    cam_width              smallint CHECK (cam_width > 0),
    cam_height             smallint CHECK (cam_height > 0),

    -- Milliseconds by phase, up to the moment of the insert.
    timings                jsonb NOT NULL CHECK (jsonb_typeof(timings) = 'object'),

    -- A prediction has everything; anything else says why not and has no score.
    CONSTRAINT reason_unless_predicted CHECK ((outcome = 'predicted') = (reason IS NULL)),
    CONSTRAINT scores_iff_predicted CHECK (
        num_nonnulls(policy_digest, logit, probability, confidence, threshold, decision, review_required,
                     decision_reason, ood_score, embedding_coordinates, cam, cam_width, cam_height)
        = CASE outcome WHEN 'predicted' THEN 13 ELSE 0 END),
    -- A rejected image never met the model; a failed one was meant to.
    CONSTRAINT model_unless_rejected CHECK (
        num_nonnulls(model_name, model_version, bundle_digest, variant, execution)
        = CASE outcome WHEN 'rejected' THEN 0 ELSE 5 END),
    CONSTRAINT image_whole_or_absent CHECK (num_nonnulls(format, width, height, significant_bits, colour) IN (0, 5)),
    CONSTRAINT statistics_whole_or_absent CHECK (num_nonnulls(statistics_version, image_statistics) IN (0, 2)),
    CONSTRAINT predicted_from_an_image CHECK (outcome <> 'predicted' OR (format IS NOT NULL AND image_statistics IS NOT NULL)),
    CONSTRAINT decision_follows_threshold CHECK ((decision = 'positive') = (probability >= threshold)),
    CONSTRAINT cam_has_its_size CHECK (cardinality(cam) = cam_width::integer * cam_height::integer)
);

-- Audits ask for a span of time, and for one person's requests within it.
CREATE INDEX predictions_received_at ON predictions (received_at);
CREATE INDEX predictions_actor_received_at ON predictions (actor, received_at);
CREATE INDEX predictions_input_digest ON predictions (input_digest);

-- Append-only by the database, not by manners: whoever holds the writer's password still cannot rewrite history.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'table % is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege';
END
$$;

-- By statement, so that a change of no rows is refused as well; TRUNCATE fires no row triggers.
CREATE TRIGGER predictions_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON predictions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
-- ALWAYS: also for a session that set session_replication_role.
ALTER TABLE predictions ENABLE ALWAYS TRIGGER predictions_append_only;
