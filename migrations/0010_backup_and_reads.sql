-- Who may do what, two additions to 0005.
--   cxr_backup  reads every table for pg_dump: the auditor may not read `subjects` and `idempotency_keys`, nor a month by its own name.
--               Its dumps hold the keys of the subjects: keep them as the database itself.
-- And whoever reads the log without the service writes that down as well.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'cxr_backup') THEN
        CREATE ROLE cxr_backup NOLOGIN;
    END IF;
EXCEPTION
    -- Roles belong to the cluster: another database's migration may have been faster.
    WHEN duplicate_object OR unique_violation THEN NULL;
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'the role cxr_backup does not exist, and % may not create it', current_user
            USING HINT = 'as a superuser: CREATE ROLE cxr_backup NOLOGIN; or give this user CREATEROLE';
END
$$;

-- Not pg_read_all_data, which only a superuser can give and which reads every database of the cluster. What the owner makes later,
-- months above all, is readable from the start.
DO $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO cxr_backup', current_schema());
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO cxr_backup', current_schema());
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT SELECT ON TABLES TO cxr_backup', current_schema());
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT SELECT ON SEQUENCES TO cxr_backup', current_schema());
END
$$;

-- As its owner: the auditor writes nothing else into audit_reads, and cannot give another name or moment than its own.
CREATE FUNCTION note_read(id uuid, query jsonb, n_rows bigint) RETURNS void
    LANGUAGE sql SECURITY DEFINER AS $$
    INSERT INTO audit_reads (id, request_id, actor, query, n_rows) VALUES ($1, $1::text, 'database:' || session_user, $2, $3)
$$;
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION note_read(uuid, jsonb, bigint) SET search_path = %I, pg_temp', current_schema());
END
$$;
REVOKE ALL ON FUNCTION note_read(uuid, jsonb, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION note_read(uuid, jsonb, bigint) TO cxr_auditor, cxr_writer;
