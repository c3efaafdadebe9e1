"""Pictures of several studies beside each other: of those that were tested on the same images with the same noise."""

from collections.abc import Iterable, Sequence

import msgspec

from evoae_cli.page.gather import Facts
from evoae_cli.page.pictures import MODEL_CAPTIONS, Gallery, Picture, classical_note, gallery_note, gallery_of

_MOST = 5
"""Studies in one gallery: a search, and random architectures by every protocol."""
_MOST_OWN = 4
"""So many studies on a page may have pictures of their own."""
_MOST_NAMED = 8
_ROOM = 3_000_000
"""Characters for all pictures; each study has its share."""
_OF_EXAM = ("objective", "seed", "patch", "noisy_only", "test_images")
"""Settings that decide which test images, with which noise, a model is scored on; besides noise and images."""


class Together(msgspec.Struct, frozen=True, kw_only=True):
    """Which pictures a page of several studies has."""

    gallery: Gallery | None
    """Each row one test image: what all got, then what each model made of it."""
    own: dict[int, Gallery]
    """Those that stand with a study by itself, by its place in the order of the studies."""
    note: str
    """What they show, and whose are left out and why."""


def exam_of(facts: Facts) -> dict[str, str]:
    """What decides which test images, with which noise, a model is scored on."""
    exam = {name: str(facts.settings.get(name)) for name in _OF_EXAM}
    return exam | {"noise": str(facts.about["noise"]), "images": str(facts.about["fingerprint"])}


def together(studies: Sequence[Facts]) -> Together:
    """The pictures of the most studies whose tests were the same; a few studies that differ have their own."""
    pictured = [place for place, facts in enumerate(studies) if facts.pictures is not None]
    alike = _alike(studies, pictured)
    if len(alike) == 1 < len(pictured):
        # None can stand beside another.
        alike = []
    shown = alike[:_MOST]
    room = _ROOM // len(studies)
    own: dict[int, Gallery] = {}
    if len(studies) <= _MOST_OWN:
        found = {place: gallery_of(studies[place], room) for place in pictured if place not in shown}
        own = {place: gallery for place, gallery in found.items() if gallery is not None}
    unshown = [place for place in pictured if place not in shown and place not in own]
    left_out = {
        "as there is no room for more": [place for place in unshown if place in alike],
        "as they were tested on other images or with other noise": [place for place in unshown if place not in alike],
        "as they have not ended, or have no pictures that can be read": [
            place for place in range(len(studies)) if place not in pictured
        ],
    }
    said = [_shown_note([studies[place] for place in shown], len(studies))] if shown else []
    if own:
        named = f"With the study, below: {_named(studies, own)}."
        said.append("Each study has its own, below." if len(own) == len(studies) else named)
    said += [f"Left out, {reason}: {_named(studies, places)}." for reason, places in left_out.items() if places]
    gallery = _beside([studies[place] for place in shown], _ROOM - room * len(own))
    return Together(gallery=gallery, own=own, note=" ".join(said))


def _alike(studies: Sequence[Facts], pictured: Sequence[int]) -> list[int]:
    """The most studies whose pictures are of the same test, of several such the first."""
    groups: dict[object, list[int]] = {}
    for place in pictured:
        pictures = studies[place].pictures
        assert pictures is not None
        groups.setdefault((*exam_of(studies[place]).values(), pictures.numbers), []).append(place)
    return max(groups.values(), key=len, default=[])


def _shown_note(shown: Sequence[Facts], n_studies: int) -> str:
    if len(shown) == 1:
        whose = f"Test images through {shown[0].title}. " if n_studies > 1 else ""
        return whose + gallery_note(shown[0])
    note = f"The same test images through {'both models' if len(shown) == 2 else f'{len(shown)} models'}. "
    if shown[0].is_noisy_only:
        note += "There are no clean images of these, so no PSNR is claimed."
    else:
        note += "The figure is the PSNR of each image in dB; the best of what is shown in a row is in bold."
    return note + classical_note(shown)


def _named(studies: Sequence[Facts], places: Iterable[int]) -> str:
    titles = [studies[place].title for place in places]
    return "; ".join(titles) if len(titles) <= _MOST_NAMED else f"{len(titles):,} studies"


def _beside(shown: Sequence[Facts], room: int) -> Gallery | None:
    found = [(facts, gallery) for facts in shown if (gallery := gallery_of(facts, _ROOM)) is not None]
    if len(found) < 2:
        return found[0][1] if found else None
    titles = max((gallery.titles for _, gallery in found), key=len)
    n_images = len(titles) + min(gallery.n_left_out for _, gallery in found)
    rows: list[tuple[Picture, ...]] = []
    for number in range(min(len(gallery.rows) for _, gallery in found)):
        row = _row([(facts.title, gallery.rows[number]) for facts, gallery in found])
        room -= sum(len(picture.uri) for picture in row)
        if room < 0 and rows:
            break
        rows.append(row)
    return Gallery(rows=tuple(rows), titles=titles[: len(rows)], n_left_out=n_images - len(rows))


def _row(found: Sequence[tuple[str, Sequence[Picture]]]) -> tuple[Picture, ...]:
    """One test image: what every model got, and a classical method makes of it, once; then each model."""
    shared: dict[str, Picture] = {}
    models = []
    for title, pictures in found:
        for picture in pictures:
            if picture.caption in MODEL_CAPTIONS:
                alt = picture.alt.replace(picture.caption, title, 1)
                models.append(msgspec.structs.replace(picture, caption=title, alt=alt))
            else:
                shared.setdefault(picture.caption, picture)
    row = (*shared.values(), *models)
    best = max((picture.psnr_db for picture in row if picture.psnr_db is not None), default=None)
    return tuple(
        msgspec.structs.replace(picture, is_best=best is not None and picture.psnr_db == best) for picture in row
    )
