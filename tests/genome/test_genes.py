"""The genes beside the module: text, key, validity, mutation and crossover."""

from collections import Counter
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evoae_cli.draws import generator
from evoae_cli.errors import GenotypeError, UsageError
from evoae_cli.genome.genes import mutated
from evoae_cli.genome.genotype import SKIPS, Genotype, parse_genotype
from evoae_cli.genome.layers import Conv2d, DilatedConv2d, Dropout2d, Layer, SepConv2d
from evoae_cli.genome.space import SearchSpace
from evoae_cli.genome.spaces import SPACES
from evoae_cli.genome.variation import child, crossover, mutate, offspring, random_genotype

SKIP = SPACES["skip"]
FULL = "3x3conv2d:16,5x5sepconv:8,3x3dilated:8/reductions:2/repeats:3/skips:concat,none/residual"
seeds = st.integers(0, 2**64 - 1)
spaces = st.builds(
    SearchSpace,
    kinds=st.lists(st.sampled_from(["conv2d", "sepconv", "dilated"]), min_size=1, unique=True).map(tuple),
    max_layers=st.integers(1, 3),
    reductions=st.lists(st.integers(1, 4), min_size=1, unique=True).map(tuple),
    repeats=st.lists(st.integers(1, 3), min_size=1, unique=True).map(tuple),
    skips=st.lists(st.sampled_from(SKIPS), min_size=1, unique=True).map(tuple),
    residual=st.sampled_from([(False,), (True,), (False, True)]),
) | st.builds(
    SearchSpace,
    max_layers=st.integers(1, 3),
    reductions=st.lists(st.integers(1, 4), min_size=1, unique=True).map(tuple),
    skips=st.just(SKIPS),
    residual=st.sampled_from([(True,), (False, True)]),
    direct_skips=st.just(False),
)


def test_the_text_is_the_papers_with_the_genes_behind_it() -> None:
    genotype = Genotype(
        (Conv2d(3, 16), SepConv2d(5, 8), DilatedConv2d(3, 8)),
        reductions=2,
        repeats=3,
        skips=("concat", "none"),
        is_residual=True,
    )
    assert genotype.text == FULL
    assert parse_genotype(FULL) == genotype
    assert genotype.table_text.startswith("16-3x3conv2d - 8-5x5sepconv - 8-3x3dilated/reductions:2/")


@pytest.mark.parametrize("text", ["3x3conv2d:16", "5x5conv2d:8,dropout2d", "3x3conv2d:16/reductions:1"])
def test_genes_at_the_papers_values_are_not_written(text: str) -> None:
    assert parse_genotype(text).text == text
    with_defaults = text if "reductions" in text else f"{text}/reductions:1"
    assert parse_genotype(f"{with_defaults}/repeats:1/skips:none").text == with_defaults


@given(spaces, seeds, st.integers(0, 6))
def test_every_genotype_that_variation_makes_lies_in_the_space_and_reads_back(
    space: SearchSpace, seed: int, n_mutations: int
) -> None:
    rng = generator(seed)
    first, second = random_genotype(space, rng), random_genotype(space, rng)
    for _ in range(n_mutations):
        first = mutate(first, space, rng)
    made = [first, crossover(first, second, space, rng), child([first, second], space, rng)]
    for genotype in [*made, *offspring(made, space, rng)]:
        space.check(genotype)
        assert parse_genotype(genotype.text, space) == genotype


@given(spaces, seeds)
def test_a_mutated_gene_differs_and_all_else_stays(space: SearchSpace, seed: int) -> None:
    rng = generator(seed)
    genotype = random_genotype(space, rng)
    changed = mutated(genotype, space, rng)
    assert changed.module == genotype.module
    n_changed = sum(
        getattr(changed, gene) != getattr(genotype, gene) for gene in ("reductions", "repeats", "is_residual")
    )
    if space.has_genes:
        assert changed != genotype
        assert n_changed <= 1
    else:
        assert changed == genotype


def test_every_gene_is_mutated_about_as_often() -> None:
    rng, genotype = generator(1), parse_genotype("3x3conv2d:8/reductions:2/repeats:2/skips:add,concat")
    counts: Counter[str] = Counter()
    for _ in range(4000):
        changed = mutated(genotype, SKIP, rng)
        fields = ("reductions", "repeats", "is_residual")
        counts[next((name for name in fields if getattr(changed, name) != getattr(genotype, name)), "skips")] += 1
    assert all(900 < count < 1100 for count in counts.values())
    assert len(counts) == 4


def test_a_reduction_more_keeps_the_finer_stages_skips_and_one_less_too() -> None:
    genotype, rng = parse_genotype("3x3conv2d:8/reductions:2/skips:add,concat"), generator(2)
    for _ in range(200):
        changed = mutated(genotype, SKIP, rng)
        if changed.reductions != 2:
            kept = min(changed.reductions or 0, 2)
            assert changed.skips_of(changed.reductions or 0)[:kept] == ("add", "concat")[:kept]


