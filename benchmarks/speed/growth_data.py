"""Fills an empty, migrated database with people and their to-dos, as if they had lived with Banyan for a year.

Streams, positions, events, inboxes and read models agree, so `banyan events verify` finds nothing. A person's to-dos lie far
apart, as they do when many people write at the same time: in the table the first to-do of everybody comes before the
second of anybody.

Rows are made by the database itself and loaded by COPY into tables without indexes, which are built afterwards.
"""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

TODOS_EACH = 10
YEAR = timedelta(days=360)
LOOK_SECONDS = 10.0
# Of the loading session alone.
LOADING = "SET maintenance_work_mem = '1GB'; SET max_parallel_maintenance_workers = 2"

# Functions of one expression that names each parameter once, and of immutable parts: PostgreSQL then puts the expression in the place of
# the call. As calls, a hundred million of them, they would be most of the time.
# Person k of {people} registers in the first month of the year. To-do n of person k has the number (n - 1) * {people} + k;
# to-dos are written in the eleven months after that, in the order of their numbers.
_FUNCTIONS = """
CREATE SCHEMA made;
CREATE FUNCTION made.registered(k bigint) RETURNS timestamp LANGUAGE sql IMMUTABLE AS $$
  SELECT timestamp '{start}' + k * (interval '30 days' / {people})
$$;
CREATE FUNCTION made.written(number bigint) RETURNS timestamp LANGUAGE sql IMMUTABLE AS $$
  SELECT timestamp '{start}' + interval '30 days' + number * (interval '330 days' / ({people}::bigint * {each}))
$$;
CREATE FUNCTION made.id(at timestamp, kind text, number bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT overlay(overlay(
           lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || substr(md5(kind || number::text), 1, 18)
           PLACING '7' FROM 13 FOR 0) PLACING '8' FROM 17 FOR 0)::uuid::text
$$;
CREATE FUNCTION made.text(at timestamp) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
$$;
"""
_PEOPLE = """
  SELECT k, at, made.id(at, 'user', k) AS user_id, made.text(at) AS at_text,
         made.id(at, 'welcome', k) AS event_id, made.id(at, 'session', k) AS session_id
    FROM (SELECT k, made.registered(k) AS at FROM generate_series(1, {people}) AS k) AS people
"""
_TODOS = """
  SELECT k, n, number, made.id(registered, 'user', k) AS user_id, made.id(registered, 'session', k) AS session_id,
         made.id(at, 'todo', number) AS id, at, made.text(at) AS at_text,
         'Water the banyan of day ' || number AS title,
         n % 3 = 2 AS completed,
         CASE WHEN n % 5 = 0 THEN made.text(timestamp '{end}' + (number % 31536000) * interval '1 second') END AS due_at
    FROM (SELECT k, n, number, made.registered(k) AS registered, made.written(number) AS at
            FROM generate_series(1, {each}) AS n, generate_series(1, {people}) AS k,
                 LATERAL (SELECT (n - 1) * {people}::bigint + k AS number) AS numbered) AS numbers
"""
_QUOTED = "coalesce('\"' || {} || '\"', 'null')"

