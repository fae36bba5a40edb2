"""Whether a database has this version's tables."""

from banyan.doctor.finding import Finding
from banyan.infra.db.migrate import newest_revision


def migrated(label: str, revision: str | None) -> Finding:
    newest = newest_revision()
    if revision == newest:
        return Finding("migrations", "ok", f"{label} is at {newest}.")
    if revision is not None and revision > newest:
        return Finding(
            "migrations",
            "warn",
            f"{label} is at {revision}, of a later version.",
            "Install that version, unless you have just gone back from it.",
        )
    return Finding(
        "migrations",
        "fail",
        f"{label} is at {revision or 'nothing'}; {newest} is pending.",
        "Run: banyan migrate",
    )
