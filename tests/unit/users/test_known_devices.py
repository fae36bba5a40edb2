import hypothesis.strategies as st
from hypothesis import given

from banyan.kernel.ids import new_id
from banyan.modules.users.known_devices import KnownDevices

devices = KnownDevices("a secret of the server, long enough")


def test_a_device_is_known_to_the_account_that_it_logged_into_and_to_no_other():
    ada, bob = new_id(), new_id()
    proof = devices.remember(ada, None)
    assert devices.device_of(ada, proof) is not None
    assert devices.device_of(bob, proof) is None


def test_a_device_keeps_its_id_when_it_logs_in_again():
    ada = new_id()
    proof = devices.remember(ada, None)
    assert devices.remember(ada, proof) == proof


def test_a_made_up_device_gets_a_fresh_id():
    ada = new_id()
    forged = new_id() + "." + devices.remember(ada, None).partition(".")[2]
    assert devices.device_of(ada, forged) is None
    assert not devices.remember(ada, forged).startswith(forged[:36])


@given(st.text(max_size=200))
def test_no_text_is_too_strange_to_be_refused(text: str):
    assert devices.device_of("01890a5d-ac96-774b-bcce-b302099a8057", text) is None
