"""The mail server: reached, encrypted and logged in to as for a mail, and none is sent."""

from banyan.bootstrap.backends import smtp_transport
from banyan.doctor.finding import Finding
from banyan.infra.mail.mail import MailUnavailable
from banyan.settings import Settings

PATIENCE_SECONDS = 3.0
HOW = {"tls": "TLS", "starttls": "STARTTLS", "none": "no encryption"}


async def look(settings: Settings) -> Finding:
    where = f"{settings.smtp_host}:{settings.smtp_port}"
    how = HOW[settings.smtp_security]
    try:
        transport = smtp_transport(settings)
        assert transport is not None  # a host is set
        await transport.check(PATIENCE_SECONDS)
    except ValueError as error:
        return Finding("SMTP", "fail", f"{error}.", "Look at BANYAN_SMTP_SECURITY and BANYAN_MAIL_FROM.")
    except MailUnavailable as error:
        return _failed(where, how, str(error.facts.get("reason")))
    who = f" as {settings.smtp_user}" if settings.smtp_user else ", without a login"
    return Finding("SMTP", "ok", f"{where} lets us in with {how}{who}.")


def _failed(where: str, how: str, reason: str) -> Finding:
    if reason == "SMTPAuthenticationError":
        return Finding(
            "SMTP",
            "fail",
            f"{where} refuses the login ({reason}).",
            "Look at BANYAN_SMTP_USER and BANYAN_SMTP_PASSWORD.",
        )
    return Finding(
        "SMTP",
        "fail",
        f"{where} does not take mails with {how} ({reason}).",
        "Look whether it runs, at BANYAN_SMTP_HOST and BANYAN_SMTP_PORT, and that BANYAN_SMTP_SECURITY is the port's: tls for"
        " 465, starttls for 587; its certificate must be valid for that name.",
    )