_ROWS: dict[str, str] = {
    "users": """
      SELECT user_id, 'Person ' || k AS name, 'person-' || k || '@example.org' AS email, true AS email_verified,
             '$argon2id$v=19$m=19456,t=2,p=1$Mieps0qcvZUCkYhQ1hqyKQ$MpTQjuzvVaHpbPy7PWR6UalDc7L4I4n2n3oHSv6nclY'
               AS password_hash,
             'user' AS role, 'en' AS locale, 'UTC' AS time_zone, NULL AS avatar_url,
             'person ' || k || chr(10) || 'person-' || k || '@example.org' AS search_text,
             at_text AS created_at, at_text AS updated_at, NULL AS disabled_at
        FROM ({people_rows}) AS p""",
    "emails": "SELECT 'person-' || k || '@example.org' AS email_key, user_id FROM ({people_rows}) AS p",
    "sessions": """
      SELECT user_id, session_id AS id, 'A browser' AS device, '127.0.0.1' AS address, at_text AS created_at,
             made.text(timestamp '{end}') AS last_used_at,
             made.text(timestamp '{end}' + interval '20 days' + k * interval '1 second' / 2) AS expires_at,
             md5('one' || k) || md5('two' || k) AS refresh_digest, NULL AS previous_digest, at_text AS rotated_at
        FROM ({people_rows}) AS p""",
    "notifications": """
      SELECT user_id, event_id AS id, 1 AS created_position, 'welcome' AS kind, 'Welcome to Banyan' AS title,
             'Add your first to-do.' AS message, '{{}}' AS data, NULL AS read_at, at_text AS created_at
        FROM ({people_rows}) AS p""",
    "deliveries": """
      SELECT user_id, event_id AS notification_id, made.id(at, 'delivery', k) AS id, 'in_app' AS channel,
             'delivered' AS status, 1 AS attempt, at_text AS at, NULL AS due_at, NULL AS error, NULL AS channel_id
        FROM ({people_rows}) AS p""",
    # Sent ones are forgotten after a month.
    "outgoing_mails": """
      SELECT user_id, made.id(at, 'mail', k) AS id, 'person-' || k || '@example.org' AS to_address,
             'Confirm your e-mail address' AS subject, '' AS text, NULL AS html, 'sent' AS state, 1 AS attempts,
             made.text(timestamp '{end}' - k * (interval '29 days' / {people})) AS next_try_at, NULL AS error
        FROM ({people_rows}) AS p WHERE k % 2 = 0""",
    "streams": """
      SELECT user_id, stream, position FROM ({people_rows}) AS p,
             (VALUES ('notifications', 1), ('todos', {each}), ('users', 2)) AS streams (stream, position)""",
    "inbox": """
      SELECT user_id, stream, consumer, position FROM ({people_rows}) AS p,
             (VALUES ('users', 'notifications', 1), ('todos', 'todo-stats', {each}))
               AS inboxes (stream, consumer, position)""",
    "todos": """
      SELECT user_id, id, n AS created_position, title, completed, NULL AS "order", NULL AS notes, due_at,
             NULL AS remind_at, CASE WHEN NOT completed THEN due_at END AS next_reminder_at, 0 AS priority,
             '[]' AS labels, NULL AS list_id, at_text AS created_at, at_text AS updated_at,
             CASE WHEN completed THEN at_text END AS completed_at, 1 AS version
        FROM ({todo_rows}) AS t""",
    "todo_stats_items": """
      SELECT user_id, id AS todo_id, completed, due_at, CASE WHEN completed THEN substr(at_text, 1, 10) END AS completed_on
        FROM ({todo_rows}) AS t""",
    "todo_stats_days": """
      SELECT user_id, substr(at_text, 1, 10) AS day, 1 AS completed FROM ({todo_rows}) AS t WHERE completed""",
    "events": """
      SELECT (e - 1) * {people}::bigint + k AS sequence,
             CASE e WHEN 1 THEN event_id ELSE made.id(at, 'event' || e, k) END AS id, user_id,
             CASE e WHEN 3 THEN 'notifications' ELSE 'users' END AS stream,
             CASE e WHEN 2 THEN 2 ELSE 1 END AS position,
             CASE e WHEN 1 THEN 'UserRegistered' WHEN 2 THEN 'SessionStarted' ELSE 'NotificationCreated' END AS type,
             CASE e WHEN 1 THEN user_id WHEN 2 THEN session_id ELSE event_id END AS subject,
             CASE e WHEN 1 THEN '{{"id":"' || user_id || '","name":"Person ' || k || '","email":"person-' || k
               || '@example.org","email_verified":true,"locale":"en","time_zone":"UTC","avatar_url":null,"role":"user",'
               || '"created_at":"' || at_text || '","updated_at":"' || at_text || '"}}'
             WHEN 2 THEN '{{"device":"A browser","created_at":"' || at_text || '"}}'
             ELSE '{{"id":"' || event_id || '","kind":"welcome","title":"Welcome to Banyan","message":"Add your first to-do.",'
               || '"data":{{}},"read":false,"read_at":null,"created_at":"' || at_text || '"}}' END AS data,
             NULL AS actor, at_text AS at, NULL AS trace
        FROM ({people_rows}) AS p, generate_series(1, 3) AS e
      UNION ALL
      SELECT 3 * {people}::bigint + number, made.id(at, 'event', number), user_id, 'todos', n, 'TodoCreated', id,
             '{{"id":"' || id || '","title":"' || title || '","completed":' || completed::text
               || ',"order":null,"notes":null,"due_at":' || {due} || ',"remind_at":null,"priority":0,"labels":[],'
               || '"list_id":null,"created_at":"' || at_text || '","updated_at":"' || at_text || '","completed_at":'
               || CASE WHEN completed THEN '"' || at_text || '"' ELSE 'null' END || ',"version":1}}',
             session_id, at_text, NULL
        FROM ({todo_rows}) AS t""",
}

_AFTERWARDS = """
SELECT setval('events_sequence_seq', (SELECT max(sequence) FROM events));
INSERT INTO bookmarks (reader, sequence) VALUES ('relay', (SELECT max(sequence) FROM events))
  ON CONFLICT (reader) DO UPDATE SET sequence = excluded.sequence;
"""
_COLUMNS = """
SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) || chr(9)
       || string_agg(quote_ident(attname) || '::' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum) FROM pg_attribute
 WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped
"""
_INDEXES = """
SELECT 'ALTER TABLE ' || conrelid::regclass || ' DROP CONSTRAINT ' || quote_ident(conname) || chr(9)
       || 'ALTER TABLE ' || conrelid::regclass || ' ADD CONSTRAINT ' || quote_ident(conname) || ' ' || pg_get_constraintdef(oid)
  FROM pg_constraint WHERE conrelid = '{table}'::regclass AND contype IN ('p', 'u')
UNION ALL
SELECT 'DROP INDEX ' || indexname || chr(9) || indexdef FROM pg_indexes
 WHERE tablename = '{table}' AND indexname NOT IN (SELECT conname FROM pg_constraint WHERE conrelid = '{table}'::regclass)
"""


