from pipeline.stages.shared.history import chosen_score


def test_score_is_that_of_the_chosen_epoch_counted_from_one() -> None:
    rows = [{"validation_top1": 0.5}, {"validation_top1": 0.75}, {"validation_top1": 0.25}]
    assert chosen_score({"chosen_epoch": 2, "epochs": rows}) == 0.75
