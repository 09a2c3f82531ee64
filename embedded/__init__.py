"""Postgres, Valkey and all processes of Rankloop on one machine, under one supervisor."""