def test_a_child_has_each_gene_of_one_of_its_parents() -> None:
    first = parse_genotype("3x3conv2d:8/reductions:1/repeats:1/skips:add")
    second = parse_genotype("5x5conv2d:16/reductions:3/repeats:3/skips:concat,none,add/residual")
    rng, seen = generator(3), set()
    for _ in range(300):
        made = crossover(first, second, SKIP, rng)
        assert made.reductions in (1, 3)
        assert made.repeats in (1, 3)
        skips = made.skips_of(made.reductions or 0)
        assert skips[0] in ("add", "concat")
        assert skips[1:] in ((), ("none", "add"))
        seen.add((made.reductions, made.repeats, made.is_residual, skips[0]))
    assert len(seen) == 2**4


def test_without_direct_skips_only_residual_networks_have_any() -> None:
    space = replace(SKIP, direct_skips=False)
    rng, seen = generator(4), Counter[tuple[bool, bool]]()
    genotype = random_genotype(space, rng)
    for _ in range(2000):
        genotype = crossover(mutate(genotype, space, rng), random_genotype(space, rng), space, rng)
        seen[genotype.is_residual, bool(genotype.skips)] += 1
    assert (False, True) not in seen
    assert min(seen[False, False], seen[True, True]) > 500
    with pytest.raises(GenotypeError, match="write /residual behind it"):
        parse_genotype("3x3conv2d:8/reductions:1/skips:add", space)
    with pytest.raises(UsageError, match="add none to skips"):
        replace(space, skips=("add",))
    with pytest.raises(UsageError, match="add True to residual"):
        replace(space, residual=(False,))


def test_equal_networks_have_one_key_however_repeats_and_modules_are_written() -> None:
    same = [
        "3x3conv2d:8,3x3conv2d:8/reductions:1",
        "3x3conv2d:8/reductions:1/repeats:2",
        "3x3conv2d:8/repeats:2/reductions:1/skips:none",
    ]
    assert len({parse_genotype(text).key for text in same}) == 1
    others = ["3x3conv2d:8/reductions:1", "3x3conv2d:8/reductions:2/repeats:2", f"{same[1]}/skips:add"]
    assert len({parse_genotype(text).key for text in [*same, *others]}) == 4


@pytest.mark.parametrize("direct_skips", [True, False])
def test_the_size_of_a_space_is_the_number_of_different_keys(direct_skips: bool) -> None:
    space = SearchSpace(
        kernels=(3,),
        filters=(8,),
        max_layers=3,
        reductions=(1, 2),
        repeats=(1, 2, 3),
        skips=("none", "add"),
        residual=(False, True),
        direct_skips=direct_skips,
    )
    keys = {
        Genotype(module, reductions, repeats, skips, is_residual).key
        for n in range(1, 4)
        for module in product(space.choices, repeat=n)
        for reductions in space.reductions
        for repeats in space.repeats
        for skips in product(space.skips, repeat=reductions)
        for is_residual in space.residual
        if is_residual or direct_skips or set(skips) == {"none"}
    }
    assert space.size == len(keys)


@given(st.lists(st.sampled_from(SPACES["paper"].choices), min_size=1, max_size=10))
def test_every_genotype_of_the_paper_is_one_of_the_skip_space_with_one_reduction(layers: list[Layer]) -> None:
    paper = Genotype(tuple(layers))
    found = parse_genotype(paper.text, SKIP)
    assert found.text == f"{paper.text}/reductions:1"
    assert found.key == f"{paper.key}/reductions:1"
    assert replace(found, reductions=None) == paper


@st.composite
def genotypes_of(draw: st.DrawFn, space: SearchSpace) -> Genotype:
    """Any genotype of a space, whether or not variation makes it."""
    n_layers = draw(st.integers(1, space.max_layers))
    reductions = draw(st.sampled_from(space.reductions)) if space.reductions else None
    return Genotype(
        tuple(draw(st.sampled_from(space.choices)) for _ in range(n_layers)),
        reductions,
        draw(st.sampled_from(space.repeats)),
        tuple(draw(st.sampled_from(space.skips)) for _ in range(reductions or 0)),
        draw(st.sampled_from(space.residual)),
    )


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
@given(st.data())
def test_a_text_is_read_and_written_back_as_it_was(space: SearchSpace, data: st.DataObject) -> None:
    genotype = data.draw(genotypes_of(space))
    found = parse_genotype(genotype.text, space)
    assert (found, found.text, found.key) == (genotype, genotype.text, genotype.key)
    assert parse_genotype(genotype.text.replace(",", " , ").replace("/", " / "), space) == genotype


def test_from_one_layer_mutation_reaches_every_genotype_of_the_space() -> None:
    space = SearchSpace(
        kernels=(3,), filters=(8,), kinds=("conv2d", "sepconv"), dropout=False, max_layers=2,
        reductions=(1, 2), repeats=(1, 2, 3), skips=SKIPS, residual=(False, True),
    )  # fmt: skip
    rng, waiting = generator(5), [parse_genotype("3x3sepconv:8/reductions:2/repeats:3/skips:add,add", space)]
    reached = set(waiting)
    while waiting:
        genotype = waiting.pop()
        # A skip of one stage at one other value is the rarest: 1 in 32.
        new = {mutate(genotype, space, rng) for _ in range(300)} - reached
        reached |= new
        waiting += new
    n_modules, n_skips = 2 + 2**2, 3 + 3**2
    assert len(reached) == n_modules * n_skips * 3 * 2


