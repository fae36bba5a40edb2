"""Request headers that the routes of this module take."""

from typing import Annotated

from fastapi import Header

from banyan.infra.http.conditional import IF_MATCH_PATTERN

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        description="A key of your own: sent again, it has one effect and one answer.",
    ),
]
IfMatch = Annotated[
    str | None,
    Header(
        description='The version you read, such as `"3"`: another one answers 412.',
        json_schema_extra={"pattern": IF_MATCH_PATTERN},
    ),
]
