"""Reads a database's schema from the catalogs. Two schemas can then be compared even if their objects were
created in a different order."""

from __future__ import annotations

import psycopg

_OURS = "n.nspname = 'public'"
_PARTS = {
    "table": f"""
        SELECT c.relname, format('%s persistence=%s options=%s comment=%s',
               c.relkind, c.relpersistence, c.reloptions, obj_description(c.oid, 'pg_class'))
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p', 'v', 'm') AND {_OURS}""",
    "column": f"""
        SELECT c.relname || '.' || a.attname, format(
               '%s notnull=%s default=%s identity=%s generated=%s collation=%s storage=%s statistics=%s '
               'comment=%s',
               format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid),
               a.attidentity, a.attgenerated, a.attcollation::regcollation, a.attstorage, a.attstattarget,
               col_description(c.oid, a.attnum))
          FROM pg_attribute a
          JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'v', 'm')
          JOIN pg_namespace n ON n.oid = c.relnamespace
          LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
         WHERE a.attnum > 0 AND NOT a.attisdropped AND {_OURS}""",
    "constraint": f"""
        SELECT c.relname || '.' || k.conname, format(
               '%s validated=%s', pg_get_constraintdef(k.oid), k.convalidated)
          FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
          JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_OURS}""",
    "index": f"""
        SELECT c.relname, pg_get_indexdef(c.oid)
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('i', 'I') AND {_OURS}""",
    "trigger": f"""
        SELECT c.relname || '.' || t.tgname, format('%s enabled=%s', pg_get_triggerdef(t.oid), t.tgenabled)
          FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
          JOIN pg_namespace n ON n.oid = c.relnamespace WHERE NOT t.tgisinternal AND {_OURS}""",
    "function": f"""
        SELECT p.oid::regprocedure::text, pg_get_functiondef(p.oid)
          FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
         WHERE p.prokind IN ('f', 'p') AND {_OURS}""",
    "sequence": """
        SELECT sequencename, format('%s %s..%s start=%s by=%s cycle=%s cache=%s', data_type, min_value,
               max_value, start_value, increment_by, cycle, cache_size)
          FROM pg_sequences WHERE schemaname = 'public'""",
    "extension": "SELECT extname, extversion FROM pg_extension",
}


def schema_of(connection: psycopg.Connection) -> dict[str, str]:
    """Maps each object to its definition: {'column annotation_ranking.tiers': 'jsonb notnull=t …', …}."""
    return {
        f"{part} {name}": definition
        for part, query in _PARTS.items()
        for name, definition in connection.execute(query)
    }


def differences(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """Lists the objects that differ between the schemas or are missing from one, each with both
    definitions."""
    return [
        f"{name}:\n  - {one.get(name)}\n  + {other.get(name)}"
        for name in sorted(one.keys() | other.keys())
        if one.get(name) != other.get(name)
    ]
