"""The scripts in examples/, in their quick form, and (slow) on MNIST with what the documentation says of them."""

import json
import os
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from advcore import models, nn

EXAMPLES = Path(__file__).parents[1] / "examples"
MNIST = os.environ.get("ADVCORE_MNIST")


@pytest.fixture
def example(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(EXAMPLES), *sys.path])
    return lambda name: runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]


def test_both_classifiers_learn_from_rows_of_pixels(example, tmp_path):
    results = example("sequence_learning")(["--quick", "--output", str(tmp_path)])
    assert json.loads((tmp_path / "sequence_learning.json").read_text()) == results
    assert (tmp_path / "sequence_learning.png").stat().st_size > 1000
    for measured in results["models"].values():
        assert measured["test_accuracy"][-1] >= 0.8


def test_batch_normalisation_is_ahead_on_permuted_pixels(example, tmp_path):
    study = example("permuted_pixels")
    study(["--quick", "--output", str(tmp_path), "--seeds", "0", "--models", "LSTM"])
    results = study(["--quick", "--output", str(tmp_path), "--seeds", "0"])  # goes on where it was left
    assert json.loads((tmp_path / "permuted_pixels.json").read_text()) == results
    assert len(list(tmp_path.glob("permuted_pixels_*.png"))) == 3
    lstm, normalised = (results["runs"][f"{model}, seed 0"] for model in ("LSTM", "BatchNormLSTM"))
    assert normalised["training_loss"][-1] < lstm["training_loss"][-1] - 0.3
    assert normalised["longer"]["black"][0] == normalised["test_accuracy"][-1]
    small, large = (results["gradient_norms"][gamma]["norms"] for gamma in ("0.1", "1.0"))
    assert 0.1 < small[0] / small[-1] < 10  # at gamma 1 gradients explode
    assert large[0] / large[-1] > 50


