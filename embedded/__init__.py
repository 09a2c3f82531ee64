"""Postgres, Valkey and all of Rankloop's processes on one machine, under one supervisor."""
