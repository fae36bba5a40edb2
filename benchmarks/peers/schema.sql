-- The table of the peers on PostgreSQL: the fields that a to-do has in Banyan, and the index that the page needs.
CREATE TABLE todos (
    user_id uuid NOT NULL,
    id uuid PRIMARY KEY,
    title varchar(500) NOT NULL,
    completed boolean NOT NULL DEFAULT false,
    "order" integer,
    notes text,
    due_at timestamptz,
    remind_at timestamptz,
    priority integer NOT NULL DEFAULT 0,
    labels jsonb NOT NULL DEFAULT '[]',
    list_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    version integer NOT NULL DEFAULT 1
);
CREATE INDEX todos_page ON todos (user_id, created_at DESC, id DESC);
