"""The doctor: looks at an installation from outside, changes nothing, and says what to do."""
