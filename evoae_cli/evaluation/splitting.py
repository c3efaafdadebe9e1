"""Which images train, which decide, and which are tested on; none may be in two of these, however often it is there."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import combinations, islice

from evoae_cli.counted import several
from evoae_cli.draws import generator, permutation
from evoae_cli.errors import ImageError
from evoae_cli.evaluation.contract import Split, derive_seed
from evoae_cli.evaluation.folder import SPLITS, listed
from evoae_cli.evaluation.sources import Draft

_MOST_LISTED = 3


def splits_of(drafts: Sequence[Draft], source: str, seed: int, warn: Callable[[str], None]) -> list[Split]:
    """The split of each image: the source's; where that is open, missing parts are drawn and the rest trains.

    What is drawn are different images, of pairs different clean ones, and copies go where the first of them goes. Where
    the source's own splits share images, `warn` is told. Raises ImageError where a split has none.
    """
    splits: list[Split] = [draft.split or "train" for draft in drafts]
    missing = [split for split in SPLITS if all(draft.split != split for draft in drafts)]
    copies: dict[bytes, list[int]] = defaultdict(list)
    for number, draft in enumerate(drafts):
        if draft.split is None:
            copies[draft.digest].append(number)
    still_open = list(copies.values())
    if not still_open and missing:
        raise ImageError(f"{' and '.join(missing)} of {source} has no usable image; each split needs one at least")
    if len(still_open) < len(missing):
        kind = "usable" if all(len(numbers) == 1 for numbers in still_open) else "different usable"
        found = several(len(still_open), f"{kind} {drafts[0].noun}")
        raise ImageError(
            f"{source} has only {found} to split; at least {len(missing)} are needed ({', '.join(missing)})"
        )
    n_each = max(1, round(len(still_open) / 10))
    order = permutation(len(still_open), generator(derive_seed(seed, "split")))
    drawn = (still_open[place] for place in order)
    for split in missing:
        if split != "train":
            for numbers in islice(drawn, n_each):
                for number in numbers:
                    splits[number] = split
    _tell_shared(drafts, splits, source, warn)
    return splits


def _tell_shared(drafts: Sequence[Draft], splits: Sequence[Split], source: str, warn: Callable[[str], None]) -> None:
    """Warn of images that two splits have in common: what is measured on the later one then says too much."""
    held: dict[Split, dict[bytes, str]] = {split: {} for split in SPLITS}
    for draft, split in zip(drafts, splits, strict=True):
        held[split].setdefault(draft.digest, draft.name)
    for earlier, later in combinations(SPLITS, 2):
        there, here = held[earlier], held[later]
        shared = [f"{name} is {there[digest]}" for digest, name in here.items() if digest in there]
        if shared:
            what, them = several(len(shared), drafts[0].noun), "it" if len(shared) == 1 else "them"
            warn(
                f"{later} and {earlier} of {source} have {what} in common ({listed(shared, _MOST_LISTED)}), so figures "
                f"on {later} say too much; take {them} out of one of the two"
            )
