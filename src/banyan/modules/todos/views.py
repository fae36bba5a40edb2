"""To-dos and lists over HTTP: what is sent and what is answered."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Discriminator, Field
from pydantic.config import JsonDict

from banyan.infra.http.fields import Body, Flag, IdText, InstantText, Line, Text, View, Whole
from banyan.infra.http.query import true_or_false

EXAMPLE_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
EXAMPLE_TIME = "2030-01-31T09:00:00.000000Z"
TIME: JsonDict = {"format": "date-time"}

Title = Annotated[Line, Field(min_length=1, max_length=500, examples=["Water the banyan"])]
Notes = Annotated[Text, Field(max_length=10_000, examples=["Once a week, in the morning"])]
Order = Annotated[Whole, Field(ge=-(2**31), le=2**31 - 1, examples=[10])]
Priority = Annotated[Whole, Field(ge=0, le=4, examples=[2])]
Label = Annotated[Line, Field(min_length=1, max_length=50)]
Labels = Annotated[
    list[Label],
    Field(max_length=20, examples=[["garden"]]),
    AfterValidator(lambda labels: list(dict.fromkeys(labels))),
]
Color = Annotated[str, Field(strict=True, pattern=r"^#[0-9a-f]{6}$", examples=["#3f7d58"])]
ListName = Annotated[Line, Field(min_length=1, max_length=100, examples=["Garden"])]


class TodoFields(Body):
    completed: Flag = False
    order: Order | None = Field(
        None, description="Where it stands: smaller first; to-dos without one come before all."
    )
    notes: Notes | None = None
    due_at: InstantText | None = Field(None, description="When it is due; tells the user once at that time.")
    remind_at: InstantText | None = Field(
        None, description="When to remind; tells the user once at that time."
    )
    priority: Priority = 0
    labels: Labels = Field(default_factory=list)
    list_id: IdText | None = Field(None, description="One of the caller's lists.")


class TodoCreate(TodoFields):
    """A new to-do. A title is enough."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"title": "Water the banyan", "due_at": EXAMPLE_TIME}]}
    )

    title: Title
    id: IdText | None = Field(None, description="Your own UUID, so that a retry is the same to-do.")


class TodoPut(TodoFields):
    """All writable fields; what is left out gets its default."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"title": "Water the banyan", "completed": True}]}
    )

    title: Title


class TodoPatch(Body):
    """The fields to change (RFC 7396 merge patch); null clears a field that may be empty."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"completed": True}]})

    title: Title = ""
    completed: Flag = False
    order: Order | None = None
    notes: Notes | None = None
    due_at: InstantText | None = None
    remind_at: InstantText | None = None
    priority: Priority = 0
    labels: Labels = Field(default_factory=list)
    list_id: IdText | None = None

    def wanted(self) -> dict[str, Any]:
        """The fields that were sent."""
        return self.model_dump(exclude_unset=True)


class TodoView(View):
    id: str = Field(json_schema_extra={"format": "uuid"}, examples=[EXAMPLE_ID])
    url: str = Field(
        json_schema_extra={"format": "uri"}, examples=[f"https://todos.example.org/todos/{EXAMPLE_ID}"]
    )
    title: str = Field(examples=["Water the banyan"])
    completed: bool
    order: int | None
    notes: str | None
    due_at: str | None = Field(json_schema_extra=TIME)
    remind_at: str | None = Field(json_schema_extra=TIME)
    priority: int
    labels: list[str]
    list_id: str | None = Field(json_schema_extra={"format": "uuid"})
    created_at: str = Field(json_schema_extra=TIME, examples=[EXAMPLE_TIME])
    updated_at: str = Field(json_schema_extra=TIME, examples=[EXAMPLE_TIME])
    completed_at: str | None = Field(json_schema_extra=TIME)
    version: int = Field(examples=[1], description="Grows with every change; send it as `If-Match`.")


class BatchCreate(Body):
    op: Literal["create"]
    todo: TodoCreate


