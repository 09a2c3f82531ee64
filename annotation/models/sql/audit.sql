-- The audit log. Triggers write the log, so it also covers bulk updates, commands and manual SQL. Entries are
-- never rewritten.
--
-- To audit another table, add `SELECT rankloop_audit_table('the_table')` here or in the SQL files of its app.

CREATE TABLE IF NOT EXISTS annotation_auditentry (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL,
    action varchar(10) NOT NULL,
    "table" text NOT NULL,
    row_id text NOT NULL,
    project_id uuid,
    before jsonb,
    after jsonb
);
-- Each index serves one query: the newest entries of a project, of an actor or of a row, or the entries of a
-- period.
CREATE INDEX IF NOT EXISTS audit_of_project ON annotation_auditentry (project_id, id);
CREATE INDEX IF NOT EXISTS audit_of_actor ON annotation_auditentry (actor, id);
CREATE INDEX IF NOT EXISTS audit_of_row ON annotation_auditentry (row_id, id);
CREATE INDEX IF NOT EXISTS audit_by_time ON annotation_auditentry (at);
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON annotation_auditentry
    FOR EACH ROW EXECUTE FUNCTION rankloop_refuse_change();
CREATE OR REPLACE TRIGGER append_only_as_a_whole BEFORE TRUNCATE ON annotation_auditentry
    FOR EACH STATEMENT EXECUTE FUNCTION rankloop_refuse_change();

-- Returns the actor set by the application for this transaction, otherwise the database account (psql, a
-- script).
CREATE OR REPLACE FUNCTION rankloop_actor() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT COALESCE(NULLIF(current_setting('rankloop.actor', true), ''), 'database:' || session_user)
$$;

