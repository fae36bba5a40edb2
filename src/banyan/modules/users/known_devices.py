"""Known devices: a browser that has logged into an account before can prove it, and is throttled on its own.

So whoever guesses at an account's password from elsewhere cannot lock its owner out.

    <device id> . <HMAC of the device id and the account>

It opens nothing: it only says which of two counters a failed login counts on.
"""

import base64
import hashlib
import hmac

from banyan.infra.auth.derive import derive_key
from banyan.kernel.ids import is_id, new_id

_MAX_CHARS = 100


class KnownDevices:
    def __init__(self, secret: str) -> None:
        self._key = derive_key(secret, "known-device/v1")

    def remember(self, user_id: str, presented: str | None) -> str:
        """What a device keeps after a login; a device that presents a proof for this account keeps its id."""
        device_id = self.device_of(user_id, presented) or new_id()
        return f"{device_id}.{self._mac(device_id, user_id)}"

    def device_of(self, user_id: str, presented: str | None) -> str | None:
        """The id of the device, if what it presents proves that it has logged into this account."""
        if presented is None or len(presented) > _MAX_CHARS or not presented.isascii():
            return None
        device_id, _, mac = presented.partition(".")
        if not is_id(device_id) or not hmac.compare_digest(mac, self._mac(device_id, user_id)):
            return None
        return device_id

    def _mac(self, device_id: str, user_id: str) -> str:
        mac = hmac.digest(self._key, f"{device_id}/{user_id}".encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(mac[:24]).decode()
