-- Runs once, when the volume is new. The database of users is made by the image itself.
CREATE DATABASE banyan_todos;
CREATE DATABASE banyan_notifications;
