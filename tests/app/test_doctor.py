"""What `evoae doctor` finds out."""

from pathlib import Path

import pytest

from evoae_cli.app.doctor import failure_in, folder_size, train_tiny


def test_a_tiny_network_trains_on_the_cpu() -> None:
    assert train_tiny("cpu") is None


def test_a_device_that_does_not_work_gives_one_line() -> None:
    failure = train_tiny("meta")
    assert failure is not None
    assert "\n" not in failure


def test_a_network_that_is_not_trained_is_no_success() -> None:
    assert "in float32: it does not learn" in (train_tiny("cpu", n_steps=1) or "")


def test_training_leaves_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert train_tiny("cpu") is None
    assert list(tmp_path.iterdir()) == []


def test_it_is_told_for_each_precision_that_a_search_would_use(tmp_path: Path) -> None:
    assert failure_in(tmp_path, "cpu", "bfloat16", 60) is None
    assert "in bfloat16: it does not learn" in (failure_in(tmp_path, "cpu", "bfloat16", 1) or "")


def test_a_folder_is_measured_with_all_below_it_and_a_missing_one_is_empty(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "one").write_bytes(b"x" * 10)
    (tmp_path / "a" / "b" / "two").write_bytes(b"x" * 5)
    assert folder_size(tmp_path) == 15
    assert folder_size(tmp_path / "nothing") == 0
