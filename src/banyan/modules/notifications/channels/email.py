"""E-mail: a mail to the verified address of the account, and to no other."""

from banyan.infra.mail.mail import MailRefused, MailTransport, MailUnavailable
from banyan.infra.mail.templates import notification as letter
from banyan.modules.notifications.channels.channel import Target, TryLater, Undeliverable
from banyan.modules.notifications.model import Delivery, Notification

EMAIL = "email"


class EmailChannel:
    """target: `email`, `name`, `locale`. base_url: where the web application is, from the settings."""

    name = EMAIL
    is_inbox = False
    is_set_up = True

    def __init__(self, mail: MailTransport, base_url: str) -> None:
        self._mail = mail
        self._base_url = base_url

    async def send(self, delivery: Delivery, notification: Notification, target: Target) -> None:
        """A repeat carries the same Message-ID, which is the delivery's id."""
        mail = letter(
            mail_id=delivery.id,
            to=target["email"],
            name=target["name"],
            title=notification.title,
            message=notification.message,
            link=f"{self._base_url}/",
            locale=target["locale"],
        )
        try:
            await self._mail.send(mail)
        except MailRefused as error:
            raise Undeliverable("MailRefused") from error
        except MailUnavailable as error:
            raise TryLater(str(error.facts.get("reason") or "MailUnavailable")) from error
