-- The truth about an image as somebody found it later. Nothing is replaced: what a label was known as, when and by whom, is
-- history; which one counts is a rule over it.
CREATE TABLE labels (
    id             uuid PRIMARY KEY,
    prediction_id  uuid NOT NULL,
    label          text NOT NULL CHECK (label IN ('positive', 'negative')),
    -- Who or what found it: radiologist, report, follow_up, ...
    source         text NOT NULL CHECK (source ~ '^[a-z][a-z0-9_-]{0,63}$'),
    -- When it was found, as the caller says.
    labelled_at    timestamptz NOT NULL,
    recorded_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    request_id     text NOT NULL,
    actor          text NOT NULL,
    -- The same said twice is said once.
    CONSTRAINT label_once UNIQUE (prediction_id, source, labelled_at, label)
);
CREATE TRIGGER labels_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON labels
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE labels ENABLE ALWAYS TRIGGER labels_append_only;

-- The one that counts: found last; of two found at the same moment, recorded last.
CREATE VIEW current_labels AS
    SELECT DISTINCT ON (prediction_id) prediction_id, label, source, labelled_at, recorded_at
    FROM labels ORDER BY prediction_id, labelled_at DESC, recorded_at DESC, id DESC;

-- The worklist: what a radiologist must look at and nobody has said anything of.
CREATE INDEX predictions_review ON predictions (id) WHERE review_required;

GRANT SELECT, INSERT ON labels TO cxr_writer;
GRANT SELECT ON labels, current_labels TO cxr_auditor;
