"""Evaluations made ready for another host, and what has come back from there."""

from pathlib import Path

import msgspec
import pytest
from requested import small_request

from evoae_cli.evaluation.contract import Evaluation, EvaluationRequest, ImagesRef, Scores
from evoae_cli.outcome import Outcome
from evoae_cli.worker.freight import EvaluationFreight

FINGERPRINT = "ab" * 32
HERE = EvaluationFreight()


def request(**changes: object) -> EvaluationRequest:
    images = ImagesRef(path="/home/mine/images", fingerprint=FINGERPRINT, patch=16, n_val=4, n_test=4)
    return small_request(images, **{"weights_out": "/home/mine/weights", **changes})


def found(**changes: object) -> bytes:
    usual = Evaluation(
        genotype=request().genotype,
        stage="search",
        seed_index=0,
        outcome=Outcome.OK,
        scores=Scores(mse=0.1, psnr_db=10.0, psnr_pooled_db=10.0, ssim=0.5),
        weights="/home/theirs/made",
    )
    return packed(msgspec.structs.replace(usual, **changes))


packed = msgspec.msgpack.encode


def test_a_request_travels_without_paths_and_is_whole_again_elsewhere(tmp_path: Path) -> None:
    parcel = HERE.pack(packed(request()))
    assert b"/home/mine" not in parcel.payload
    assert (parcel.inputs, parcel.output) == ({FINGERPRINT: Path("/home/mine/images")}, Path("/home/mine/weights"))
    there = HERE.unpack(parcel.payload, {FINGERPRINT: tmp_path / "images"}, tmp_path / "made")
    images = msgspec.structs.replace(request().images, path=str(tmp_path / "images"))
    assert msgspec.msgpack.decode(there, type=EvaluationRequest) == msgspec.structs.replace(
        request(), images=images, weights_out=str(tmp_path / "made")
    )


def test_a_search_space_is_loaded_only_where_it_was_named(tmp_path: Path) -> None:
    network = msgspec.structs.replace(request().network, space="gated_layers:SPACE")
    parcel = HERE.pack(packed(request(network=network)))
    inputs = {FINGERPRINT: tmp_path / "images"}
    with pytest.raises(ValueError, match=r"needs the search space gated_layers:SPACE; .* add --space gated"):
        HERE.unpack(parcel.payload, inputs, tmp_path / "made")
    assert EvaluationFreight(["gated_layers:SPACE"]).unpack(parcel.payload, inputs, tmp_path / "made")


@pytest.mark.parametrize("changes", [{"stage": "test"}, {"weights_in": "/etc/passwd"}])
def test_what_may_not_travel_is_not_run_for_another(changes: dict[str, object], tmp_path: Path) -> None:
    parcel = HERE.pack(packed(request(**changes)))
    with pytest.raises(ValueError, match="may not travel"):
        HERE.unpack(parcel.payload, {FINGERPRINT: tmp_path / "images"}, tmp_path / "made")


def test_a_request_whose_images_are_not_there_is_not_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="may not travel"):
        HERE.unpack(HERE.pack(packed(request())).payload, {}, tmp_path / "made")


@pytest.mark.parametrize("changes", [{"genotype": "5x5conv2d:8"}, {"stage": "final"}, {"seed_index": 1}])
def test_a_result_of_something_else_is_none(changes: dict[str, object]) -> None:
    sent = HERE.pack(packed(request()))
    with pytest.raises(ValueError, match="an evaluation of something else"):
        HERE.unpack_result(found(**changes), sent)


def test_a_result_whose_weights_have_not_come_is_none(tmp_path: Path) -> None:
    target = tmp_path / "weights"
    sent = HERE.pack(packed(request(weights_out=str(target))))
    bare, has_weights = HERE.pack_result(found())
    assert has_weights
    assert b"/home/theirs" not in bare
    with pytest.raises(ValueError, match="weights have not come"):
        HERE.unpack_result(bare, sent)
    target.write_bytes(b"weights")
    assert msgspec.msgpack.decode(HERE.unpack_result(bare, sent), type=Evaluation).weights == str(target)
    # And where none were asked for, none are believed.
    with pytest.raises(ValueError, match="weights have not come"):
        HERE.unpack_result(bare, HERE.pack(packed(request(weights_out=None))))


@pytest.mark.parametrize("nonsense", [b"", b"nonsense", packed({"genotype": 7})])
def test_bytes_that_are_no_request_and_no_result_raise_value_errors(nonsense: bytes, tmp_path: Path) -> None:
    sent = HERE.pack(packed(request()))
    for do in (
        lambda: HERE.unpack(nonsense, {}, tmp_path),
        lambda: HERE.pack_result(nonsense),
        lambda: HERE.unpack_result(nonsense, sent),
    ):
        with pytest.raises(ValueError, match=r"."):
            do()
