"""The lean handlers of what every open client asks for again and again: the inbox and its count. See infra/http/hot.py."""

from collections.abc import Hashable
from zlib import crc32

from pydantic_core import to_json

from banyan.infra.auth.cursors import CursorSigner
from banyan.infra.cache.response_cache import Entry, ResponseCache
from banyan.infra.http.conditional import is_unchanged
from banyan.infra.http.fields import Body
from banyan.infra.http.hot import JSON, Answer, Headers, HotRequest
from banyan.infra.http.query import next_link, parse_query
from banyan.infra.streams.positions import Positions
from banyan.modules.notifications.contract import STREAM
from banyan.modules.notifications.service import NotificationService
from banyan.modules.notifications.views import InboxQuery

# A browser may keep it, and must ask each time whether it is still true.
PRIVATE = (b"cache-control", b"private, no-cache")
COUNT = "unread_count"


class HotNotifications:
    """Each answer is made at a position, and is good as long as the stream stands there."""

    def __init__(
        self, service: NotificationService, positions: Positions, cursors: CursorSigner, cache: ResponseCache
    ) -> None:
        self._service = service
        self._positions = positions
        self._cursors = cursors
        self._cache = cache

    async def list_notifications(self, request: HotRequest) -> Answer:
        key = (request.query, request.scope["banyan.base_url"])
        entry = await self._cached(request, key)
        return _answer(request, entry or await self._load_page(request, key))

    async def unread_count(self, request: HotRequest) -> Answer:
        if request.query:
            parse_query(request.query, Body)
        entry = await self._cached(request, COUNT)
        return _answer(request, entry or await self._load_count(request))

    async def _cached(self, request: HotRequest, key: Hashable) -> Entry | None:
        user_id = request.principal.user_id
        position = self._positions.known(user_id, STREAM)
        if position is None:
            position = await self._positions.current(user_id, STREAM)
        return self._cache.get(user_id, key, position)

    async def _load_page(self, request: HotRequest, key: tuple[bytes, str]) -> Entry:
        user_id = request.principal.user_id
        query = parse_query(request.query, InboxQuery)
        unread_only = query.unread is True
        purpose = f"notifications?unread={unread_only}"
        before = None if query.cursor is None else self._cursors.open(purpose, user_id, query.cursor)[0]
        page = await self._service.page(user_id, unread_only=unread_only, before=before, limit=query.limit)
        link = None
        if page.has_more:
            cursor = self._cursors.sign(purpose, user_id, [page.notifications[-1].created_position])
            link = next_link(request.scope["banyan.base_url"] + "/notifications", request.query, cursor)
        # The query is part of the tag: a client that holds one page and asks for another must not be told "unchanged".
        tag = b'"%d-%08x"' % (page.position, crc32(repr(key).encode()))
        entry = Entry(tag, to_json([notification.as_view() for notification in page.notifications]), link)
        self._cache.put(user_id, key, page.position, entry)
        return entry

    async def _load_count(self, request: HotRequest) -> Entry:
        user_id = request.principal.user_id
        unread, position = await self._service.unread_count(user_id)
        entry = Entry(b'"%d"' % position, b'{"unread":%d}' % unread)
        self._cache.put(user_id, COUNT, position, entry)
        return entry


def _answer(request: HotRequest, entry: Entry) -> Answer:
    headers: Headers = [(b"etag", entry.etag), PRIVATE]
    if entry.link is not None:
        headers.append((b"link", entry.link))
    if is_unchanged(request.header(b"if-none-match"), entry.etag):
        return Answer(304, headers)
    return Answer(200, [*headers, JSON], entry.body)
