"""The test users, the same in every test, and a small project in which they work.

`alice` and `ben` annotate, `rita` reviews, `mona` manages, and `ada` is the site's admin. `oscar` is a member
of no project and must see nothing.
"""

from __future__ import annotations

import gc
import importlib
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from urllib.parse import urlencode

import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import connection, transaction
from django.test import TransactionTestCase, override_settings
from rest_framework.test import APIClient

from annotation.accounts.members import add_member
from annotation.content import adding
from annotation.content.drafts import ResponseDraft, TaskDraft
from annotation.models import Project, RankingTask, User
from annotation.models.project import Role
from annotation.projects.projects import create_project

PASSWORD = "correct horse battery"
MOST_BYTES = 64 * 1024
# These files run first and in this order. If the longest file ran last, the other workers would be idle in
# the meantime. The first file creates the demo, which takes two minutes. The second file does not need the
# demo and can run in the meantime.
LONGEST_FIRST = (
    "test_readme_commands.py",
    "test_api_keeps_its_schema.py",
    "test_whole_loop.py",
    "test_training_process.py",
    "test_several_processes_of_policies.py",
    "test_real_data_loop.py",
    "test_every_page.py",
    "test_cockpit.py",
    "test_manager.py",
    "test_supervisor.py",
    "test_interrupted_runs.py",
    "test_run_kinds.py",
    "test_outages.py",
    "test_cost.py",
    "test_checkpoints.py",
    "test_commands.py",
    "test_desk.py",
    "test_forms.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Makes each of n workers start its imports at a different place in the list of test modules.

    Every worker imports all test modules. In a fresh clone, the first import of a module also compiles it and
    rewrites its assertions. These two steps take half of the import time. If all workers imported the modules
    in the same order, each worker would compile every module. A worker that imports a module later reads the
    compiled file.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    everything = collector.config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if workers == 1 or not everything or not isinstance(collector, pytest.Session):
        return
    worker = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw"))
    root = collector.config.rootpath
    files = sorted(file for path in collector.config.args for file in (root / path).rglob("test_*.py"))
    modules = [".".join(file.relative_to(root).with_suffix("").parts) for file in files]
    start = len(modules) * worker // workers
    for name in modules[start:] + modules[:start]:
        with suppress(Exception, pytest.skip.Exception):  # reported when the module is collected
            importlib.import_module(name)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Excludes all modules and tests from garbage collection.

    The modules and tests consist of 900,000 objects, and each full collection would visit all of these
    objects. These visits took a sixth of the processor time of the API tests, and a quarter of the time for
    importing the test modules.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def quick_settings() -> Iterator[None]:
    """Makes requests and logins fast, because the tests make thousands of them.

    Passwords are hashed with MD5, because the real password hash is slow on purpose. The real hash stays
    available, because processes that tests start use it. The page is treated as not built. Every test client
    loads the middleware, which would otherwise read all of the page's files and take 10 ms.
    """
    quick = "django.contrib.auth.hashers.MD5PasswordHasher"
    unbuilt = settings.BASE_DIR / "frontend" / "unbuilt"
    with override_settings(PASSWORD_HASHERS=[quick, *settings.PASSWORD_HASHERS], FRONTEND=unbuilt):
        yield


@pytest.fixture(autouse=True, scope="session")
def quick_cleaning() -> Iterator[None]:
    """After a transactional test, deletes the rows of all tables that have rows.

    By default, Django truncates all tables, and creates the content types and permissions again. Truncating
    replaces the files of every table and index. Truncating takes 40 ms of processor time in the test process
    alone; deleting takes 1 ms. Deleted rows keep their space, and larger tables would change the query plans
    that some tests check. If a table has grown, all tables are therefore truncated.
    """
    truncate = TransactionTestCase._fixture_teardown  # type: ignore[attr-defined]

    def clean(test: TransactionTestCase) -> None:
        if not _delete_all_rows():
            truncate(test)

    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(TransactionTestCase, "_fixture_teardown", clean)
        yield


def _delete_all_rows() -> bool:
    """Deletes all rows except content types and permissions, and returns True. If a table has grown beyond
    MOST_BYTES, deletes nothing and returns False."""
    quote = connection.ops.quote_name
    names = connection.introspection.django_table_names(only_existing=True, include_views=False)
    names = sorted(set(names) - {"django_content_type", "auth_permission"})
    with_rows = " UNION ALL ".join(
        f"SELECT %s AS name WHERE EXISTS (SELECT FROM {quote(name)})" for name in names
    )
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SELECT name, pg_relation_size(name::regclass) FROM ({with_rows}) AS filled", names)
        sizes = dict(cursor.fetchall())
        if max(sizes.values(), default=0) > MOST_BYTES:
            return False
        # Disable foreign keys and triggers, because some of them refuse to delete rows.
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("".join(f"DELETE FROM {quote(name)};" for name in sizes) or "SELECT")
    return True


@pytest.fixture
def alice(db: None) -> User:
    return _person("alice")


@pytest.fixture
def ben(db: None) -> User:
    return _person("ben")


@pytest.fixture
def rita(db: None) -> User:
    return _person("rita")


@pytest.fixture
def mona(db: None) -> User:
    return _person("mona")


@pytest.fixture
def ada(db: None) -> User:
    return _person("ada", is_superuser=True)


@pytest.fixture
def oscar(db: None) -> User:
    return _person("oscar")


def _person(name: str, *, is_superuser: bool = False) -> User:
    # Hashing a password takes longer than most tests. Login tests set their own passwords.
    user = User(username=name, is_superuser=is_superuser)
    user.set_unusable_password()
    user.save()
    return user


@pytest.fixture
def project(alice: User, ben: User, rita: User, mona: User) -> Project:
    """The project `support`, with overlap 1, the preset `ranking` and no content."""
    project = create_project(slug="support", name="Support", preset="ranking")
    for user, role in (
        (alice, Role.ANNOTATOR),
        (ben, Role.ANNOTATOR),
        (rita, Role.REVIEWER),
        (mona, Role.MANAGER),
    ):
        add_member(project=project, user=user, role=role)
    return project


@pytest.fixture
def add_tasks() -> Callable[..., list[RankingTask]]:
    """add_tasks(project, n, k=3, **settings of add_ranking_tasks): the project's tasks, oldest first.

    Response i of every task comes from `model-i`.
    """

    def add(project: Project, n: int, k: int = 3, **settings: int) -> list[RankingTask]:
        drafts = [
            TaskDraft(
                messages=[{"role": "user", "content": f"Where is my order {number}?"}],
                responses=[ResponseDraft(f"Order {number} is in depot {i}.", f"model-{i}") for i in range(k)],
            )
            for number in range(n)
        ]
        adding.add_ranking_tasks(project=project, items=drafts, **settings)
        return list(RankingTask.objects.filter(project=project).order_by("id"))

    return add


@pytest.fixture
def tasks(project: Project, add_tasks: Callable[..., list[RankingTask]]) -> list[RankingTask]:
    """Four tasks with three responses each, one from each of model-0, model-1 and model-2."""
    return add_tasks(project, 4)


@pytest.fixture
def client_of() -> Callable[[User | None], APIClient]:
    """client_of(user): an API client with the user's session. If the user is None, the client is not logged
    in."""

    def client(user: User | None) -> APIClient:
        api = APIClient()
        if user is not None:
            api.force_login(user)
        return api

    return client


@pytest.fixture
def empty_cache(db: None) -> None:
    """Clears the cache. Django does not empty the cache table after a transactional test, because the table
    belongs to no model."""
    cache.clear()


@pytest.fixture
def test_database(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make processes started by a test use the test database and one torch thread."""
    name_test_database(monkeypatch)


def name_test_database(environment: pytest.MonkeyPatch) -> None:
    settings = connection.settings_dict
    query = urlencode({"host": settings["HOST"]})
    environment.setenv("DATABASE_URL", f"postgresql://{settings['USER']}@/{settings['NAME']}?{query}")
    environment.setenv("OMP_NUM_THREADS", "1")
