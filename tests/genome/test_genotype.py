"""The genotype's text forms, key and validity."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evoae_cli.errors import GenotypeError
from evoae_cli.genome.genotype import Genotype, parse_genotype
from evoae_cli.genome.layers import Conv2d, Dropout2d
from evoae_cli.genome.space import SearchSpace

SPACE = SearchSpace()
genotypes = st.lists(st.sampled_from(SPACE.choices), min_size=1, max_size=10).map(
    lambda layers: Genotype(tuple(layers))
)


def test_the_text_is_the_papers_form() -> None:
    genotype = Genotype((Conv2d(5, 16), Conv2d(3, 32), Dropout2d()))
    assert genotype.text == str(genotype) == "5x5conv2d:16,3x3conv2d:32,dropout2d"


def test_the_table_text_is_the_form_of_the_papers_tables() -> None:
    assert parse_genotype("5x5conv2d:64,3x3conv2d:64").table_text == "64-5x5conv2d - 64-3x3conv2d"


def test_the_repr_tells_the_module() -> None:
    assert repr(parse_genotype("3x3conv2d:8")) == "<Genotype 3x3conv2d:8>"


@given(genotypes)
def test_a_genotypes_text_reads_back_as_the_same_genotype(genotype: Genotype) -> None:
    assert parse_genotype(genotype.text, SPACE) == genotype


@given(genotypes, genotypes)
def test_two_genotypes_have_one_key_exactly_if_they_are_equal(first: Genotype, second: Genotype) -> None:
    assert (first.key == second.key) == (first == second)
    assert first != second or hash(first) == hash(second)


@pytest.mark.parametrize(
    "text",
    [
        "  3x3conv2d:8 , dropout2d ",
        "3 x 3 conv2d : 8,dropout2d",
        "3x3conv2d:8,\n\tdropout2d",
        "03x3conv2d:008,dropout2d",
    ],
)
def test_ways_to_write_one_genotype_share_one_key(text: str) -> None:
    assert parse_genotype(text).key == "3x3conv2d:8,dropout2d"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("5x4conv2d:16", "layer '5x4conv2d:16': the kernel 5x4 is not square; use 5x5"),
        ("3x3conv2d:0", "layer '3x3conv2d:0': 0 filters are out of range; use 1 to 4096"),
        ("0x0conv2d:8", "layer '0x0conv2d:8': the kernel 0 is out of range; use 1 to 99"),
        ("", "the module is empty; give at least one layer, as 3x3conv2d:16"),
        (" \t ", "the module is empty; give at least one layer, as 3x3conv2d:16"),
        (
            ",".join(["dropout2d"] * 11),
            "the module has 11 layers where 10 are allowed; take 1 away or raise --max-layers",
        ),
        (
            "9x9conv2d:16",
            "layer '9x9conv2d:16' is not in the search space (kernels 1,3,5,7, filters 8,16,32,64, dropout2d)",
        ),
        ("3x3conv2d:17", "layer '3x3conv2d:17' is not in the search space"),
        ("3x3conv3d:8", "unknown layer '3x3conv3d:8'; write a convolution as 3x3conv2d:16 or dropout as dropout2d"),
        ("maxpool", "unknown layer 'maxpool'"),
        ("3x3conv2d:-8", "unknown layer '3x3conv2d:-8'"),
        ("3x3conv2d:1.5", "unknown layer '3x3conv2d:1.5'"),
        ("3x3conv2d:1 6", "unknown layer '3x3conv2d:1 6'"),
        ("3x3conv2d:٣", "unknown layer '3x3conv2d:٣'"),
        ("3x3conv2d:" + "9" * 5000, "unknown layer '3x3conv2d:999"),
        ("mean\nwhile", "unknown layer 'mean\\nwhile'"),
        ("3x3conv2d", "layer '3x3conv2d' has no filter count; write it as 3x3conv2d:16"),
        ("3x3conv2d:", "unknown layer '3x3conv2d:'"),
        ("dropout2d:16", "layer 'dropout2d:16': dropout has no filter count; write dropout2d"),
        ("dropout2d:", "layer 'dropout2d:': dropout has no filter count"),
        ("3x3conv2d:8,,dropout2d", "layer 2 is empty; a comma stands between two layers"),
        ("3x3conv2d:8,", "layer 2 is empty"),
    ],
)
def test_nonsense_is_refused_in_one_line_that_names_it(text: str, says: str) -> None:
    with pytest.raises(GenotypeError) as caught:
        parse_genotype(text, SPACE)
    message = str(caught.value)
    assert message.startswith(says)
    assert "\n" not in message
    assert len(message) < 160


def test_without_a_space_any_well_formed_module_is_read() -> None:
    assert parse_genotype("9x9conv2d:24").module == (Conv2d(9, 24),)
    assert len(parse_genotype(",".join(["dropout2d"] * 11)).module) == 11


def test_dropout_is_refused_where_the_space_has_none() -> None:
    with pytest.raises(GenotypeError, match=r"'dropout2d' is not in the search space \(.*, no dropout2d\)"):
        SearchSpace(dropout=False).check(parse_genotype("dropout2d"))


def test_a_module_without_layers_is_no_genotype() -> None:
    with pytest.raises(GenotypeError, match="the module is empty"):
        Genotype(())
