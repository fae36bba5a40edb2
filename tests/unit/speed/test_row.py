"""What the comparison of speed makes of its rounds."""

from benchmarks.speed.row import GREATER, LESS, Goal, Row


def test_the_ratio_is_that_of_the_medians_and_not_the_median_of_the_ratios():
    # Pair by pair 10, 1 and 4: their median is another number than that of 40 / 8.
    row = Row("list", "requests/s", [(10, 1), (40, 40), (80, 8)], "Express")
    assert (row.banyan, row.peer_value, row.ratio) == (40, 8, 5)
    assert row.pair_ratios == [10, 1, 10]


def test_a_goal_is_of_the_ratio_where_there_is_a_peer():
    rounds = [(60.0, 10.0)]
    assert Row("list", "requests/s", rounds, "Express", Goal(GREATER, 6)).is_met
    assert Row("list", "requests/s", rounds, "Express", Goal(GREATER, 6.1)).is_met is False
    assert Row("list", "p99 ms", rounds, "Express", Goal(LESS, 1)).is_met is False
    assert Row("list", "p99 ms", [(9.0, 10.0)], "Express", Goal(LESS, 1)).is_met


def test_a_goal_is_of_banyans_own_median_where_there_is_none():
    assert Row.alone("start", "seconds", [1.2, 9, 1.4], Goal(LESS, 1.5)).is_met
    assert Row.alone("start", "seconds", [1.6, 1.6, 0.1], Goal(LESS, 1.5)).is_met is False
    assert Row.alone("start", "seconds", [1.0]).is_met is None


def test_a_row_is_kept_in_the_form_that_readers_expect():
    row = Row("list", "requests/s", [(60, 10), (70, 10)], "Express", Goal(GREATER, 6))
    assert row.as_json() == {
        "case": "list",
        "peer": "Express",
        "metric": "requests/s",
        "banyan": 65,
        "peer_value": 10,
        "ratio": 6.5,
        "goal": ">= 6",
        "rounds": [[60, 10], [70, 10]],
    }
    alone = Row.alone("start", "seconds", [1.5]).as_json()
    assert (alone["peer"], alone["peer_value"], alone["ratio"], alone["goal"]) == (None, None, None, None)