@given(st.data(), seeds)
def test_a_child_has_each_gene_of_either_parent_and_in_the_end_of_both(data: st.DataObject, seed: int) -> None:
    first, second = data.draw(genotypes_of(SKIP)), data.draw(genotypes_of(SKIP))
    rng = generator(seed)
    children = [crossover(first, second, SKIP, rng) for _ in range(100)]
    for gene in ("reductions", "repeats", "is_residual"):
        assert {getattr(child, gene) for child in children} == {getattr(first, gene), getattr(second, gene)}
    parents = [parent.skips_of(parent.reductions or 0) for parent in (first, second)]
    for stage in range(max(map(len, parents))):
        of_parents = {skips[stage] for skips in parents if stage < len(skips)}
        of_children = {child.skips_of(n)[stage] for child in children if stage < (n := child.reductions or 0)}
        assert of_children == of_parents


def test_a_kernel_of_one_is_no_separable_or_dilated_convolution() -> None:
    texts = [layer.text for layer in SearchSpace(kernels=(1, 3), filters=(8,), kinds=SKIP.kinds).choices]
    assert texts == ["1x1conv2d:8", "3x3conv2d:8", "3x3sepconv:8", "3x3dilated:8", "dropout2d"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("3x3conv2d:8/reductions:0", "reductions:0 is out of range; use 1 to 8"),
        ("3x3conv2d:8/reductions:two", "reductions:two is no whole number; write it as reductions:2"),
        ("3x3conv2d:8/repeats:11", "repeats:11 is out of range; use 1 to 10"),
        ("3x3conv2d:8/reductions:2/skips:add", "skips:add has 1 skips for 2 reductions; write one for each"),
        ("3x3conv2d:8/skips:add", "skips:add has 1 skips for a genotype without reductions"),
        ("3x3conv2d:8/reductions:1/skips:sum", "skip 'sum' is unknown; use none, add or concat"),
        ("3x3conv2d:8/residual:1", "gene 'residual:1' is not understood; write them as in 3x3conv2d:16/reductions:2"),
        ("3x3conv2d:8/deep", "gene 'deep' is not understood"),
        ("3x3conv2d:8/", "gene '' is not understood"),
        ("3x3conv2d:8/residual/residual", "residual is given twice"),
        ("/reductions:2", "the module is empty"),
        ("1x1sepconv:8", "layer '1x1sepconv:8': the kernel 1 is out of range; use 2 to 99"),
        ("1x1dilated:8", "the kernel 1 is out of range; use 2 to 99"),
        ("3x3sepconv", "layer '3x3sepconv' has no filter count; write it as 3x3sepconv:16"),
    ],
)
def test_a_text_that_no_network_can_have_is_refused_by_the_part(text: str, says: str) -> None:
    with pytest.raises(GenotypeError) as refusal:
        parse_genotype(text)
    assert str(refusal.value).startswith(says) or says in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("space", "text", "says"),
    [
        (SearchSpace(), "3x3conv2d:8/reductions:1", "reductions:1 is not in the search space; leave reductions out"),
        (SearchSpace(), "3x3conv2d:8/residual", "leave residual out, or search with --space skip"),
        (SearchSpace(), "3x3conv2d:8/repeats:2", "repeats:2 is not in the search space; use 1"),
        (SKIP, "3x3conv2d:8/reductions:5", "reductions:5 is not in the search space; use 1, 2, 3, 4"),
        (SearchSpace(), "3x3sepconv:8", "layer '3x3sepconv:8' is not in the search space"),
    ],
)
def test_a_gene_outside_the_space_is_refused_with_what_to_use(space: SearchSpace, text: str, says: str) -> None:
    with pytest.raises(GenotypeError, match=says):
        parse_genotype(text, space)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"kinds": ("conv3d",)}, "kinds: 'conv3d' is unknown; use conv2d, sepconv, dilated"),
        ({"skips": ("sum",), "reductions": (1,)}, "skips: 'sum' is unknown; use none, add, concat"),
        ({"skips": ("none", "add")}, "skips need reductions as a gene"),
        ({"repeats": ()}, "the search space has no repeats; give at least one"),
        ({"reductions": (1, 1)}, "reductions: 1,1 names a value twice"),
        ({"repeats": (0,)}, "repeats: 0 is out of range; use 1 to 10"),
        ({"kinds": (), "dropout": False}, "the search space has no layers"),
        ({"further": (Conv2d(3, 8),)}, "two layers of the search space have one text"),
        ({"kinds": ("sepconv",), "kernels": (1,), "dropout": False}, "the search space has no layers"),
    ],
)
def test_a_space_of_genes_that_makes_no_sense_is_refused(settings: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        SearchSpace(**settings)  # type: ignore[arg-type]


def test_layers_of_one_size_but_another_kind_are_not_equal() -> None:
    assert len({Conv2d(3, 8), SepConv2d(3, 8), DilatedConv2d(3, 8), Dropout2d()}) == 4
