"""What workers ask of to-dos: the contract, over HTTP."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from banyan.infra.auth.service_tokens import ServiceTokens
from banyan.infra.http.fields import Body, IdText
from banyan.infra.http.internal import internal_router
from banyan.modules.todos.contract import MOST_REMINDERS, Todos


class Reminders(Body):
    user_id: IdText
    todo_ids: Annotated[list[IdText], Field(max_length=MOST_REMINDERS)]


class Told(BaseModel):
    told: int


def internal_todos_router(todos: Todos, tokens: ServiceTokens) -> APIRouter:
    api = internal_router("todos", tokens)

    @api.post("/tell-reminders")
    async def tell_reminders(asked: Reminders) -> Told:
        return Told(told=await todos.tell_reminders(asked.user_id, asked.todo_ids))

    return api
