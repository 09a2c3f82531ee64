"""The settings of the site, with additional views that fail."""

from config.settings import *  # noqa: F403

ROOT_URLCONF = "tests.config.logs.faulty_urls"
