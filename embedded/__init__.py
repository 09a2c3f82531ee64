"""Postgres, Valkey and every process of Rankloop on one machine: one supervisor, one state folder."""
