"""Wrong use of `evoae scale-benchmark`."""

from wrong_use_kit import case, file

_SCALE = "scale-benchmark"

CASES = (
    case("no workers to scale to", f"{_SCALE} --workers 0", "'0'", "1 to 1024", is_process=True),
    case("workers to scale to that are no number", f"{_SCALE} --workers 1,two", "'two'", "1,2,4"),
    case("an unknown mode to scale", f"{_SCALE} --mode steady", "'steady'", "generational, async or both"),
    case("no generations to scale", f"{_SCALE} --generations 0", "--generations 0", "1 to 1000"),
    case("few to scale", f"{_SCALE} --population 4 --workers 8", "--population 4", "8 workers"),
    case("a population of one to scale", f"{_SCALE} --population 1", "--population 1", "2 to 10000"),
    case("waiting for nothing", f"{_SCALE} --simulate 0", "--simulate 0", "above 0"),
    case("device of workers that wait", f"{_SCALE} --simulate 1 --device cpu", "--device cpu", "leave it out"),
    case("variation of no waiting", f"{_SCALE} --cv 1", "--cv 1", "--simulate SECONDS"),
    case("too much variation", f"{_SCALE} --simulate 1 --cv 11", "--cv 11", "0 to 10"),
    case("everything fails", f"{_SCALE} --fail-rate 1", "--fail-rate 1", "0 to 0.9"),
    case("workers to scale to in raised digits", f"{_SCALE} --workers 1,²", "'²'", "1,2,4"),
    case("scaling on no device", f"{_SCALE} --workers 1 --device tpu", "'tpu'", "cuda"),
    case("scaling into a file", f"{_SCALE} --workers 1 --out a", "a is a file", prepare=file("a")),
)