@dataclass(frozen=True, slots=True)
class Filled:
    """seconds: how long it took. bytes_on_disk: of tables and indexes."""

    people: int
    todos: int
    seconds: float
    bytes_on_disk: int


def fill(psql: Path, url: str, people: int, *, until: date) -> Filled:
    """Fill the database at `url`, which must be migrated and empty.

    psql: the program. until: the day on which the year of data ends.
    """
    began = time.monotonic()
    run = _Psql(psql, url)
    facts: dict[str, object] = {
        "start": until - YEAR,
        "end": until,
        "people": people,
        "each": TODOS_EACH,
        "due": _QUOTED.format("due_at"),
    }
    run.script(_FUNCTIONS.format(**facts))
    for name, template in (("people_rows", _PEOPLE), ("todo_rows", _TODOS)):
        facts[name] = template.format(**facts)
    for table, rows in _ROWS.items():
        run.load(table, rows.format(**facts))
    run.script(_AFTERWARDS)
    # Statistics for the planner; the rows are frozen already.
    run.script("ANALYZE")
    size = int(run.value("SELECT pg_database_size(current_database())"))
    return Filled(people, people * TODOS_EACH, time.monotonic() - began, size)


_SOME = """
SELECT made.id(made.registered(k), 'user', k), made.id(made.written((n - 1) * {people} + k), 'todo', (n - 1) * {people} + k)
  FROM unnest(ARRAY[{numbers}]::bigint[], ARRAY[{which}]::bigint[]) AS asked (k, n)
"""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody of the data, and one of their to-dos."""

    user_id: str
    todo_id: str


def some_people(psql: Path, url: str, people: int, numbers: Sequence[int]) -> list[Person]:
    """People by their numbers, from 1 to `people`, each with another of their to-dos. No table is read, so none is warmed."""
    which = ",".join(str(place % TODOS_EACH + 1) for place in range(len(numbers)))
    query = _SOME.format(people=people, numbers=",".join(map(str, numbers)), which=which)
    return [Person(*line.split("|")) for line in _Psql(psql, url).value(query).splitlines()]


class _Psql:
    """The statements, by way of psql: it pipes what COPY makes into what COPY takes."""

    def __init__(self, program: Path, url: str) -> None:
        self._words = [str(program), url, "-XAtq", "-v", "ON_ERROR_STOP=1"]

    def script(self, text: str) -> None:
        subprocess.run(self._words, input=text, text=True, check=True, stdout=subprocess.DEVNULL)

    def value(self, query: str) -> str:
        # By way of its input: a query with many numbers in it is too long for an argument.
        done = subprocess.run(self._words, input=query, text=True, check=True, stdout=subprocess.PIPE)
        return done.stdout.strip()

    def load(self, table: str, rows: str) -> None:
        """Replace a table's rows by those of a query, which has its columns in any order."""
        began = time.monotonic()
        indexes = [line.split("\t") for line in self.value(_INDEXES.format(table=table)).splitlines()]
        columns, typed = self.value(_COLUMNS.format(table=table)).split("\t")
        # TRUNCATE in the transaction of COPY: nothing goes through the write-ahead log, and rows arrive frozen.
        steps = [LOADING, "BEGIN", f"TRUNCATE {table}", *(drop for drop, _ in indexes)]
        steps += [
            f"COPY {table} ({columns}) FROM STDIN (FREEZE, FORMAT binary)",
            *(make for _, make in indexes),
            "COMMIT",
        ]
        making = subprocess.Popen(
            [*self._words, "-c", f"COPY (SELECT {typed} FROM ({rows}) AS made) TO STDOUT (FORMAT binary)"],
            stdout=subprocess.PIPE,
        )
        taking = subprocess.Popen(
            [*self._words, *(word for step in steps for word in ("-c", step))], stdin=making.stdout
        )
        assert making.stdout is not None
        making.stdout.close()
        for progress in self._progress(taking):
            print(f"    {table}: {progress}", file=sys.stderr, flush=True)
        if making.wait() or taking.wait():
            raise SystemExit(f"The table {table} could not be filled.")
        print(f"  {table}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)

    def _progress(self, loading: "subprocess.Popen[bytes]") -> Iterator[str]:
        while True:
            try:
                loading.wait(LOOK_SECONDS)
                return
            except subprocess.TimeoutExpired:
                rows = self.value(
                    "SELECT tuples_processed FROM pg_stat_progress_copy WHERE command = 'COPY FROM'"
                )
                yield f"{int(rows):,} rows" if rows else "indexes"
