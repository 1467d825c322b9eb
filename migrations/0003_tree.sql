-- The tree that makes the log tamper-evident (RFC 9162, section 2.1). A row's leaf hash is computed by the service before
-- the insert and waits in audit_pending, written by the row's own statement; one process at a time moves what waits into
-- the tree, in an order of its own: rows commit in another order than their ids have.

CREATE TABLE audit_pending (
    prediction_id  uuid PRIMARY KEY,
    leaf_hash      bytea NOT NULL CHECK (octet_length(leaf_hash) = 32)
);

-- The place of each row in the tree. No reference to predictions: leaves survive the retention of their rows.
CREATE TABLE audit_leaves (
    leaf_index     bigint PRIMARY KEY CHECK (leaf_index >= 0),
    prediction_id  uuid NOT NULL UNIQUE,
    leaf_hash      bytea NOT NULL CHECK (octet_length(leaf_hash) = 32)
);

-- Every complete subtree's hash, leaves included, in the order in which they come to be (Crosby and Wallach 2009,
-- section 3.3): reads of a proof are reads by primary key.
CREATE TABLE audit_hashes (
    position       bigint PRIMARY KEY CHECK (position >= 0),
    hash           bytea NOT NULL CHECK (octet_length(hash) = 32)
);

-- Every signed tree head, as it was published (c2sp.org/tlog-checkpoint).
CREATE TABLE audit_checkpoints (
    tree_size      bigint PRIMARY KEY CHECK (tree_size >= 0),
    root_hash      bytea NOT NULL CHECK (octet_length(root_hash) = 32),
    note           text NOT NULL,
    signed_at      timestamptz NOT NULL DEFAULT clock_timestamp()
);

DO $$
DECLARE
    written_once text;
BEGIN
    FOREACH written_once IN ARRAY ARRAY['audit_leaves', 'audit_hashes', 'audit_checkpoints'] LOOP
        EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE OR DELETE OR TRUNCATE ON %I '
            'FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', written_once || '_append_only', written_once);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER %I', written_once, written_once || '_append_only');
    END LOOP;
END
$$;
