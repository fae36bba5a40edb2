BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0006');
CREATE TABLE bookmarks (
	reader VARCHAR(64) NOT NULL, 
	sequence INTEGER NOT NULL, 
	CONSTRAINT pk_bookmarks PRIMARY KEY (reader)
);
CREATE TABLE cache_trust (
	id INTEGER NOT NULL, 
	epoch VARCHAR(36) NOT NULL, 
	trusted BOOLEAN NOT NULL, 
	server VARCHAR(64) NOT NULL, 
	objector VARCHAR(36) NOT NULL, 
	beat INTEGER NOT NULL, 
	CONSTRAINT pk_cache_trust PRIMARY KEY (id)
);
INSERT INTO "cache_trust" VALUES(1,'none',0,'','',0);
CREATE TABLE closed_inboxes (
	user_id VARCHAR(36) NOT NULL, 
	CONSTRAINT pk_closed_inboxes PRIMARY KEY (user_id)
);
CREATE TABLE dead_letters (
	consumer VARCHAR(64) NOT NULL, 
	id VARCHAR(64) NOT NULL, 
	topic VARCHAR(255) NOT NULL, 
	partition INTEGER NOT NULL, 
	"offset" INTEGER NOT NULL, 
	message TEXT NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	error TEXT NOT NULL, 
	at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_dead_letters PRIMARY KEY (consumer, id)
);
CREATE TABLE deliveries (
	user_id VARCHAR(36) NOT NULL, 
	notification_id VARCHAR(36) NOT NULL, 
	id VARCHAR(36) NOT NULL, 
	channel VARCHAR(32) NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	attempt INTEGER NOT NULL, 
	at VARCHAR(27) NOT NULL, 
	due_at VARCHAR(27), 
	error TEXT, channel_id VARCHAR(36), 
	CONSTRAINT pk_deliveries PRIMARY KEY (user_id, notification_id, id)
);
CREATE TABLE emails (
	email_key TEXT NOT NULL, 
	user_id VARCHAR(36) NOT NULL, 
	CONSTRAINT pk_emails PRIMARY KEY (email_key)
);
CREATE TABLE events (
	sequence INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	id VARCHAR(36) NOT NULL, 
	user_id VARCHAR(36) NOT NULL, 
	stream VARCHAR(32) NOT NULL, 
	position INTEGER NOT NULL, 
	type VARCHAR(64) NOT NULL, 
	subject VARCHAR(36) NOT NULL, 
	data TEXT NOT NULL, 
	actor VARCHAR(36), 
	at VARCHAR(27) NOT NULL, 
	trace VARCHAR(55), 
	CONSTRAINT uq_events_user_id_stream_position UNIQUE (user_id, stream, position)
);
CREATE TABLE "failed_events" (
	user_id VARCHAR(36) NOT NULL, 
	stream VARCHAR(32) NOT NULL, 
	position INTEGER NOT NULL, 
	consumer VARCHAR(64) NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	attempts INTEGER NOT NULL, 
	next_try_at VARCHAR(27) NOT NULL, 
	error TEXT NOT NULL, 
	event TEXT NOT NULL, 
	CONSTRAINT pk_failed_events PRIMARY KEY (user_id, stream, position, consumer)
);
CREATE TABLE idempotency_keys (
	user_id VARCHAR(36) NOT NULL, 
	"key" VARCHAR(255) NOT NULL, 
	fingerprint VARCHAR(64) NOT NULL, 
	status INTEGER NOT NULL, 
	location VARCHAR(2048), 
	etag VARCHAR(64), 
	body BLOB NOT NULL, 
	created_at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_idempotency_keys PRIMARY KEY (user_id, "key")
);
CREATE TABLE inbox (
	user_id VARCHAR(36) NOT NULL, 
	stream VARCHAR(32) NOT NULL, 
	consumer VARCHAR(64) NOT NULL, 
	position INTEGER NOT NULL, 
	CONSTRAINT pk_inbox PRIMARY KEY (user_id, stream, consumer)
);
CREATE TABLE lists (
	user_id VARCHAR(36) NOT NULL, 
	id VARCHAR(36) NOT NULL, 
	name VARCHAR(100) NOT NULL, 
	color VARCHAR(7), 
	created_at VARCHAR(27) NOT NULL, 
	updated_at VARCHAR(27) NOT NULL, 
	version INTEGER NOT NULL, 
	CONSTRAINT pk_lists PRIMARY KEY (user_id, id)
);
CREATE TABLE notification_channels (
	user_id VARCHAR(36) NOT NULL, 
	id VARCHAR(36) NOT NULL, 
	kind VARCHAR(32) NOT NULL, 
	name VARCHAR(100), 
	host VARCHAR(300), 
	enabled BOOLEAN NOT NULL, 
	disabled_reason VARCHAR(16), 
	sealed TEXT, 
	created_at VARCHAR(27) NOT NULL, 
	updated_at VARCHAR(27) NOT NULL, 
	version INTEGER NOT NULL, 
	CONSTRAINT pk_notification_channels PRIMARY KEY (user_id, id)
);
CREATE TABLE notifications (
	user_id VARCHAR(36) NOT NULL, 
	id VARCHAR(36) NOT NULL, 
	created_position INTEGER NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	title VARCHAR(200), 
	message VARCHAR(2000) NOT NULL, 
	data TEXT NOT NULL, 
	read_at VARCHAR(27), 
	created_at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_notifications PRIMARY KEY (user_id, id)
);
CREATE TABLE one_time_tokens (
	user_id VARCHAR(36) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	purpose VARCHAR(16) NOT NULL, 
	email VARCHAR(254), 
	session_id VARCHAR(36), 
	expires_at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_one_time_tokens PRIMARY KEY (user_id, digest)
);
CREATE TABLE outgoing_mails (
	user_id VARCHAR(36) NOT NULL, 
	id VARCHAR(36) NOT NULL, 
	to_address VARCHAR(254) NOT NULL, 
	subject VARCHAR(200) NOT NULL, 
	text TEXT NOT NULL, 
	html TEXT, 
	state VARCHAR(16) NOT NULL, 
	attempts INTEGER NOT NULL, 
	next_try_at VARCHAR(27) NOT NULL, 
	error VARCHAR(64), 
	CONSTRAINT pk_outgoing_mails PRIMARY KEY (user_id, id)
);
CREATE TABLE reset_requests (
	id VARCHAR(36) NOT NULL, 
	email_key TEXT NOT NULL, 
	CONSTRAINT pk_reset_requests PRIMARY KEY (id)
);
CREATE TABLE session_revocations (
	user_id VARCHAR(36) NOT NULL, 
	session_id VARCHAR(36) NOT NULL, 
	revoked_at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_session_revocations PRIMARY KEY (user_id, session_id)
);
CREATE TABLE sessions (
	user_id VARCHAR(36) NOT NULL, 
	id VARCHAR(36) NOT NULL, 
	device VARCHAR(200) NOT NULL, 
	address VARCHAR(64) NOT NULL, 
	created_at VARCHAR(27) NOT NULL, 
	last_used_at VARCHAR(27) NOT NULL, 
	expires_at VARCHAR(27) NOT NULL, 
	refresh_digest VARCHAR(64) NOT NULL, 
	previous_digest VARCHAR(64), 
	rotated_at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_sessions PRIMARY KEY (user_id, id)
);
CREATE TABLE signing_keys (
	kid VARCHAR(64) NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	sealed TEXT NOT NULL, 
	verify_until INTEGER, 
	created_at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_signing_keys PRIMARY KEY (kid)
);
CREATE TABLE streams (
	user_id VARCHAR(36) NOT NULL, 
	stream VARCHAR(32) NOT NULL, 
	position INTEGER NOT NULL, 
	CONSTRAINT pk_streams PRIMARY KEY (user_id, stream)
);
CREATE TABLE todo_stats_days (
	user_id VARCHAR(36) NOT NULL, 
	day VARCHAR(10) NOT NULL, 
	completed INTEGER NOT NULL, 
	CONSTRAINT pk_todo_stats_days PRIMARY KEY (user_id, day)
);
CREATE TABLE todo_stats_items (
	user_id VARCHAR(36) NOT NULL, 
	todo_id VARCHAR(36) NOT NULL, 
	completed BOOLEAN NOT NULL, 
	due_at VARCHAR(27), 
	completed_on VARCHAR(10), 
	CONSTRAINT pk_todo_stats_items PRIMARY KEY (user_id, todo_id)
);
CREATE TABLE todos (
	user_id VARCHAR(36) NOT NULL, 
	id VARCHAR(36) NOT NULL, 
	created_position INTEGER NOT NULL, 
	title VARCHAR(500) NOT NULL, 
	completed BOOLEAN NOT NULL, 
	"order" INTEGER, 
	notes TEXT, 
	due_at VARCHAR(27), 
	remind_at VARCHAR(27), 
	next_reminder_at VARCHAR(27), 
	priority INTEGER NOT NULL, 
	labels TEXT NOT NULL, 
	list_id VARCHAR(36), 
	created_at VARCHAR(27) NOT NULL, 
	updated_at VARCHAR(27) NOT NULL, 
	completed_at VARCHAR(27), 
	version INTEGER NOT NULL, 
	CONSTRAINT pk_todos PRIMARY KEY (user_id, id)
);
CREATE TABLE users (
	user_id VARCHAR(36) NOT NULL, 
	name VARCHAR(100) NOT NULL, 
	email VARCHAR(254) NOT NULL, 
	email_verified BOOLEAN NOT NULL, 
	password_hash VARCHAR(255) NOT NULL, 
	role VARCHAR(16) NOT NULL, 
	locale VARCHAR(35) NOT NULL, 
	time_zone VARCHAR(64) NOT NULL, 
	avatar_url VARCHAR(2048), 
	search_text VARCHAR(400) NOT NULL, 
	created_at VARCHAR(27) NOT NULL, 
	updated_at VARCHAR(27) NOT NULL, 
	disabled_at VARCHAR(27), 
	CONSTRAINT pk_users PRIMARY KEY (user_id)
);
CREATE INDEX ix_deliveries_due ON deliveries (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX ix_events_subject ON events (user_id, subject, position);
CREATE INDEX ix_idempotency_keys_created_at ON idempotency_keys (created_at);
CREATE UNIQUE INDEX ix_notifications_page ON notifications (user_id, created_position);
CREATE INDEX ix_notifications_unread ON notifications (user_id, created_position) WHERE read_at IS NULL;
CREATE INDEX ix_one_time_tokens_expires_at ON one_time_tokens (expires_at);
CREATE INDEX ix_outgoing_mails_due ON outgoing_mails (state, next_try_at);
CREATE INDEX ix_session_revocations_revoked_at ON session_revocations (revoked_at);
CREATE INDEX ix_sessions_expires_at ON sessions (expires_at);
CREATE INDEX ix_todo_stats_items_due ON todo_stats_items (user_id, completed, due_at);
CREATE INDEX ix_todos_list ON todos (user_id, list_id) WHERE list_id IS NOT NULL;
CREATE INDEX ix_todos_page ON todos (user_id, "order", created_position DESC);
CREATE INDEX ix_todos_reminders ON todos (next_reminder_at) WHERE next_reminder_at IS NOT NULL;
CREATE INDEX ix_failed_events_due ON failed_events (state, next_try_at);
DELETE FROM "sqlite_sequence";
COMMIT;
