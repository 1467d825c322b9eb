-- A leaf binds its row's id and digest (encoding version 4): what is left of a row that retention took still shows how old
-- it was. And only a leaf that bears the service's own code gets a place: who can merely write to this database adds nothing.

ALTER TABLE audit_pending
    -- SHA-256 of the row's canonical form; the leaf is made of it and the id.
    ADD COLUMN row_hash bytea CHECK (octet_length(row_hash) = 32),
    -- HMAC of the leaf under a key of the service.
    ADD COLUMN code     bytea CHECK (octet_length(code) = 32);
ALTER TABLE audit_leaves ADD COLUMN row_hash bytea CHECK (octet_length(row_hash) = 32);

-- As before, but without a lock that stops predictions while somebody reads: the month is made beside the log and attached to it. What
-- cannot have its lock at once is tried again later; the months are made long before they are needed.
CREATE OR REPLACE FUNCTION make_months(ahead integer DEFAULT 3) RETURNS SETOF text
    LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout = '200ms' AS $$
DECLARE
    month timestamp := date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC');
    name  text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('make_months', 0));
    FOR n IN 0 .. least(ahead, 24) LOOP
        name := 'predictions_' || to_char(month, 'YYYY_MM');
        -- Rows from before the months lie in a table that ends with the month in which it became one of them.
        IF to_regclass(name) IS NULL AND NOT EXISTS (
            SELECT FROM predictions_months WHERE month AT TIME ZONE 'UTC' >= starts AND month AT TIME ZONE 'UTC' < ends
        ) THEN
            EXECUTE format('CREATE TABLE %I (LIKE predictions INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)', name);
            -- A statement on the month itself does not fire the whole table's trigger.
            EXECUTE format('CREATE TRIGGER predictions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I '
                'FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name);
            EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER predictions_append_only', name);
            EXECUTE format('ALTER TABLE predictions ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name,
                first_id(month AT TIME ZONE 'UTC'), first_id((month + interval '1 month') AT TIME ZONE 'UTC'));
            INSERT INTO predictions_months VALUES
                (name, month AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC');
            RETURN NEXT name;
        END IF;
        month := month + interval '1 month';
    END LOOP;
END
$$;
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION make_months(integer) SET search_path = %I, pg_temp', current_schema());
END
$$;
