from smtpd_service.outbound.slot import take_slot


def test_living_workers_have_places_of_their_own(tmp_path):
    first, second = take_slot(tmp_path), take_slot(tmp_path)
    assert first.previous == second.previous == ""
    assert first.token != second.token
    first.release()
    second.release()


def test_who_takes_the_place_of_a_dead_worker_learns_its_token(tmp_path):
    dead, living = take_slot(tmp_path), take_slot(tmp_path)
    dead.release()
    heir = take_slot(tmp_path)
    assert heir.previous == dead.token
    heir.release()
    living.release()