class BatchUpdate(Body):
    op: Literal["update"]
    id: IdText
    changes: TodoPatch
    version: Annotated[Whole, Field(ge=1)] | None = Field(
        None, description="Refuse when it is another by now."
    )


class BatchDelete(Body):
    op: Literal["delete"]
    id: IdText
    version: Annotated[Whole, Field(ge=1)] | None = Field(
        None, description="Refuse when it is another by now."
    )


class Batch(Body):
    """Operations in order: all are done, or none."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"operations": [{"op": "create", "todo": {"title": "Water the banyan"}}]}]
        }
    )

    operations: list[Annotated[BatchCreate | BatchUpdate | BatchDelete, Discriminator("op")]] = Field(
        min_length=1, max_length=500
    )


class BatchResult(View):
    op: Literal["create", "update", "delete"]
    id: str
    todo: TodoView | None = Field(description="As it is after the operation; null when it was deleted.")


class BatchAnswer(View):
    results: list[BatchResult]


Completed = Annotated[bool | None, BeforeValidator(true_or_false)]


class TodoDeleteQuery(Body):
    """Which to-dos to delete. A parameter that we do not know is refused: it was meant to spare some."""

    completed: Completed = Field(None, description="Only completed ones, or only open ones.")


class TodoQuery(Body):
    """Which to-dos to show."""

    completed: Completed = Field(None, description="Only completed ones, or only open ones.")
    q: Annotated[Text, Field(min_length=1, max_length=200)] | None = Field(
        None, description="A text in the title or the notes, whatever the case."
    )
    list: IdText | None = Field(None, description="Only those in this list.")
    label: Label | None = Field(None, description="Only those with this label.")
    due_before: InstantText | None = Field(None, description="Due before this time.")
    due_after: InstantText | None = Field(None, description="Due at this time or later.")
    limit: int = Field(100, ge=1, le=200, description="Most to-dos in one answer.")
    cursor: Annotated[str, Field(max_length=2048)] | None = Field(
        None, description="Continue a list: taken from the `next` link of its last page."
    )


class HistoryEntry(View):
    position: int = Field(examples=[12], description="Where in the user's stream of to-do events.")
    type: str = Field(examples=["TodoChanged"])
    at: str = Field(json_schema_extra=TIME, examples=[EXAMPLE_TIME])
    actor: str | None = Field(description="The session that did it; null when Banyan did.")
    data: dict[str, Any] = Field(examples=[{"completed": True, "version": 2}], description="The new values.")


class DayCount(View):
    date: str = Field(json_schema_extra={"format": "date"}, examples=["2030-01-31"])
    count: int = Field(examples=[3])


class Stats(View):
    open: int = Field(examples=[5])
    overdue: int = Field(examples=[1], description="Open, and past their due time.")
    completed: int = Field(examples=[12], description="Completed, and not deleted.")
    completed_per_day: list[DayCount] = Field(
        description="The last 30 days (UTC) on which something was completed."
    )
    position: int = Field(examples=[42], description="The event up to which this is counted.")


class ListCreate(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Garden", "color": "#3f7d58"}]})

    name: ListName
    color: Color | None = None
    id: IdText | None = Field(None, description="Your own UUID, so that a retry is the same list.")


class ListPatch(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Balcony"}]})

    name: ListName = ""
    color: Color | None = None

    def wanted(self) -> dict[str, Any]:
        return self.model_dump(exclude_unset=True)


class ListView(View):
    id: str = Field(json_schema_extra={"format": "uuid"}, examples=[EXAMPLE_ID])
    name: str = Field(examples=["Garden"])
    color: str | None = Field(examples=["#3f7d58"])
    created_at: str = Field(json_schema_extra=TIME, examples=[EXAMPLE_TIME])
    updated_at: str = Field(json_schema_extra=TIME, examples=[EXAMPLE_TIME])
    version: int = Field(examples=[1])