-- The trigger's first argument lists columns whose values are never logged, such as a password hash. For
-- these columns, an entry records only that the value changed. The second argument lists columns whose
-- changes are not logged, such as the time when a token was last used.
CREATE OR REPLACE FUNCTION rankloop_audit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    unseen text[] := COALESCE(TG_ARGV[0], '{}')::text[];
    ignored text[] := COALESCE(TG_ARGV[1], '{}')::text[];
    was jsonb;
    became jsonb;
    either jsonb;
    col text;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO annotation_auditentry (actor, action, "table", row_id)
        VALUES (rankloop_actor(), 'truncate', TG_TABLE_NAME, '');
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN was := to_jsonb(OLD) - ignored; END IF;
    IF TG_OP <> 'DELETE' THEN became := to_jsonb(NEW) - ignored; END IF;
    either := COALESCE(became, was);
    IF TG_OP = 'UPDATE' THEN
        SELECT jsonb_object_agg(o.key, o.value), jsonb_object_agg(n.key, n.value) INTO was, became
          FROM jsonb_each(was) o JOIN jsonb_each(became) n ON n.key = o.key
         WHERE o.value IS DISTINCT FROM n.value;
        IF was IS NULL THEN RETURN NULL; END IF;
    ELSE
        was := jsonb_strip_nulls(was);
        became := jsonb_strip_nulls(became);
    END IF;
    FOREACH col IN ARRAY unseen LOOP
        IF was ? col THEN was := was || jsonb_build_object(col, '(not kept)'); END IF;
        IF became ? col THEN became := became || jsonb_build_object(col, '(not kept)'); END IF;
    END LOOP;
    INSERT INTO annotation_auditentry (actor, action, "table", row_id, project_id, before, after)
    VALUES (rankloop_actor(), lower(TG_OP), TG_TABLE_NAME, COALESCE(either ->> 'id', ''),
            (CASE TG_TABLE_NAME WHEN 'annotation_project' THEN either ->> 'id'
                                ELSE either ->> 'project_id' END)::uuid,
            was, became);
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION rankloop_audit_table(
    audited regclass, unseen text[] DEFAULT '{}', ignored text[] DEFAULT '{}'
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE OR REPLACE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW
                    EXECUTE FUNCTION rankloop_audit(%L, %L)', audited, unseen, ignored);
    EXECUTE format('CREATE OR REPLACE TRIGGER audit_truncate AFTER TRUNCATE ON %s FOR EACH STATEMENT
                    EXECUTE FUNCTION rankloop_audit()', audited);
END $$;

-- Called by a migration that stops auditing a table.
CREATE OR REPLACE FUNCTION rankloop_audit_table_no_more(audited regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('DROP TRIGGER audit ON %s', audited);
    EXECUTE format('DROP TRIGGER audit_truncate ON %s', audited);
END $$;

SELECT rankloop_audit_table('annotation_project', '{mixing_seed}');
SELECT rankloop_audit_table('annotation_membership');
SELECT rankloop_audit_table('annotation_exclusion');
-- Closing a reservation is not audited. An answer closes the reservation, and the ranking is the record of
-- the answer.
SELECT rankloop_audit_table('annotation_reservation', '{}', '{open}');
SELECT rankloop_audit_table('annotation_formversion');
SELECT rankloop_audit_table('annotation_user', '{password}', '{last_login}');
SELECT rankloop_audit_table('annotation_apitoken', '{digest}', '{last_used_at}');
-- A snapshot's card is not audited. The card only repeats data from the snapshot's row and file, and this
-- data never changes.
SELECT rankloop_audit_table('annotation_datasetsnapshot', '{}', '{card}');
SELECT rankloop_audit_table('annotation_webhookendpoint', '{encrypted_secret,encrypted_former_secret}',
                            '{failing_since}');
SELECT rankloop_audit_table('annotation_invitation', '{digest}');
SELECT rankloop_audit_table('annotation_taskproblem');
-- An entry about a second factor records that the factor was added, removed or changed, but never
-- the secret.
SELECT rankloop_audit_table('mfa_authenticator', '{data}', '{last_used_at}');
-- A new database runs this file before a migration creates these tables, and again afterwards.
SELECT rankloop_audit_table(to_regclass('annotation_accountevent'))
 WHERE to_regclass('annotation_accountevent') IS NOT NULL;
SELECT rankloop_audit_table(to_regclass('annotation_sitekey'), '{encrypted}')
 WHERE to_regclass('annotation_sitekey') IS NOT NULL;

-- A task's slots change with every claim and answer; assignments and rankings record these changes. The audit
-- log records only decisions that a person made about a task.
CREATE OR REPLACE TRIGGER audit AFTER UPDATE ON annotation_rankingtask FOR EACH ROW
    WHEN ((OLD.kind, OLD.priority, OLD.overlap, OLD.round)
            IS DISTINCT FROM (NEW.kind, NEW.priority, NEW.overlap, NEW.round)
        OR OLD.gold_tiers IS DISTINCT FROM NEW.gold_tiers
        OR (OLD.state <> NEW.state AND 'dropped' IN (OLD.state, NEW.state)))
    EXECUTE FUNCTION rankloop_audit('{}', '{open_slots,answered,moved_xid}');
CREATE OR REPLACE TRIGGER audit_delete AFTER DELETE ON annotation_rankingtask FOR EACH ROW
    EXECUTE FUNCTION rankloop_audit();
CREATE OR REPLACE TRIGGER audit_truncate AFTER TRUNCATE ON annotation_rankingtask FOR EACH STATEMENT
    EXECUTE FUNCTION rankloop_audit();

-- Rankings are append-only, so an entry does not need the content. An entry records only who added which
-- ranking. An import inserts thousands of rankings per statement. All rankings that one SQL statement writes
-- share one entry, which contains their number. Imported rankings can be identified by their import keys and
-- times.
CREATE OR REPLACE FUNCTION rankloop_audit_rankings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO annotation_auditentry (actor, action, "table", row_id, project_id, after)
    SELECT rankloop_actor(), 'insert', TG_TABLE_NAME, id::text, project_id, jsonb_strip_nulls(jsonb_build_object(
               'task_id', task_id, 'kind', kind, 'source', source, 'supersedes_id', supersedes_id))
      FROM added WHERE source <> 'import'
    UNION ALL
    SELECT rankloop_actor(), 'insert', TG_TABLE_NAME, '', project_id,
           jsonb_build_object('source', 'import', 'rows', count(*))
      FROM added WHERE source = 'import' GROUP BY project_id;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER audit AFTER INSERT ON annotation_ranking
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION rankloop_audit_rankings();
CREATE OR REPLACE TRIGGER audit_truncate AFTER TRUNCATE ON annotation_ranking FOR EACH STATEMENT
    EXECUTE FUNCTION rankloop_audit();

-- Skips are logged, because the annotator's next lease on the task overwrites the skip in the
-- assignment's row.
CREATE OR REPLACE TRIGGER audit_skip AFTER UPDATE OF state ON annotation_assignment FOR EACH ROW
    WHEN (NEW.state = 'skipped' AND OLD.state <> 'skipped')
    EXECUTE FUNCTION rankloop_audit('{}', '{token,draft,draft_version,shown_order}');
