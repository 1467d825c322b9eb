-- What a write relies on is checked by the write itself, in its own transaction: rows that a trigger swallowed, a commit that would not
-- be durable, and a clock that is wrong leave nothing behind, not even a leaf of a row that is not there.

-- Refuses the statement that it is called in. `kept` are rows that were inserted, `written` those that should have been; `sent_at` is the
-- service's clock when it sent the statement. Returns by how many seconds the service's clock is ahead.
CREATE FUNCTION check_write(tables text[], kept bigint[], written bigint[], sent_at timestamptz, most_s double precision)
    RETURNS double precision LANGUAGE plpgsql AS $$
DECLARE
    ahead_s double precision := extract(epoch FROM sent_at - statement_timestamp());
BEGIN
    FOR n IN 1 .. cardinality(tables) LOOP
        IF kept[n] <> written[n] THEN
            RAISE EXCEPTION 'table % kept % of % rows: a trigger or rule swallows them', tables[n], kept[n], written[n]
                USING ERRCODE = 'RW001';
        END IF;
    END LOOP;
    IF current_setting('synchronous_commit') <> 'on' THEN
        RAISE EXCEPTION 'synchronous_commit is %: a pooler or proxy drops the setting', current_setting('synchronous_commit')
            USING ERRCODE = 'RW002';
    END IF;
    IF abs(ahead_s) > most_s THEN
        RAISE EXCEPTION 'this process''s clock is % s % the database''s', round(abs(ahead_s)::numeric, 1),
            CASE WHEN ahead_s > 0 THEN 'ahead of' ELSE 'behind' END
            USING ERRCODE = 'RW003';
    END IF;
    RETURN ahead_s;
END
$$;

-- HMAC of the key, of what was sent, of the row's id and leaf, and of the answer, under a key of the service: whoever can only write to this
-- database cannot change what a retry is told. Rows from before have none, and are not given again.
ALTER TABLE idempotency_keys ADD COLUMN code bytea CHECK (octet_length(code) = 32);

-- As before, with its own insert counted.
CREATE OR REPLACE FUNCTION note_read(id uuid, query jsonb, n_rows bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO audit_reads (id, request_id, actor, query, n_rows) VALUES ($1, $1::text, 'database:' || session_user, $2, $3);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'table audit_reads kept 0 of 1 rows: a trigger or rule swallows them' USING ERRCODE = 'RW001';
    END IF;
END
$$;

-- As before, with two differences. It begins with the month of yesterday: ids come from the service's clock, which may be behind. And its own
-- insert is counted: retention would never find a month that is not in the list.
CREATE OR REPLACE FUNCTION make_months(ahead integer DEFAULT 3) RETURNS SETOF text
    LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout = '200ms' AS $$
DECLARE
    month timestamp := date_trunc('month', (clock_timestamp() - interval '1 day') AT TIME ZONE 'UTC');
    last  timestamp := date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC') + make_interval(months => least(ahead, 24));
    name  text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('make_months', 0));
    WHILE month <= last LOOP
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
            IF NOT FOUND THEN
                RAISE EXCEPTION 'table predictions_months kept 0 of 1 rows: a trigger or rule swallows them' USING ERRCODE = 'RW001';
            END IF;
            RETURN NEXT name;
        END IF;
        month := month + interval '1 month';
    END LOOP;
END
$$;
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION note_read(uuid, jsonb, bigint) SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION make_months(integer) SET search_path = %I, pg_temp', current_schema());
END
$$;
