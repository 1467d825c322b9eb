-- Who may do what. Groups without a login: a deployment grants them to its users. The owner is whoever migrates.
--   cxr_writer   the service: adds rows, moves leaves into the tree
--   cxr_auditor  reads everything and changes nothing
--   cxr_monitor  sees how much there is and how old, and no row

DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['cxr_writer', 'cxr_auditor', 'cxr_monitor'] LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = role);
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        EXCEPTION
            -- Roles belong to the cluster: another database's migration may have been faster.
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE EXCEPTION 'the role % does not exist, and % may not create it', role, current_user
                    USING HINT = format('as a superuser: CREATE ROLE %I NOLOGIN; or give this user CREATEROLE', role);
        END;
    END LOOP;
END
$$;

-- Every access to a row beyond the answer itself.
CREATE TABLE audit_reads (
    id          uuid PRIMARY KEY,
    read_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    request_id  text NOT NULL,
    actor       text NOT NULL,
    -- What was asked for: the route and its filters, without what would name a patient.
    query       jsonb NOT NULL CHECK (jsonb_typeof(query) = 'object'),
    -- How many rows were given; none where it is not known when the answer begins.
    n_rows      bigint CHECK (n_rows >= 0)
);
CREATE INDEX audit_reads_read_at ON audit_reads (read_at);
CREATE TRIGGER audit_reads_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_reads
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE audit_reads ENABLE ALWAYS TRIGGER audit_reads_append_only;

CREATE VIEW prediction_counts AS
    SELECT date_trunc('hour', received_at) AS hour, outcome, decision, model_version, count(*) AS n, max(recorded_at) AS newest
    FROM predictions GROUP BY 1, 2, 3, 4;

DO $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO cxr_writer, cxr_auditor, cxr_monitor', current_schema());
END
$$;
GRANT INSERT ON predictions, shadow_predictions, audit_reads TO cxr_writer;
GRANT SELECT, INSERT, DELETE ON audit_pending TO cxr_writer;
GRANT SELECT, INSERT ON audit_leaves, audit_hashes, audit_checkpoints TO cxr_writer;
GRANT SELECT ON _sqlx_migrations, predictions_months TO cxr_writer;
REVOKE ALL ON FUNCTION make_months(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION make_months(integer) TO cxr_writer;
GRANT SELECT ON predictions, shadow_predictions, audit_pending, audit_leaves, audit_hashes, audit_checkpoints, audit_reads,
    predictions_months, prediction_counts, _sqlx_migrations TO cxr_auditor;
GRANT SELECT ON prediction_counts, predictions_months, _sqlx_migrations TO cxr_monitor;