STUDIES = (
    *("adversarial_training", "distillation", "self_ensemble", "feature_squeezing", "randomised_smoothing"),
    *("hinge_and_rbf", "hierarchical", "ensemble_robustness", "semi_supervised", "normalisation"),
)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Runs the quick form of a study, once."""
    folder, done = tmp_path_factory.mktemp("studies"), {}

    def run(name):
        if name not in done:
            with pytest.MonkeyPatch.context() as patch:
                patch.syspath_prepend(str(EXAMPLES))
                main = runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]
                done[name] = main([*(() if name == "by_hand" else ("--quick",)), "--output", str(folder)])
        assert json.loads((folder / f"{name}.json").read_text()) == json.loads(json.dumps(done[name]))
        assert (folder / f"{name}.png").stat().st_size > 5000
        text = (folder / f"{name}.md").read_text()
        for table in done[name]["tables"]:
            assert f"**{table}**" in text
        for part in ("Settings: ", "Seconds: ", "Differs from the source: "):
            assert part in text
        return done[name]["tables"], done[name]["findings"]

    return run


def test_adversarial_training_is_not_masked(study):
    (left, by_eps), (finding,) = (
        list(part.values()) if isinstance(part, dict) else part for part in study("adversarial_training")
    )
    assert finding.startswith(
        "Not masked: of 120 images 0 have no gradient and 0 attacks met none; the accuracy left falls"
    )
    plain, robust = ([row[f"{name}, accuracy left, %"] for row in left] for name in ("plain", "robust"))
    assert robust[0] >= 90
    assert robust[3] >= plain[3] + 25
    assert robust[1] >= robust[2] >= robust[3]  # FGSM, PGD, PGD with restarts
    assert by_eps[-1]["robust"] == 0


def test_another_training_in_the_folder_ends_with_a_line(example, tmp_path):
    x, y = np.zeros((4, 3), np.float32), np.arange(4) % 2
    nn.fit(models.mlp((3,), 2), x, y, epochs=1, checkpoint=tmp_path / "adversarial_training.checkpoint")
    with pytest.raises(SystemExit, match=r"is a checkpoint of another training: .* give another folder as --output"):
        example("adversarial_training")(["--quick", "--seed", "1", "--output", str(tmp_path)])


def test_distillation_masks(study):
    plain, student = next(iter(study("distillation")[0].values()))
    assert plain["no gradient"] == plain["masked"] == 0
    assert student["masked"] >= 40
    assert student["follows cross-entropy's gradient"] >= student["masked"]
    for attack in ("divides the logits by T", "climbs the logits' margin"):
        assert student[attack] <= 5
    assert student["transfers"] <= 40


def test_expectation_is_stronger_than_single_draws(study):
    clean, rows = study("self_ensemble")[0].values()
    assert clean[0]["confidence where right"] > clean[0]["confidence where wrong"]
    for row in rows:
        assert 20 <= row["expectation"] < row["single draws"] <= 80
        assert row["broken by expectation alone"] > row["by single draws alone"]
        assert 0 < row["standard error of the gradient"] < 0.5


def test_squeezing_falls_to_who_knows_it(study):
    one_bit, *_ = next(iter(study("feature_squeezing")[0].values()))
    assert one_bit["attack on the network alone"] >= one_bit["gradients passed through"] + 20
    assert one_bit["of these masked"] == one_bit["exact gradients"] > one_bit["gradients passed through"]


def test_noise_in_training_certifies_more_and_no_certificate_breaks(study):
    certified, attacked, _ = study("randomised_smoothing")[0].values()
    assert certified[1]["certified at 0.5"] > certified[0]["certified at 0.5"]
    for row in attacked:
        assert row["certificates broken"] == 0
        assert row["left by PGD that averages over the noise"] >= row["certified"]


def test_noise_in_training_alone_is_no_defence(study):
    *_, (plain, noisy) = study("randomised_smoothing")[0].values()
    assert (plain["noise in training"], noisy["noise in training"]) == (0, 0.25)
    assert noisy["L2 0.5"] > plain["L2 0.5"]  # it does help a little
    for row in (plain, noisy):
        assert row["clean"] >= 90
        assert row["clean"] >= row["L2 0.5"] >= row["L2 1.0"] >= row["L2 2.0"]
        assert row["clean"] >= row["Linf 0.1"] >= row["Linf 0.2"] >= row["Linf 0.3"]
        assert max(row["L2 1.0"], row["Linf 0.2"]) <= 20


def test_fgsm_stalls_where_the_hinge_loss_is_zero_and_rejection_costs(study):
    _, _, success, rejection, costs = study("hinge_and_rbf")[0].values()
    hinge, *_, distances = success
    assert hinge["no gradient, % of the right ones"] >= 40
    for eps in ("0.3", "0.5", "1.0"):  # however large eps is
        assert hinge[f"own loss, {eps}"] + hinge["no gradient, % of the right ones"] <= 100.01
        assert hinge[f"margin, {eps}"] >= 95
    assert distances["no gradient, % of the right ones"] < 5
    for row, cost in zip(rejection, costs, strict=True):
        assert row["noise rejected, %"] >= 85
        assert row["FGSM 1.0: rejected, %"] > row["clean rejected, %"]
        assert cost["rejected for 99% accuracy, %"] > 5
        assert row["PGD 0.3 that knows: accepted and wrong, %"] >= 90


def test_trees_and_the_product_rule(study):
    flat, *trees = next(iter(study("hierarchical")[0].values()))
    assert flat["measured"] >= 80
    for row in trees:
        assert row["product, each level given the last"] == row["measured"]
        assert abs(row["product rule"] - row["measured"]) <= 2
        assert row["measured"] <= min(row["root"], row["leaves, given the true group"])


def test_worst_changes_in_cells_rank_learners_as_their_gaps_do(study):
    learners, dropout, correlations = study("ensemble_robustness")[0].values()
    assert len(learners) >= 7
    small, _, large, variance = correlations
    assert small["measure"] == large["measure"] == "worst change"
    assert large["learners: gap of the loss"] >= 0.7
    assert variance["learners: gap of the loss"] >= 0.6
    assert small["learners: gap of the loss"] <= 0.3  # near a loss of 0 nothing is steep
    gaps, changes = ([row[key] for row in dropout] for key in ("gap of the loss", "worst change, 0.1"))
    assert gaps == sorted(gaps, reverse=True)  # dropout closes the gap
    assert changes == sorted(changes, reverse=True)  # and makes its cells flatter


def test_points_without_labels_lower_the_error(study):
    rows = next(iter(study("semi_supervised")[0].values()))
    assert [row["labels"] for row in rows] == [20, 20, 20, 100, 100, 100]
    for alone, few, everything in (rows[:3], rows[3:]):
        assert everything["test error, %"] <= alone["test error, %"] - 1
        assert everything["test error, %"] <= few["test error, %"] - 1
    assert rows[5]["test error, %"] <= 10


def test_virtual_adversarial_training_holds_near_the_points_and_not_further_away(study):
    rows = list(study("semi_supervised")[0].values())[1]
    for alone, _, everything in (rows[:3], rows[3:]):
        for row in (alone, everything):
            for norm, budgets in (("L2", (0.5, 1)), ("Linf", (0.1, 0.2))):
                assert row["clean"] > row[f"{norm} {budgets[0]}"] > row[f"{norm} {budgets[1]}"]
        assert everything["L2 0.5"] >= alone["L2 0.5"] + 10
        assert everything["L2 1"] <= 25
        assert everything["Linf 0.2"] <= 25


def test_batch_normalisation_needs_batches_and_group_normalisation_does_not(study):
    batch, group, layer, exact = next(iter(study("normalisation")[0].values()))
    assert batch["2"] >= group["2"] + 10  # the two curves cross
    assert batch["32"] <= group["32"] - 5
    assert batch["2"] >= layer["2"] + 10
    assert exact["2"] >= group["2"] + 10  # better statistics for the test do not mend it


def test_gradients_by_hand(study):
    bumps, steps, pieces = study("by_hand")[0].values()
    for row in bumps:
        assert row["largest ||dy/dx||_1"] <= row["bound d ||w||_1"]
        assert row["largest ||dy/dx||_inf"] <= row["bound ||w||_1"]
    errors = [row["error on the truth"] for row in bumps]
    assert min(errors) < 0.7 * errors[0]  # as a regulariser it helps
    assert len({row["value"][:12] for row in steps}) == 1
    for row in pieces:
        assert row["gradient"] == row["by hand"]


def test_explanations_tell_the_class_and_follow_it_where_it_is_wrong(study):
    accuracy, scores, said, wrong = study("visual_explanations")[0].values()
    assert accuracy[0]["images"] >= 65
    scores, said, wrong = ({row["model"]: row for row in rows} for rows in (scores, said, wrong))
    assert len(scores) == 5
    description, explanation = scores["description"], scores["explanation"]
    assert description["class rank"] > explanation["class rank"] + 0.5
    assert description["class similarity"] < explanation["class similarity"]
    assert scores["explanation-label"]["reward"] < explanation["reward"]  # what the discriminative loss is for
    assert scores["definition"]["CIDEr"] < explanation["CIDEr"]
    # The definition does not see the image, where the class does not decide; the others do.
    assert said["definition"]["background: true"] <= 50 <= said["description"]["background: true"]
    for attribute in ("shape", "colour", "size", "position"):
        row = wrong["explanation"]
        assert row[f"{attribute}: of the class"] > row[f"{attribute}: of the image"]
    assert wrong["explanation"]["sentences changed"] >= 80
    assert wrong["explanation"]["background: of the image"] >= 45


@pytest.mark.parametrize("name", ["hierarchical", "by_hand", "semi_supervised"])
def test_one_seed_gives_the_same_numbers(study, example, name, tmp_path):
    again = example(name)([*(() if name == "by_hand" else ("--quick",)), "--output", str(tmp_path)])
    assert (again["tables"], again["findings"]) == study(name)


@pytest.mark.parametrize("name", ["sequence_learning", "permuted_pixels", *STUDIES])
def test_a_folder_or_quick_is_asked_for(example, name, tmp_path, capsys):
    with pytest.raises(SystemExit):
        example(name)(["--output", str(tmp_path)])
    assert "give the folder with MNIST's files, or --quick" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not MNIST, reason="ADVCORE_MNIST names no folder")
def test_rows_of_mnist_in_three_epochs(example, tmp_path):
    results = example("sequence_learning")([MNIST, "--output", str(tmp_path)])
    for measured in results["models"].values():
        assert measured["test_accuracy"][-1] >= 0.975
