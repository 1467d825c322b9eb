-- Monitoring. One replica at a time reads the rows in the order of their leaves, and keeps windows, the state of its detectors, baselines and
-- alarms here. Two of the tables are changed in place, monitoring_cursor and monitoring_detectors: they can be computed again from the log.

-- Patients are known to monitoring by a salted hash of subject and day: two images of one day belong together, and no more can be learned.
CREATE TABLE monitoring_salt (
    only_row  boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    salt      bytea NOT NULL DEFAULT uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) CHECK (octet_length(salt) = 32)
);
INSERT INTO monitoring_salt DEFAULT VALUES;

-- What monitoring may read: no actor, request id, subject or digest. The row's columns are null where retention has dropped it.
CREATE VIEW monitoring_rows AS
    SELECT leaf.leaf_index, leaf.prediction_id AS id, entry.received_at, entry.recorded_at, entry.site, entry.outcome, entry.reason, entry.decision,
           entry.view, entry.modality, entry.statistics_version, entry.image_statistics, entry.model_version, entry.bundle_digest, entry.variant,
           entry.probability, entry.threshold, entry.review_required, entry.ood_score, entry.embedding_coordinates,
           substr(sha256(salt.salt || coalesce(entry.subject, uuid_send(leaf.prediction_id))
               || int4send((entry.received_at AT TIME ZONE 'UTC')::date - date '1970-01-01')), 1, 8) AS patient_day,
           entry.subject IS NOT NULL AND EXISTS (
               SELECT FROM predictions AS earlier JOIN audit_leaves AS earlier_leaf ON earlier_leaf.prediction_id = earlier.id
               WHERE earlier.subject = entry.subject AND earlier.outcome = entry.outcome AND earlier_leaf.leaf_index < leaf.leaf_index
                 -- An id is made within the time that an upload may take, after the request arrived.
                 AND earlier.id >= first_id(date_trunc('day', entry.received_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC')
                 AND earlier.id < first_id((date_trunc('day', entry.received_at AT TIME ZONE 'UTC') + interval '25 hours') AT TIME ZONE 'UTC')
                 AND (earlier.received_at AT TIME ZONE 'UTC')::date = (entry.received_at AT TIME ZONE 'UTC')::date
           ) AS is_repeat
    FROM audit_leaves AS leaf CROSS JOIN monitoring_salt AS salt LEFT JOIN predictions AS entry ON entry.id = leaf.prediction_id;

-- Labels without the actor that recorded them.
CREATE VIEW monitoring_label_rows AS
    SELECT id AS label_id, prediction_id, label, source, labelled_at, recorded_at FROM labels;
CREATE INDEX labels_recorded_at ON labels (recorded_at);

-- How far the log is read.
CREATE TABLE monitoring_cursor (
    only_row       boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    next_leaf      bigint NOT NULL DEFAULT 0 CHECK (next_leaf >= 0),
    next_label     bigint NOT NULL DEFAULT 0 CHECK (next_label >= 0),
    -- Decisions that were made, and how many of them the job has applied.
    n_decisions    bigint NOT NULL DEFAULT 0 CHECK (n_decisions >= next_decision),
    next_decision  bigint NOT NULL DEFAULT 0 CHECK (next_decision >= 0),
    -- Every label that was recorded before has a position, or belongs to a row that is not in the tree.
    labels_from    timestamptz NOT NULL DEFAULT '-infinity',
    newest_row_at  timestamptz,
    -- Leaves whose rows retention had dropped when they were read.
    n_gone         bigint NOT NULL DEFAULT 0 CHECK (n_gone >= 0),
    -- When the leader last committed a step, also one that found nothing.
    stepped_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO monitoring_cursor DEFAULT VALUES;

-- The order in which labels were read: they have none of their own that has no gaps.
CREATE TABLE monitoring_labels (
    position       bigint PRIMARY KEY CHECK (position >= 0),
    label_id       uuid NOT NULL UNIQUE,
    prediction_id  uuid NOT NULL
);

CREATE TABLE monitoring_streams (
    stream_id      integer PRIMARY KEY CHECK (stream_id >= 0),
    site           text NOT NULL,
    slice          text NOT NULL,
    -- The three are null in a stream of image statistics, which goes on across models.
    model_version  text,
    bundle_digest  text,
    variant        text,
    first_leaf     bigint NOT NULL CHECK (first_leaf >= 0),
    CONSTRAINT model_whole_or_not CHECK (num_nonnulls(model_version, bundle_digest, variant) IN (0, 3))
);
CREATE UNIQUE INDEX monitoring_streams_once
    ON monitoring_streams (site, slice, coalesce(bundle_digest, ''), coalesce(variant, ''));

-- State of a stream's detectors and its open windows; committed with the cursor.
CREATE TABLE monitoring_detectors (
    stream_id   integer PRIMARY KEY,
    state       bytea NOT NULL,
    -- SHA-256 of the state, so that replays can be compared.
    digest      bytea NOT NULL CHECK (octet_length(digest) = 32),
    next_leaf   bigint NOT NULL
);

-- Hours are kept for 35 days, days for ever. Rows that arrive after their window was closed make another revision, which adds to the others.
CREATE TABLE monitoring_windows (
    stream_id   integer NOT NULL,
    span        text NOT NULL CHECK (span IN ('hour', 'day')),
    starts      timestamptz NOT NULL,
    revision    integer NOT NULL CHECK (revision >= 0),
    first_leaf  bigint NOT NULL,
    last_leaf   bigint NOT NULL CHECK (last_leaf >= first_leaf),
    n_rows      bigint NOT NULL CHECK (n_rows > 0),
    -- Counts by outcome and reason.
    counts      jsonb NOT NULL,
    -- Histograms and moments.
    content     bytea NOT NULL,
    PRIMARY KEY (stream_id, span, starts, revision)
);

-- Frozen when proposed; it feeds the detectors once an admin has approved it.
CREATE TABLE monitoring_baselines (
    baseline_id  uuid PRIMARY KEY,
    stream_id    integer NOT NULL,
    proposed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor        text NOT NULL,
    first_leaf   bigint NOT NULL,
    last_leaf    bigint NOT NULL,
    n_images     bigint NOT NULL,
    digest       bytea NOT NULL CHECK (octet_length(digest) = 32),
    content      bytea NOT NULL,
    -- False alarms, stated and measured, and which detectors are armed.
    simulation   jsonb NOT NULL
);
CREATE TABLE monitoring_approvals (
    baseline_id  uuid PRIMARY KEY REFERENCES monitoring_baselines,
    approved_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor        text NOT NULL,
    reason       text NOT NULL
);

-- What changes the course of the detectors, in the order and at the leaf and label at which it does: a replay repeats it. Each takes its number
-- from the cursor, whose row lock keeps the job from going on meanwhile.
CREATE TABLE monitoring_decisions (
    position    bigint PRIMARY KEY CHECK (position >= 0),
    kind        text NOT NULL CHECK (kind IN ('approved', 'resolved', 'settings')),
    -- The baseline or the alarm.
    subject     uuid,
    -- The settings.
    detail      jsonb,
    from_leaf   bigint NOT NULL,
    from_label  bigint NOT NULL,
    CONSTRAINT subject_or_detail CHECK ((kind = 'settings') = (subject IS NULL) AND num_nonnulls(subject, detail) = 1)
);

CREATE TABLE monitoring_alarms (
    -- Made of stream, detector, baseline and leaf: a replay opens the same alarms.
    alarm_id     uuid PRIMARY KEY,
    stream_id    integer NOT NULL,
    detector     text NOT NULL,
    severity     text NOT NULL CHECK (severity IN ('page', 'ticket')),
    -- When the image that raised it was received, and when the job stored it.
    opened_at    timestamptz NOT NULL,
    stored_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    opened_leaf  bigint NOT NULL,
    change_at    timestamptz,
    evidence     double precision NOT NULL,
    threshold    double precision NOT NULL,
    baseline_id  uuid,
    quantities   jsonb NOT NULL
);
CREATE TABLE monitoring_alarm_events (
    event_id    uuid PRIMARY KEY,
    alarm_id    uuid NOT NULL REFERENCES monitoring_alarms,
    event       text NOT NULL CHECK (event IN ('acknowledged', 'escalated', 'resolved')),
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor       text NOT NULL,
    reason      text NOT NULL,
    CONSTRAINT alarm_event_once UNIQUE (alarm_id, event)
);

-- Images that were drawn to be read although their answer did not require a review.
CREATE TABLE review_samples (
    prediction_id          uuid PRIMARY KEY,
    stream_id              integer NOT NULL,
    leaf_index             bigint NOT NULL,
    received_at            timestamptz NOT NULL,
    stratum                text NOT NULL,
    inclusion_probability  double precision NOT NULL CHECK (inclusion_probability > 0 AND inclusion_probability <= 1)
);
CREATE INDEX review_samples_received_at ON review_samples (received_at);

-- What every replica exports and serves.
CREATE TABLE monitoring_results (
    only_row     boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    computed_at  timestamptz NOT NULL,
    snapshot     jsonb NOT NULL CHECK (jsonb_typeof(snapshot) = 'object')
);

-- What operators did: acknowledged an alarm, approved a baseline, took the model out of service.
CREATE TABLE operations (
    operation_id  uuid PRIMARY KEY,
    at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    request_id    text NOT NULL,
    actor         text NOT NULL,
    action        text NOT NULL CHECK (action ~ '^[a-z][a-z_.]{0,63}$'),
    detail        jsonb NOT NULL CHECK (jsonb_typeof(detail) = 'object')
);
CREATE INDEX operations_at ON operations (at);

-- Whether the model answers; the newest row counts.
CREATE TABLE model_states (
    state_id  uuid PRIMARY KEY,
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor     text NOT NULL,
    state     text NOT NULL CHECK (state IN ('serving', 'advisory')),
    reason    text NOT NULL
);

DO $$
DECLARE
    written_once text;
BEGIN
    FOREACH written_once IN ARRAY ARRAY['monitoring_labels', 'monitoring_streams', 'monitoring_baselines', 'monitoring_approvals',
        'monitoring_decisions', 'monitoring_alarms', 'monitoring_alarm_events', 'review_samples', 'operations', 'model_states', 'monitoring_salt'] LOOP
        EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE OR DELETE OR TRUNCATE ON %I '
            'FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', written_once || '_append_only', written_once);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER %I', written_once, written_once || '_append_only');
    END LOOP;
END
$$;

-- Windows are append-only but for hours, which go after 35 days.
CREATE FUNCTION refuse_window_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND OLD.span = 'hour' AND OLD.starts < clock_timestamp() - interval '35 days' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'monitoring_windows is append-only';
END
$$;
CREATE TRIGGER monitoring_windows_append_only BEFORE UPDATE OR DELETE ON monitoring_windows
    FOR EACH ROW EXECUTE FUNCTION refuse_window_change();
CREATE TRIGGER monitoring_windows_not_emptied BEFORE TRUNCATE ON monitoring_windows
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE monitoring_windows ENABLE ALWAYS TRIGGER monitoring_windows_append_only;
ALTER TABLE monitoring_windows ENABLE ALWAYS TRIGGER monitoring_windows_not_emptied;

GRANT SELECT ON monitoring_rows, monitoring_label_rows TO cxr_writer, cxr_monitor, cxr_auditor;
GRANT SELECT, INSERT ON monitoring_labels, monitoring_streams, monitoring_baselines, monitoring_approvals, monitoring_decisions,
    monitoring_alarms, monitoring_alarm_events, review_samples, operations, model_states TO cxr_writer;
GRANT SELECT, UPDATE ON monitoring_cursor TO cxr_writer;
GRANT SELECT, INSERT, UPDATE ON monitoring_detectors, monitoring_results TO cxr_writer;
GRANT SELECT, INSERT, DELETE ON monitoring_windows TO cxr_writer;
GRANT SELECT ON monitoring_cursor, monitoring_labels, monitoring_streams, monitoring_windows, monitoring_detectors, monitoring_baselines,
    monitoring_approvals, monitoring_decisions, monitoring_alarms, monitoring_alarm_events, monitoring_results, review_samples, operations, model_states
    TO cxr_auditor;
-- Who acknowledged and why is in the actor's columns: the monitor sees figures only.
GRANT SELECT ON monitoring_cursor, monitoring_streams, monitoring_windows, monitoring_alarms, monitoring_results TO cxr_monitor;
