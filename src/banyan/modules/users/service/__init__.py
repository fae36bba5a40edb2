"""Use cases of users, one file a subject. `users.py` is the face that other modules and the command line see."""
