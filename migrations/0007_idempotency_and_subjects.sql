-- A retry of a request gets the first answer. The key is written by the row's own statement, so that there is never one
-- without the other, and two rows of one key cannot be. Kept for a time that the service is configured with.
CREATE TABLE idempotency_keys (
    -- HMAC of the client and its key: the key itself is the client's text, and could be anything.
    key_digest     bytea PRIMARY KEY CHECK (octet_length(key_digest) = 32),
    -- HMAC of what was sent under it.
    fingerprint    bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
    prediction_id  uuid NOT NULL,
    -- What the answer said that its row does not hold.
    answer         jsonb NOT NULL CHECK (jsonb_typeof(answer) = 'object'),
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);

-- Links the images of one person as long as that person is not erased. The only table that erasure changes: rows hold
-- HMAC(subject_key, identifier), which nobody can compute again, or link with anything, once the key is gone.
CREATE TABLE subjects (
    -- HMAC of the identifier under the deployment's key.
    lookup       bytea PRIMARY KEY CHECK (octet_length(lookup) = 32),
    subject_key  bytea NOT NULL CHECK (octet_length(subject_key) = 32),
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);

ALTER TABLE predictions ADD COLUMN subject bytea CHECK (octet_length(subject) = 32);
CREATE INDEX predictions_subject ON predictions (subject, id) WHERE subject IS NOT NULL;

GRANT SELECT, INSERT, DELETE ON idempotency_keys TO cxr_writer;
-- Not to the auditor: whoever can read the keys can test guesses of an identifier.
GRANT SELECT, INSERT, DELETE ON subjects TO cxr_writer;
