"""To-dos with FastAPI, SQLAlchemy and Redis, as the tutorials of FastAPI show it: plain `def` routes, a session for each request
by `Depends`, answers validated by their model, the cached list as JSON text."""

import json
import os
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

import redis
from fastapi import Depends, FastAPI, Header, Response
from fastapi.encoders import jsonable_encoder
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Text, create_engine, func, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

PAGE = 20
CACHE_SECONDS = 60

engine = create_engine(os.environ["DATABASE_URL"], pool_size=20)
SessionLocal = sessionmaker(bind=engine, autoflush=False)
# CACHE=off: every list is loaded.
cache = (
    None
    if os.environ.get("CACHE") == "off"
    else redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)
)


class Base(DeclarativeBase):
    pass


class Todo(Base):
    __tablename__ = "todos"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    user_id: Mapped[uuid.UUID]
    title: Mapped[str]
    completed: Mapped[bool] = mapped_column(default=False)
    order: Mapped[int | None]
    notes: Mapped[str | None] = mapped_column(Text)
    due_at: Mapped[datetime | None]
    remind_at: Mapped[datetime | None]
    priority: Mapped[int] = mapped_column(default=0)
    labels: Mapped[list[str]] = mapped_column(JSONB, default=list)
    list_id: Mapped[uuid.UUID | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    completed_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(default=1)


class TodoCreate(BaseModel):
    title: str = Field(min_length=1, max_length=500)
    notes: str | None = None
    due_at: datetime | None = None
    priority: int = Field(0, ge=0, le=4)
    labels: list[str] = []


class TodoOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: uuid.UUID
    title: str
    completed: bool
    order: int | None
    notes: str | None
    due_at: datetime | None
    remind_at: datetime | None
    priority: int
    labels: list[str]
    list_id: uuid.UUID | None
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    version: int


app = FastAPI()


def get_db() -> Iterator[Session]:
    db = SessionLocal()
    try:
        yield db
    finally:
        db.close()


def get_user_id(x_user_id: Annotated[uuid.UUID, Header()]) -> uuid.UUID:
    return x_user_id


Database = Annotated[Session, Depends(get_db)]
UserId = Annotated[uuid.UUID, Depends(get_user_id)]


@app.get("/todos", response_model=list[TodoOut])
def list_todos(db: Database, user_id: UserId):
    key = f"todos:{user_id}"
    if cache is not None and (cached := cache.get(key)):
        return json.loads(cached)
    query = select(Todo).where(Todo.user_id == user_id)
    todos = db.scalars(query.order_by(Todo.created_at.desc(), Todo.id.desc()).limit(PAGE)).all()
    if cache is not None:
        found = [TodoOut.model_validate(todo) for todo in todos]
        cache.set(key, json.dumps(jsonable_encoder(found)), ex=CACHE_SECONDS)
    return todos


@app.post("/todos", response_model=TodoOut, status_code=201)
def create_todo(new: TodoCreate, db: Database, user_id: UserId, response: Response):
    todo = Todo(user_id=user_id, **new.model_dump())
    db.add(todo)
    db.commit()
    db.refresh(todo)
    if cache is not None:
        cache.delete(f"todos:{user_id}")
    response.headers["Location"] = f"/todos/{todo.id}"
    return todo
