"""The lean handlers of what every open client asks for again and again: the inbox and its count. See infra/http/hot.py."""

from zlib import crc32

from pydantic_core import to_json

from banyan.infra.auth.cursors import CursorSigner
from banyan.infra.cache.response_cache import Entry
from banyan.infra.http.cached import CachedAnswers, Loaded
from banyan.infra.http.fields import Body
from banyan.infra.http.hot import HotRequest
from banyan.infra.http.query import next_link, parse_query
from banyan.modules.notifications.service import NotificationService
from banyan.modules.notifications.views import InboxQuery

COUNT = "unread_count"


class HotNotifications:
    def __init__(self, service: NotificationService, cursors: CursorSigner, answers: CachedAnswers) -> None:
        self._service = service
        self._cursors = cursors
        self.list_notifications = answers.route(_key_of_page, self._load_page)
        self.unread_count = answers.route(_key_of_count, self._load_count)

    async def _load_page(self, request: HotRequest, key: tuple[bytes, str]) -> Loaded:
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
        return Loaded(page.position, entry)

    async def _load_count(self, request: HotRequest, _key: str) -> Loaded:
        unread, position = await self._service.unread_count(request.principal.user_id)
        return Loaded(position, Entry(b'"%d"' % position, b'{"unread":%d}' % unread))


def _key_of_page(query: bytes, base_url: str) -> tuple[bytes, str]:
    return query, base_url


def _key_of_count(query: bytes, _base_url: str) -> str:
    if query:
        parse_query(query, Body)
    return COUNT
