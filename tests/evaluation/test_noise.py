import pytest

from evoae_cli.errors import UsageError
from evoae_cli.evaluation.noise import Noise, describe_noise, gaussian, parse_noise, strength_texts


def test_strengths_are_named_apart_however_close_they_are() -> None:
    assert strength_texts((73.61215932167728,)) == ["73.61"]
    assert strength_texts((5, 22.5, 40, 57.5, 75)) == ["5", "22.5", "40", "57.5", "75"]
    assert strength_texts(parse_noise("gaussian:25-25.004").strengths) == ["25", "25.001", "25.002", "25.003", "25.004"]
    assert strength_texts((0.1, 0.1 + 2**-56)) == ["0.10000000000000001", "0.10000000000000002"]
    assert strength_texts(()) == []


@pytest.mark.parametrize(
    "text", ["gaussian:25", "gaussian:12.5", "gaussian:5-75", "poisson:30", "salt-pepper:0.05-0.1", "speckle:0.2"]
)
def test_noise_is_read_and_spelt_the_same(text: str) -> None:
    assert parse_noise(text).text == text
    assert parse_noise(parse_noise(text).text) == parse_noise(text)


def test_the_papers_variance_has_an_exact_spelling() -> None:
    noise = gaussian((1 / 3) ** 0.5)
    assert parse_noise(noise.text) == noise
    assert noise.std == (1 / 3) ** 0.5


def test_one_strength_may_be_spelt_in_the_ways_that_python_reads() -> None:
    for text in ("gaussian:25.", "gaussian:2.5e1", "gaussian: 25", "gaussian:+25", "gaussian:25-25"):
        assert parse_noise(text) == Noise(kind="gaussian", low=25, high=25)


def test_only_gaussian_noise_of_one_strength_has_one_standard_deviation() -> None:
    assert parse_noise("gaussian:25").std == 25 / 127.5
    assert [parse_noise(text).std for text in ("gaussian:5-75", "poisson:30", "speckle:0.2")] == [None] * 3


def test_the_fixed_strengths_of_a_range_are_five_and_evenly_spaced() -> None:
    assert parse_noise("gaussian:5-75").strengths == (5, 22.5, 40, 57.5, 75)
    assert parse_noise("poisson:30").strengths == (30,)


@pytest.mark.parametrize(
    ("text", "described"),
    [
        ("gaussian:25", "gaussian, standard deviation 25 on 0..255 (variance 0.0384 on [-1, 1])"),
        ("gaussian:5-75", "gaussian, standard deviation 5 to 75 on 0..255 (variance 0.00154 to 0.346 on [-1, 1])"),
        ("poisson:30", "poisson, 30 counts expected at white"),
        ("salt-pepper:0.05-0.1", "salt-pepper, 5 to 10 % of the values black or white"),
        ("speckle:0.2", "speckle, standard deviation 0.2 as a share of each value"),
    ],
)
def test_noise_is_described_for_people(text: str, described: str) -> None:
    assert describe_noise(parse_noise(text)) == described


def test_no_noise_is_described_as_none() -> None:
    assert describe_noise(None) == "none"


@pytest.mark.parametrize("text", ["", "25", "gaussian", "gaussian:", "gaussian:nan", "gaussian:-5", "rain:3", "a:5-b"])
def test_what_is_not_understood_is_refused_with_an_example_of_each_kind(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_noise(text)
    assert str(caught.value) == (
        f"--noise {text!r} is not understood; write gaussian:25, poisson:30, salt-pepper:0.1, speckle:0.2, "
        "or a range as gaussian:5-75"
    )


@pytest.mark.parametrize("text", ["gaussian:0", "gaussian:1001", "poisson:0", "salt-pepper:0.5-1.1", "speckle:1e9"])
def test_a_strength_out_of_range_is_refused_with_its_limits(text: str) -> None:
    with pytest.raises(UsageError, match=r"is out of range; .* above 0 and at most"):
        parse_noise(text)


def test_a_range_upside_down_is_refused() -> None:
    with pytest.raises(UsageError, match="lower strength first"):
        parse_noise("gaussian:75-5")
