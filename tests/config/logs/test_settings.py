"""Invalid settings for logs and error reports are refused. The error names the setting but contains no secret
value."""

from __future__ import annotations

from pathlib import Path

from tests.config.test_production import SAFE, check


def test_unknown_log_level_is_refused(tmp_path: Path) -> None:
    refused = check(tmp_path, **SAFE, RANKLOOP_LOG_LEVEL="loud")
    assert refused.returncode != 0
    assert "RANKLOOP_LOG_LEVEL='LOUD' is invalid; use one of DEBUG, INFO, WARNING, ERROR." in refused.stderr


def test_invalid_dsn_is_refused_without_being_logged(tmp_path: Path) -> None:
    (tmp_path / "dsn").write_text("https://secretkey@/nowhere\n")
    refused = check(tmp_path / "state", **SAFE, SENTRY_DSN_FILE=str(tmp_path / "dsn"))
    assert refused.returncode != 0
    assert "SENTRY_DSN is not a valid DSN" in refused.stderr
    assert "secretkey" not in refused.stderr
