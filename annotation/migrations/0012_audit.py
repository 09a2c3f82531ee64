"""The audit log. Triggers write it, so bulk updates, commands and SQL by hand are in it too; nothing rewrites it.

An app audits a table of its own with `SELECT rankloop_audit_table('its_table')` in a migration.
"""

from django.db import migrations, models

TABLE = """
CREATE TABLE annotation_auditentry (
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
CREATE INDEX audit_of_project ON annotation_auditentry (project_id, id);  -- a project's log, newest first
CREATE INDEX audit_of_actor ON annotation_auditentry (actor, id);         -- what somebody did
CREATE INDEX audit_of_row ON annotation_auditentry (row_id, id);          -- what was done to something
CREATE INDEX audit_by_time ON annotation_auditentry (at);                 -- what was done at a time
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON annotation_auditentry
    FOR EACH ROW EXECUTE FUNCTION rankloop_refuse_change();
CREATE TRIGGER append_only_as_a_whole BEFORE TRUNCATE ON annotation_auditentry
    FOR EACH STATEMENT EXECUTE FUNCTION rankloop_refuse_change();
"""

# The arguments are columns whose value is never written, only that it changed (a password's hash), and columns
# whose change is no event (when a token was last used).
FUNCTIONS = """
-- Who wrote: what the application said for this transaction, else the database account (psql, a script).
CREATE FUNCTION rankloop_actor() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT COALESCE(NULLIF(current_setting('rankloop.actor', true), ''), 'database:' || session_user)
$$;

CREATE FUNCTION rankloop_audit() RETURNS trigger LANGUAGE plpgsql AS $$
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

CREATE FUNCTION rankloop_audit_table(audited regclass, unseen text[] DEFAULT '{}', ignored text[] DEFAULT '{}')
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW
                    EXECUTE FUNCTION rankloop_audit(%L, %L)', audited, unseen, ignored);
    EXECUTE format('CREATE TRIGGER audit_truncate AFTER TRUNCATE ON %s FOR EACH STATEMENT
                    EXECUTE FUNCTION rankloop_audit()', audited);
END $$;

CREATE FUNCTION rankloop_audit_table_no_more(audited regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('DROP TRIGGER audit ON %s', audited);
    EXECUTE format('DROP TRIGGER audit_truncate ON %s', audited);
END $$;
"""

AUDITED = {
    "annotation_project": ", '{mixing_seed}'",
    "annotation_membership": "",
    "annotation_exclusion": "",
    # An answer closes the reservation: the ranking tells of that.
    "annotation_reservation": ", '{}', '{open}'",
    "annotation_formversion": "",
    "annotation_user": ", '{password}', '{last_login}'",
    "annotation_apitoken": ", '{digest}', '{last_used_at}'",
    # The card repeats the row and the file; both stay as they are for ever.
    "annotation_datasetsnapshot": ", '{}', '{card}'",
}

# A task's slots change with every claim and answer: those are told by assignments and rankings. What is kept
# here is what somebody decided about a task.
TASKS = """
CREATE TRIGGER audit AFTER UPDATE ON annotation_rankingtask FOR EACH ROW
    WHEN ((OLD.kind, OLD.priority, OLD.overlap, OLD.round)
            IS DISTINCT FROM (NEW.kind, NEW.priority, NEW.overlap, NEW.round)
        OR OLD.gold_tiers IS DISTINCT FROM NEW.gold_tiers
        OR (OLD.state <> NEW.state AND 'dropped' IN (OLD.state, NEW.state)))
    EXECUTE FUNCTION rankloop_audit('{}', '{open_slots,answered,moved_xid}');
CREATE TRIGGER audit_delete AFTER DELETE ON annotation_rankingtask FOR EACH ROW
    EXECUTE FUNCTION rankloop_audit();
CREATE TRIGGER audit_truncate AFTER TRUNCATE ON annotation_rankingtask FOR EACH STATEMENT
    EXECUTE FUNCTION rankloop_audit();
"""

# Rankings are append-only themselves, so an entry says who put which one there, not what it says. Imported ones
# come by the thousand per statement: one entry with their number; their import keys and times tell them apart.
RANKINGS = """
CREATE FUNCTION rankloop_audit_rankings() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER audit AFTER INSERT ON annotation_ranking
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION rankloop_audit_rankings();
CREATE TRIGGER audit_truncate AFTER TRUNCATE ON annotation_ranking FOR EACH STATEMENT
    EXECUTE FUNCTION rankloop_audit();
"""

ATTACH = "".join(f"SELECT rankloop_audit_table('{table}'{seen});\n" for table, seen in AUDITED.items())
DETACH = "".join(f"SELECT rankloop_audit_table_no_more('{table}');\n" for table in AUDITED)


class Migration(migrations.Migration):
    dependencies = [("annotation", "0011_allocation_triggers")]

    operations = [
        migrations.CreateModel(
            name="AuditEntry",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField()),
                ("actor", models.TextField()),
                ("action", models.CharField(choices=[("insert", "Insert"), ("update", "Update"), ("delete", "Delete"), ("truncate", "Truncate")], max_length=10)),
                ("table", models.TextField()),
                ("row_id", models.TextField(help_text="Empty: of many rows at once, which `after` counts.")),
                ("project_id", models.UUIDField(null=True)),
                ("before", models.JSONField(null=True)),
                ("after", models.JSONField(null=True)),
            ],
            options={"db_table": "annotation_auditentry", "managed": False},
        ),
        migrations.RunSQL(TABLE, "DROP TABLE annotation_auditentry;"),
        migrations.RunSQL(
            FUNCTIONS,
            "DROP FUNCTION rankloop_audit_table, rankloop_audit_table_no_more, rankloop_audit, rankloop_actor;",
        ),
        migrations.RunSQL(ATTACH, DETACH),
        migrations.RunSQL(
            TASKS,
            "DROP TRIGGER audit ON annotation_rankingtask; DROP TRIGGER audit_delete ON annotation_rankingtask; "
            "DROP TRIGGER audit_truncate ON annotation_rankingtask;",
        ),
        migrations.RunSQL(
            RANKINGS,
            "DROP TRIGGER audit ON annotation_ranking; DROP TRIGGER audit_truncate ON annotation_ranking; "
            "DROP FUNCTION rankloop_audit_rankings;",
        ),
    ]
